#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace attune;

Value Lowering::constant(Type type, double value) {
  TypedAttr attr = isa<FloatType>(type) ? TypedAttr(builder.getFloatAttr(type, value))
                                        : builder.getIntegerAttr(type, static_cast<int64_t>(value));
  return arith::ConstantOp::create(builder, loc, attr);
}

Value Lowering::index(OpFoldResult value) {
  return getValueOrCreateConstantIndexOp(builder, loc, value);
}

Value Lowering::cast(Value value, FloatType type) {
  auto from = llvm::cast<FloatType>(value.getType());
  if (from == type)
    return value;
  if (from.getWidth() < type.getWidth())
    return op<arith::ExtFOp>(type, value);
  if (from.getWidth() > type.getWidth())
    return op<arith::TruncFOp>(type, value);
  // Two formats of one width (f16, bf16) meet in f32.
  return op<arith::TruncFOp>(type, op<arith::ExtFOp>(builder.getF32Type(), value));
}

Value Lowering::toFloat(Value index, FloatType type) {
  if (index.getType().isIndex())
    index = op<arith::IndexCastOp>(builder.getI64Type(), index);
  return op<arith::SIToFPOp>(type, index);
}

Value Lowering::toIndex(Value integer) {
  if (integer.getType().isIndex())
    return integer;
  return op<arith::IndexCastOp>(builder.getIndexType(), integer);
}

Value Lowering::compare(arith::CmpIPredicate predicate, Value lhs, Value rhs) {
  return op<arith::CmpIOp>(predicate, lhs, rhs);
}

Value Lowering::isMinusInfinity(Value value) {
  Value infinity = constant(value.getType(), -std::numeric_limits<double>::infinity());
  return op<arith::CmpFOp>(arith::CmpFPredicate::OEQ, value, infinity);
}

Value Lowering::select(Value condition, Value yes, Value no) {
  return op<arith::SelectOp>(condition, yes, no);
}

Value Lowering::fill(ArrayRef<OpFoldResult> shape, Value scalar) {
  Value empty = op<tensor::EmptyOp>(shape, scalar.getType());
  return linalg::FillOp::create(builder, loc, scalar, empty).getResult(0);
}

Value Lowering::castTo(Value tensor, Type type) {
  return tensor.getType() == type ? tensor : op<tensor::CastOp>(type, tensor);
}

Value Lowering::castElements(Value tensor, Value like) {
  auto type = llvm::cast<RankedTensorType>(like.getType());
  auto element = llvm::cast<FloatType>(type.getElementType());
  Value copy = elementwise(tensor, prefix(type.getRank(), type.getRank()), sizes(tensor), element,
                           [&](ValueRange args) { return cast(args[0], element); });
  return castTo(copy, type);
}

AffineMap Lowering::prefix(int64_t loops, int64_t results) {
  SmallVector<AffineExpr> exprs;
  for (int64_t loop = 0; loop < results; ++loop)
    exprs.push_back(d(loop));
  return map(loops, exprs);
}

static Value generic(Lowering &lower, ValueRange inputs, ArrayRef<AffineMap> inputMaps, Value init,
                     AffineMap outMap, bool passOld, Lowering::Body body) {
  SmallVector<AffineMap> maps(inputMaps);
  maps.push_back(outMap);
  SmallVector<utils::IteratorType> iterators;
  for (unsigned loop = 0; loop < outMap.getNumDims(); ++loop)
    iterators.push_back(outMap.isFunctionOfDim(loop) ? utils::IteratorType::parallel
                                                     : utils::IteratorType::reduction);
  auto op = linalg::GenericOp::create(
      lower.builder, lower.loc, init.getType(), inputs, init, maps, iterators,
      [&](OpBuilder &builder, Location loc, ValueRange args) {
        linalg::YieldOp::create(builder, loc, body(passOld ? args : args.drop_back()));
      });
  return op.getResult(0);
}

Value Lowering::elementwise(ValueRange inputs, ArrayRef<AffineMap> maps,
                            ArrayRef<OpFoldResult> shape, Type element, Body body) {
  Value init = op<tensor::EmptyOp>(shape, element);
  AffineMap identity = prefix(shape.size(), shape.size());
  return generic(*this, inputs, maps, init, identity, false, body);
}

