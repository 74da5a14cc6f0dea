#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::onnx {

static Tensor ofInts(Node &node, ArrayRef<int64_t> values, Shape shape) {
  auto type = RankedTensorType::get(staticShape(shape), IntegerType::get(node.context(), 64));
  return Tensor::ofConstant(DenseElementsAttr::get(type, values), kInt64);
}

static Tensor ofFloats(Node &node, ArrayRef<double> values, Shape shape) {
  SmallVector<float> floats(values.begin(), values.end());
  auto type = RankedTensorType::get(staticShape(shape), Float32Type::get(node.context()));
  return Tensor::ofConstant(DenseElementsAttr::get(type, ArrayRef<float>(floats)), kFloat);
}

static void convertConstant(Node &node) {
  if (node.hasAttr("value_int"))
    return node.setOutput(0, ofInts(node, {node.intAttr("value_int")}, {}));
  if (node.hasAttr("value_float"))
    return node.setOutput(0, ofFloats(node, {node.floatAttr("value_float")}, {}));
  if (node.hasAttr("value_ints")) {
    auto values = node.intsAttr("value_ints");
    return node.setOutput(0, ofInts(node, values, {int64_t(values.size())}));
  }
  if (node.hasAttr("value_floats")) {
    auto values = node.floatsAttr("value_floats");
    return node.setOutput(0, ofFloats(node, values, {int64_t(values.size())}));
  }
  if (node.hasAttr("value_string") || node.hasAttr("value_strings"))
    node.unsupported("a constant of strings; accepted: numbers and bool");
  if (node.hasAttr("sparse_value"))
    node.unsupported("a sparse constant; accepted: a dense one");
  node.setOutput(0, node.tensorAttr("value"));
}

static void convertConstantOfShape(Node &node) {
  Shape shape = node.extentsOf(0);
  for (const Extent &e : shape)
    if (node.extents().low(e) < 0)
      node.require(node.extents().less(-1, e), "a size is negative");
  Tensor value = node.hasAttr("value") ? node.tensorAttr("value") : scalarTensor(node, kFloat, 0);
  node.check(value.staticSize() == 1, "attribute 'value' must have one element");
  DType dtype = value.dtype();
  node.setOutput(0, Tensor::ofUniform(value.splat(), dtype, shape));
}

/// start + i * delta in the element type.
static void convertRange(Node &node) {
  Tensor start = node.input(0), limit = node.input(1), delta = node.input(2);
  DType dtype = start.dtype();
  for (const Tensor &t : {start, limit, delta})
    node.check(t.rank() == 0 || t.size().is(1), "an input is not a scalar");
  Extent count;
  Extents &extents = node.extents();
  if (dtype.isInteger()) {
    Extent from = node.extentsOf(0)[0], to = node.extentsOf(1)[0], step = node.extentsOf(2)[0];
    node.require(Extent(1) - extents.equal(step, 0), "input 'delta' is 0");
    bool backwards = extents.high(step) < 0;
    Extent span = backwards ? from - to : to - from, by = backwards ? Extent(0) - step : step;
    // The first form needs a positive divisor.
    Extent whole = by.constant() ? extents.ceilDiv(span, by)
                                 : Extent(0) - extents.floorDiv(Extent(0) - span, by);
    count = extents.max(whole, 0);
    auto known = count.constant();
    if (known && *known <= Tensor::kMaxTracked) {
      std::vector<Extent> elements;
      for (int64_t i = 0; i < *known; ++i)
        elements.push_back(from + i * step);
      return node.setOutput(0, node.contents(elements, dtype, {count}));
    }
  } else {
    Tensor steps = elementwise(
        node, {reshape(node, start, {}), reshape(node, limit, {}), reshape(node, delta, {})},
        kInt64, [&](OpBuilder &b, Location loc, ValueRange a) {
          Value span = arith::SubFOp::create(b, loc, a[1], a[0]);
          Value exact = arith::DivFOp::create(b, loc, span, a[2]);
          return castElement(b, loc, math::CeilOp::create(b, loc, exact), dtype, kInt64);
        });
    count = extents.max(node.extentsOf(steps, "the number of elements")[0], 0);
    node.check(!count.constant() || *count.constant() < (int64_t(1) << 48),
               "the range has no finite length");
  }
  Shape shape = {count};
  auto scalarOf = [&](const Tensor &t) { return reshape(node, t, {}); };
  Value values[2];
  TypedAttr splats[2] = {start.splat(), delta.splat()};
  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  for (int i = 0; i < 2; ++i)
    if (!splats[i]) {
      operands.push_back(node.value(scalarOf(i == 0 ? start : delta)));
      maps.push_back(AffineMap::get(1, 0, node.context()));
    }
  Value result = generic(node, operands, maps, shape, dtype.type(node.context()),
                         [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                           for (int i = 0; i < 2; ++i) {
                             if (splats[i]) {
                               values[i] = arith::ConstantOp::create(b, loc, splats[i]);
                             } else {
                               values[i] = args.front();
                               args = args.drop_front();
                             }
                           }
                           Value index = linalg::IndexOp::create(b, loc, 0);
                           Value i64 = arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
                           Value i = castElement(b, loc, i64, kInt64, dtype);
                           if (dtype.isFloat())
                             return arith::AddFOp::create(
                                 b, loc, values[0], arith::MulFOp::create(b, loc, i, values[1]));
                           return arith::AddIOp::create(
                               b, loc, values[0], arith::MulIOp::create(b, loc, i, values[1]));
                         });
  Tensor range = node.tensor(result, dtype, shape);
  if (auto step = dtype.isInteger() ? node.extentsOf(2)[0].constant() : std::nullopt)
    if (start.contents())
      range.setRamp(Ramp{0, start.contents()->front(), *step});
  node.setOutput(0, range);
}

