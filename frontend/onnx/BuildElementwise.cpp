#include "attune/frontend/onnx/Build.h"
#include "attune/frontend/onnx/Float8.h"

#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {

//===--------------------------------------------------------------------------------------------===//
// Broadcasting
//===--------------------------------------------------------------------------------------------===//

static Extent broadcastDim(Node &node, const Extent &a, const Extent &b) {
  Extents &extents = node.extents();
  if (b.is(1))
    return a;
  if (a.is(1))
    return b;
  auto same = extents.knownEqual(a, b);
  if (same && *same)
    return extents.simpler(a, b);
  bool aMayBeOne = extents.knownEqual(a, 1) != false, bMayBeOne = extents.knownEqual(b, 1) != false;
  auto what = "sizes " + extents.str(a) + " and " + extents.str(b) +
              " do not broadcast; accepted: equal sizes, or 1";
  if (same && !aMayBeOne && !bMayBeOne)
    node.fail(what);
  if ((!aMayBeOne && !bMayBeOne) || extents.onlyEqualBroadcasts(a, b)) {
    node.require(extents.equal(a, b), what);
    extents.assumeEqual(a, b);
    return extents.simpler(a, b);
  }
  Extent aIsOne = extents.equal(a, 1), bIsOne = extents.equal(b, 1);
  node.require(extents.max(extents.equal(a, b), extents.max(aIsOne, bIsOne)), what);
  if (!aMayBeOne)
    return a;
  if (!bMayBeOne)
    return b;
  return extents.select(aIsOne, b, a);
}

Shape broadcastShape(Node &node, ArrayRef<Shape> shapes) {
  size_t rank = 0;
  for (const Shape &shape : shapes)
    rank = std::max(rank, shape.size());
  Shape result(rank, Extent(1));
  for (const Shape &shape : shapes)
    for (size_t i = 0; i < shape.size(); ++i) {
      size_t axis = rank - shape.size() + i;
      result[axis] = broadcastDim(node, result[axis], shape[i]);
    }
  return result;
}

/// Whether `from` has along some axis a size that only the run knows to be 1 or that of `to`.
static bool needsRuntimeBroadcast(Node &node, const Shape &from, const Shape &to) {
  for (size_t i = 0; i < from.size(); ++i) {
    const Extent &size = from[i], &target = to[to.size() - from.size() + i];
    if (!size.is(1) && node.extents().knownEqual(size, target) != true)
      return true;
  }
  return false;
}

/// The map by which an operand of shape `from` is read in loops over `to`.
static AffineMap broadcastMap(MLIRContext *context, const Shape &from, const Shape &to) {
  SmallVector<AffineExpr> exprs;
  for (size_t i = 0; i < from.size(); ++i) {
    size_t axis = to.size() - from.size() + i;
    bool single = from[i].is(1) && !to[axis].is(1);
    exprs.push_back(single ? getAffineConstantExpr(0, context) : getAffineDimExpr(axis, context));
  }
  return AffineMap::get(to.size(), 0, exprs, context);
}

/// Reads with an index that is 0 along axes of size 1: right for every size, at the price of a
/// copy.
static Tensor runtimeBroadcast(Node &node, const Tensor &input, const Shape &to) {
  Value source = node.value(input);
  SmallVector<Value> sizes;
  for (const Extent &e : input.shape())
    sizes.push_back(node.index(e));
  int64_t shift = to.size() - input.rank();
  Value result = generic(node, {}, {}, to, input.type(node.context()).getElementType(),
                         [&](OpBuilder &b, Location loc, ValueRange) -> Value {
                           SmallVector<Value> at;
                           Value zero = arith::ConstantIndexOp::create(b, loc, 0);
                           Value one = arith::ConstantIndexOp::create(b, loc, 1);
                           for (int64_t axis = 0; axis < input.rank(); ++axis) {
                             Value i = linalg::IndexOp::create(b, loc, axis + shift);
                             Value single = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                                                  sizes[axis], one);
                             at.push_back(arith::SelectOp::create(b, loc, single, zero, i));
                           }
                           return tensor::ExtractOp::create(b, loc, source, at);
                         });
  return node.tensor(result, input.dtype(), to);
}