Value Lowering::accumulate(ValueRange inputs, ArrayRef<AffineMap> maps, Value init,
                           AffineMap outMap, Body body) {
  return generic(*this, inputs, maps, init, outMap, true, body);
}

Value Lowering::accumulateGrouped(Value lhs, AffineMap lhsMap, Value grouped,
                                  ArrayRef<int64_t> inner, OpFoldResult heads, Value init,
                                  AffineMap outMap, Body body) {
  int64_t kvHeads = llvm::cast<RankedTensorType>(grouped.getType()).getDimSize(1);
  if (auto known = getConstantIntValue(heads); known && ShapedType::isStatic(kvHeads)) {
    int64_t size = kvHeads ? *known / kvHeads : 1;
    SmallVector<AffineExpr> exprs{d(0), size > 1 ? d(1).floorDiv(size) : d(1)};
    for (int64_t loop : inner)
      exprs.push_back(d(loop));
    return accumulate({lhs, grouped}, {lhsMap, map(lhsMap.getNumDims(), exprs)}, init, outMap,
                      body);
  }
  // The guards keep the divisions defined when there are no heads at all.
  Value atLeastOne = op<arith::MaxUIOp>(op<tensor::DimOp>(grouped, 1), index(1));
  Value group = op<arith::MaxUIOp>(op<arith::DivUIOp>(index(heads), atLeastOne), index(1));
  return accumulate(lhs, lhsMap, init, outMap, [&](ValueRange args) {
    SmallVector<Value> indices{loop(0), op<arith::DivUIOp>(loop(1), group)};
    for (int64_t number : inner)
      indices.push_back(loop(number));
    return body({args[0], op<tensor::ExtractOp>(grouped, indices), args.back()});
  });
}

OpFoldResult Lowering::extent(Operation *op, ArrayRef<std::pair<Value, int64_t>> candidates) {
  for (auto [value, dim] : candidates)
    if (value && !llvm::cast<RankedTensorType>(value.getType()).isDynamicDim(dim))
      return builder.getIndexAttr(llvm::cast<RankedTensorType>(value.getType()).getDimSize(dim));
  for (auto [value, dim] : candidates)
    if (value && value.getDefiningOp() != op)
      return tensor::getMixedSize(builder, loc, value, dim);
  return {};
}

namespace {
/// One position of one axis of a tensor.
struct Position {
  Position(Lowering &lower, Value tensor, int64_t axis, OpFoldResult at)
      : offsets(cast<RankedTensorType>(tensor.getType()).getRank(), lower.builder.getIndexAttr(0)),
        sizes(lower.sizes(tensor)), strides(offsets.size(), lower.builder.getIndexAttr(1)) {
    offsets[axis] = at;
    sizes[axis] = lower.builder.getIndexAttr(1);
  }
  Lowering::Shape offsets, sizes, strides;
};
} // namespace

Value Lowering::sliceAt(Value tensor, int64_t axis, OpFoldResult at) {
  Position position(*this, tensor, axis, at);
  auto type = llvm::cast<RankedTensorType>(tensor.getType());
  SmallVector<int64_t> shape(type.getShape());
  shape.erase(shape.begin() + axis);
  return op<tensor::ExtractSliceOp>(type.clone(shape), tensor, position.offsets, position.sizes,
                                    position.strides);
}

Value Lowering::insertAt(Value slice, Value tensor, int64_t axis, OpFoldResult at) {
  Position position(*this, tensor, axis, at);
  return op<tensor::InsertSliceOp>(slice, tensor, position.offsets, position.sizes,
                                   position.strides);
}

Value Lowering::inlineBody(Region &region, ValueRange args) {
  IRMapping values;
  values.map(region.getArguments(), args);
  for (Operation &inner : region.front().without_terminator())
    builder.clone(inner, values);
  return values.lookupOrDefault(region.front().getTerminator()->getOperand(0));
}

Value Lowering::loop(int64_t number) { return op<linalg::IndexOp>(number); }