static void convertIdentity(Node &node) { node.setOutput(0, node.input(0)); }

/// For targets of 8 bits; `saturate` is 1 where there is no such attribute.
static bool readSaturate(Node &node) {
  node.dropAttr("round_mode"); // for float8e8m0 only, which has no counterpart
  return !node.hasAttr("saturate") || node.flagAttr("saturate");
}

static void convertCast(Node &node) {
  bool saturate = readSaturate(node);
  node.setOutput(0, castTo(node, node.input(0), int(node.intAttr("to")), saturate));
}

static void convertCastLike(Node &node) {
  bool saturate = readSaturate(node);
  node.setOutput(0, castTo(node, node.input(0), node.dtype(1), saturate));
}

/// The same bits as another type of the same width.
static void convertBitCast(Node &node) {
  Tensor input = node.input(0);
  DType from = input.dtype(), to = int(node.intAttr("to"));
  Type source = from.type(node.context()), target = to.type(node.context());
  node.check(from.bits() == to.bits(), "a cast from " + from.name() + " to " + to.name() +
                                           "; accepted: a type of the same width");
  if (from.isBool() != to.isBool()) {
    // A byte of a bool is 0 or 1; the other way round only those two are bools.
    if (to.isBool())
      node.unsupported("a bit cast to bool");
    return node.setOutput(0, castTo(node, input, to));
  }
  node.setOutput(
      0, elementwise(node, {input}, to, [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
        return source == target ? a[0] : b.createOrFold<arith::BitcastOp>(loc, target, a[0]);
      }));
}

/// 1 on the k-th diagonal.
static void convertEyeLike(Node &node) {
  Tensor input = node.input(0);
  node.check(input.rank() == 2,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 2");
  DType dtype = node.hasAttr("dtype") ? DType(node.intAttr("dtype")) : input.dtype();
  int64_t k = node.intAttr("k", 0);
  TypedAttr one = scalarAttr(node.context(), dtype, 1), zero = scalarAttr(node.context(), dtype, 0);
  Value result =
      generic(node, {}, {}, input.shape(), dtype.type(node.context()),
              [&](OpBuilder &b, Location loc, ValueRange) -> Value {
                Value i = linalg::IndexOp::create(b, loc, 0);
                Value j = linalg::IndexOp::create(b, loc, 1);
                Value shifted =
                    arith::AddIOp::create(b, loc, i, arith::ConstantIndexOp::create(b, loc, k));
                Value on = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, j, shifted);
                return arith::SelectOp::create(b, loc, on, arith::ConstantOp::create(b, loc, one),
                                               arith::ConstantOp::create(b, loc, zero));
              });
  node.setOutput(0, node.tensor(result, dtype, input.shape()));
}

static void convertShape(Node &node) {
  const Tensor input = node.input(0);
  int64_t rank = input.rank();
  int64_t start = node.intAttr("start", 0), end = node.intAttr("end", rank);
  start = std::clamp(start < 0 ? start + rank : start, int64_t(0), rank);
  end = std::clamp(end < 0 ? end + rank : end, start, rank);
  std::vector<Extent> sizes(input.shape().begin() + start, input.shape().begin() + end);
  node.setOutput(0, node.contents(sizes, kInt64, {int64_t(sizes.size())}));
}

static void convertSize(Node &node) {
  node.setOutput(0, node.contents({node.input(0).size()}, kInt64, {}));
}

static void convertDropout(Node &node) {
  node.dropAttr("seed");
  node.dropAttr("ratio");
  if (node.has(2)) {
    auto training = node.constantInts(2);
    if (training.size() != 1 || training[0] != 0)
      node.unsupported("training mode; accepted: inference");
  }
  Tensor input = node.input(0);
  node.setOutput(0, input);
  if (node.wants(1))
    node.setOutput(1,
                   Tensor::ofUniform(scalarAttr(node.context(), kBool, 1), kBool, input.shape()));
}

void registerConstants(Registry &registry) {
  registry.add("BitCast", 26, convertBitCast);
  registry.add("Cast", 6, convertCast);
  registry.add("CastLike", 15, convertCastLike);
  registry.add("Constant", 1, convertConstant);
  registry.add("ConstantOfShape", 9, convertConstantOfShape);
  registry.add("Dropout", 7, convertDropout);
  registry.add("EyeLike", 9, convertEyeLike);
  registry.add("Identity", 1, convertIdentity);
  registry.add("Range", 11, convertRange);
  registry.add("Shape", 1, convertShape);
  registry.add("Size", 1, convertSize);
}

} // namespace attune::onnx