Tensor broadcastTo(Node &node, const Tensor &input, const Shape &shape) {
  if (input.shape() == shape)
    return input;
  if (TypedAttr value = input.splat())
    return Tensor::ofUniform(value, input.dtype(), shape);
  if (needsRuntimeBroadcast(node, input.shape(), shape))
    return runtimeBroadcast(node, input, shape);
  Value result =
      generic(node, {node.value(input)}, {broadcastMap(node.context(), input.shape(), shape)},
              shape, input.type(node.context()).getElementType(),
              [](OpBuilder &, Location, ValueRange args) { return args[0]; });
  Tensor broadcast = node.tensor(result, input.dtype(), shape);
  if (auto ramp = input.ramp()) {
    int64_t axis = ramp->axis + int64_t(shape.size()) - input.rank();
    if (ramp->axis < 0)
      broadcast.setRamp(ramp);
    else if (input.dim(ramp->axis).is(1))
      broadcast.setRamp(Ramp{-1, ramp->start, 0});
    else
      broadcast.setRamp(Ramp{axis, ramp->start, ramp->step});
  }
  return broadcast;
}

//===--------------------------------------------------------------------------------------------===//
// Generics
//===--------------------------------------------------------------------------------------------===//

Value empty(Node &node, const Shape &shape, Type element) {
  return tensor::EmptyOp::create(node.builder(), node.loc(), node.ofrs(shape), element);
}

Value filled(Node &node, const Shape &shape, TypedAttr value) {
  Value init = empty(node, shape, value.getType());
  Value constant = arith::ConstantOp::create(node.builder(), node.loc(), value);
  return linalg::FillOp::create(node.builder(), node.loc(), constant, init).getResult(0);
}

Value generic(Node &node, ArrayRef<Value> inputs, ArrayRef<AffineMap> maps, const Shape &out,
              Type element, BodyFn body) {
  OpBuilder &b = node.builder();
  SmallVector<AffineMap> all(maps);
  all.push_back(AffineMap::getMultiDimIdentityMap(out.size(), node.context()));
  SmallVector<utils::IteratorType> loops(out.size(), utils::IteratorType::parallel);
  Value init = empty(node, out, element);
  auto op = linalg::GenericOp::create(b, node.loc(), TypeRange{init.getType()}, inputs,
                                      ValueRange{init}, all, loops);
  // The body is built here, not in a callback of MLIR.
  OpBuilder::InsertionGuard guard(b);
  Block *block = b.createBlock(&op.getRegion());
  for (Value input : inputs)
    block->addArgument(getElementTypeOrSelf(input.getType()), node.loc());
  block->addArgument(element, node.loc());
  Value result = body(b, node.loc(), block->getArguments().drop_back());
  linalg::YieldOp::create(b, node.loc(), result);
  return op.getResult(0);
}

TypedAttr scalarAttr(MLIRContext *context, DType dtype, double value) {
  Type type = dtype.type(context);
  if (dtype.isFloat8())
    return IntegerAttr::get(type, APInt(8, encodeFloat8(value, dtype)));
  if (dtype.isFloat())
    return FloatAttr::get(type, value);
  return IntegerAttr::get(
      type, APInt(64, int64_t(value), true).sextOrTrunc(type.getIntOrFloatBitWidth()));
}

Value scalar(OpBuilder &b, Location loc, Type type, double value) {
  if (isa<FloatType>(type))
    return arith::ConstantOp::create(b, loc, FloatAttr::get(type, value));
  return arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, int64_t(value)));
}

Tensor scalarTensor(Node &node, DType dtype, double value) {
  auto type = RankedTensorType::get({}, dtype.type(node.context()));
  Attribute element = scalarAttr(node.context(), dtype, value);
  return Tensor::ofConstant(DenseElementsAttr::get(type, element), dtype);
}

//===--------------------------------------------------------------------------------------------===//
// Elementwise
//===--------------------------------------------------------------------------------------------===//

/// Position in a tensor of shape `from` of element `i` of its broadcast to `to`.
static int64_t sourceIndex(int64_t i, const Shape &from, const Shape &to) {
  int64_t position = 0, stride = 1;
  for (size_t k = 0; k < to.size(); ++k) {
    size_t axis = to.size() - 1 - k;
    int64_t size = *to[axis].constant(), at = i % size;
    i /= size;
    if (k < from.size()) {
      int64_t own = *from[from.size() - 1 - k].constant();
      position += (own == 1 ? 0 : at) * stride;
      stride *= own;
    }
  }
  return position;
}

namespace {
/// Evaluates a body on constants by folding.
class Folder {
public:
  Folder(Node &node, ArrayRef<Tensor> inputs, BodyFn body) {
    for (const Tensor &input : inputs)
      scratch.addArgument(input.dtype().type(node.context()), node.loc());
    OpBuilder b(node.context());
    b.setInsertionPointToEnd(&scratch);
    result = body(b, node.loc(), scratch.getArguments());
  }

  /// Null if some operation does not fold.
  Attribute operator()(ArrayRef<Attribute> arguments) {
    llvm::DenseMap<Value, Attribute> known;
    for (auto [argument, value] : llvm::zip(scratch.getArguments(), arguments))
      known[argument] = value;
    for (Operation &op : scratch) {
      SmallVector<Attribute> values;
      for (Value operand : op.getOperands())
        values.push_back(known.lookup(operand));
      SmallVector<OpFoldResult> results;
      if (op.getNumRegions() || failed(op.fold(values, results)) || results.size() != 1)
        return {};
      Attribute value = dyn_cast<Attribute>(results[0]);
      if (!value)
        value = known.lookup(cast<Value>(results[0]));
      if (!value)
        return {};
      known[op.getResult(0)] = value;
    }
    return known.lookup(result);
  }

private:
  Block scratch;
  Value result;
};
} // namespace

/// The element that all positions have, if the inputs are splats.
static TypedAttr foldSplats(Node &node, ArrayRef<Tensor> inputs, BodyFn body) {
  SmallVector<Attribute> arguments;
  for (const Tensor &input : inputs)
    arguments.push_back(input.splat());
  return dyn_cast_or_null<TypedAttr>(Folder(node, inputs, body)(arguments));
}

static Tensor foldConstants(Node &node, ArrayRef<Tensor> inputs, DType out, const Shape &shape,
                            int64_t count, BodyFn body) {
  SmallVector<DenseElementsAttr> operands;
  for (const Tensor &input : inputs) {
    operands.push_back(dyn_cast_or_null<DenseElementsAttr>(input.constant()));
    if (!operands.back())
      return {};
  }
  Folder folder(node, inputs, body);
  SmallVector<Attribute> elements;
  for (int64_t i = 0; i < count; ++i) {
    SmallVector<Attribute> arguments;
    for (auto [input, dense] : llvm::zip(inputs, operands))
      arguments.push_back(dense.getValues<Attribute>()[sourceIndex(i, input.shape(), shape)]);
    elements.push_back(folder(arguments));
    if (!elements.back())
      return {};
  }
  auto type = RankedTensorType::get(staticShape(shape), out.type(node.context()));
  return Tensor::ofConstant(DenseElementsAttr::get(type, elements), out);
}

static Tensor evaluate(Node &node, ArrayRef<Tensor> inputs, DType out, const Shape &shape,
                       int64_t count, ExtentFn symbolic) {
  std::vector<Extent> elements;
  try {
    for (int64_t i = 0; i < count; ++i) {
      SmallVector<Extent> arguments;
      for (const Tensor &input : inputs) {
        if (!input.contents())
          return {};
        arguments.push_back((*input.contents())[sourceIndex(i, input.shape(), shape)]);
      }
      auto element = symbolic(node.extents(), arguments);
      if (!element)
        return {};
      elements.push_back(*element);
    }
  } catch (const std::overflow_error &) {
    // Left to run-time arithmetic, which wraps.
    return {};
  }
  return node.contents(elements, out, shape);
}

Tensor elementwise(Node &node, ArrayRef<Tensor> inputs, DType out, BodyFn body, ExtentFn symbolic) {
  SmallVector<Shape> shapes;
  for (const Tensor &input : inputs)
    shapes.push_back(input.shape());
  Shape shape = broadcastShape(node, shapes);
  Type element = out.type(node.context());

  if (llvm::all_of(inputs, [](const Tensor &t) { return bool(t.splat()); }))
    if (TypedAttr value = foldSplats(node, inputs, body))
      return Tensor::ofUniform(value, out, shape);
  Extent size = 1;
  for (const Extent &e : shape)
    size = size * e;
  // An empty shape may have symbolic extents beside its 0; constants have none.
  bool isStatic = llvm::all_of(shape, [](const Extent &e) { return e.constant().has_value(); });
  if (auto count = size.constant(); isStatic && count && *count <= Tensor::kMaxTracked) {
    bool constant = llvm::all_of(inputs, [](const Tensor &t) { return bool(t.constant()); });
    if (Tensor folded = constant ? foldConstants(node, inputs, out, shape, *count, body) : Tensor())
      return folded;
    if (Tensor known = symbolic ? evaluate(node, inputs, out, shape, *count, symbolic) : Tensor())
      return known;
  }

  SmallVector<Value> values;
  SmallVector<AffineMap> maps;
  SmallVector<TypedAttr> scalars;
  for (const Tensor &input : inputs) {
    scalars.push_back(input.splat());
    if (scalars.back())
      continue;
    Tensor operand = needsRuntimeBroadcast(node, input.shape(), shape)
                         ? runtimeBroadcast(node, input, shape)
                         : input;
    values.push_back(node.value(operand));
    maps.push_back(broadcastMap(node.context(), operand.shape(), shape));
  }
  Value result =
      generic(node, values, maps, shape, element, [&](OpBuilder &b, Location loc, ValueRange args) {
        SmallVector<Value> all;
        for (TypedAttr attr : scalars) {
          if (attr) {
            all.push_back(arith::ConstantOp::create(b, loc, attr));
          } else {
            all.push_back(args.front());
            args = args.drop_front();
          }
        }
        return body(b, loc, all);
      });
  return node.tensor(result, out, shape);
}

//===--------------------------------------------------------------------------------------------===//
// Casts and checked indices
//===--------------------------------------------------------------------------------------------===//

static Value floatToInt(OpBuilder &b, Location loc, Value v, DType to) {
  // arith.fptosi is undefined outside the range, so the value is brought inside first.
  if (v.getType().getIntOrFloatBitWidth() < 32)
    v = arith::ExtFOp::create(b, loc, b.getF32Type(), v);
  Type type = v.getType(), result = to.type(b.getContext());
  unsigned bits = to.bits();
  bool isUnsigned = to.isUnsigned();
  APInt most = isUnsigned ? APInt::getMaxValue(bits) : APInt::getSignedMaxValue(bits);
  APInt least = isUnsigned ? APInt::getMinValue(bits) : APInt::getSignedMinValue(bits);
  // 2^k bounds are exact in every float type used here.
  double above = std::ldexp(1.0, isUnsigned ? bits : bits - 1), below = isUnsigned ? 0 : -above;
  auto compare = [&](arith::CmpFPredicate predicate, double bound) -> Value {
    return arith::CmpFOp::create(b, loc, predicate, v, scalar(b, loc, type, bound));
  };
  Value high = compare(arith::CmpFPredicate::OGE, above);
  Value low = compare(arith::CmpFPredicate::OLE, below);
  Value nan = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, v, v);
  Value outside = arith::OrIOp::create(b, loc, high, arith::OrIOp::create(b, loc, low, nan));
  Value safe = arith::SelectOp::create(b, loc, outside, scalar(b, loc, type, 0), v);
  Value inside = isUnsigned ? arith::FPToUIOp::create(b, loc, result, safe).getResult()
                            : arith::FPToSIOp::create(b, loc, result, safe).getResult();
  auto constant = [&](const APInt &value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getIntegerAttr(result, value));
  };
  Value capped = arith::SelectOp::create(b, loc, high, constant(most), inside);
  return arith::SelectOp::create(b, loc, low, constant(least), capped);
}

Value castElement(OpBuilder &b, Location loc, Value v, DType from, DType to, bool saturate) {
  Type target = to.type(b.getContext());
  if (from == to)
    return v;
  if (from.isFloat8())
    return castElement(b, loc, decodeFloat8(b, loc, v, from), kFloat, to, saturate);
  if (to.isFloat8())
    return encodeFloat8(b, loc, castElement(b, loc, v, from, kFloat), to, saturate);
  if (to.isBool()) {
    Value zero = scalar(b, loc, v.getType(), 0);
    if (from.isFloat())
      return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNE, v, zero);
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, v, zero);
  }
  bool zeroExtend = from.isUnsigned() || from.isBool();
  if (from.isFloat() && to.isFloat()) {
    if (from.bits() == to.bits()) {
      v = arith::ExtFOp::create(b, loc, b.getF32Type(), v);
      return arith::TruncFOp::create(b, loc, target, v);
    }
    if (from.bits() < to.bits())
      return arith::ExtFOp::create(b, loc, target, v);
    return arith::TruncFOp::create(b, loc, target, v);
  }
  if (from.isFloat())
    return floatToInt(b, loc, v, to);
  if (to.isFloat()) {
    if (zeroExtend)
      return arith::UIToFPOp::create(b, loc, target, v);
    return arith::SIToFPOp::create(b, loc, target, v);
  }
  unsigned width = v.getType().getIntOrFloatBitWidth();
  if (width == to.bits())
    return v;
  if (width > to.bits())
    return arith::TruncIOp::create(b, loc, target, v);
  if (zeroExtend)
    return arith::ExtUIOp::create(b, loc, target, v);
  return arith::ExtSIOp::create(b, loc, target, v);
}

Tensor castTo(Node &node, const Tensor &input, DType to, bool saturate) {
  DType from = input.dtype();
  if (from == to)
    return input;
  auto symbolic = [&](Extents &extents, ArrayRef<Extent> args) -> std::optional<Extent> {
    if (to.isBool())
      return Extent(1) - extents.equal(args[0], 0);
    // Sizes fit 32 bits or the model is beyond any machine; narrower types may wrap.
    if (to.bits() >= 32)
      return args[0];
    return std::nullopt;
  };
  ExtentFn fn = symbolic;
  Tensor result = elementwise(
      node, {input}, to,
      [&](OpBuilder &b, Location loc, ValueRange args) {
        return castElement(b, loc, args[0], from, to, saturate);
      },
      to.isInteger() && from.isInteger() ? fn : ExtentFn());
  if (to == kInt64 && from == kInt32)
    result.setRamp(input.ramp());
  return result;
}

Value checkedIndex(Node &node, OpBuilder &b, Location loc, Value raw, Value dim, bool isUnsigned) {
  Type indexType = b.getIndexType();
  Value index = isUnsigned ? arith::IndexCastUIOp::create(b, loc, indexType, raw).getResult()
                           : arith::IndexCastOp::create(b, loc, indexType, raw).getResult();
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  Value negative = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, index, zero);
  Value wrapped =
      arith::SelectOp::create(b, loc, negative, arith::AddIOp::create(b, loc, index, dim), index);
  Value valid = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, wrapped, dim);
  cf::AssertOp::create(b, loc, valid,
                       "node '" + node.name() + "' (" + node.op() + "): index out of range");
  // Memory stays untouched outside the table even where assertions are dropped.
  Value last = arith::SubIOp::create(b, loc, dim, one);
  return arith::MaxSIOp::create(b, loc, arith::MinSIOp::create(b, loc, wrapped, last), zero);
}

} // namespace attune::onnx
