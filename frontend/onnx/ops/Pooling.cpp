#include "attune/frontend/onnx/ops/Window.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {

using CombineFn = llvm::function_ref<Value(OpBuilder &, Location, Value element, Value total)>;

/// Combines the elements of every window, from `init` on. Padding holds `init` too.
static Tensor overWindows(Node &node, const Tensor &input, const Window &window, TypedAttr init,
                          CombineFn combine) {
  MLIRContext *context = node.context();
  int64_t rank = window.rank(), loops = 2 + 2 * rank;
  Tensor source = padded(node, input, window, init);
  Shape out = {input.dim(0), input.dim(1)}, kernel;
  out.append(window.out.begin(), window.out.end());
  SmallVector<AffineExpr> x{getAffineDimExpr(0, context), getAffineDimExpr(1, context)}, k, y = x;
  for (int64_t axis = 0; axis < rank; ++axis) {
    AffineExpr position = getAffineDimExpr(2 + axis, context);
    AffineExpr tap = getAffineDimExpr(2 + rank + axis, context);
    x.push_back(position * window.strides[axis] + tap * window.dilations[axis]);
    y.push_back(position);
    k.push_back(tap);
    kernel.push_back(window.kernel[axis]);
  }
  SmallVector<AffineMap> maps{AffineMap::get(loops, 0, x, context),
                              AffineMap::get(loops, 0, k, context),
                              AffineMap::get(loops, 0, y, context)};
  SmallVector<utils::IteratorType> iterators(loops, utils::IteratorType::parallel);
  std::fill(iterators.begin() + 2 + rank, iterators.end(), utils::IteratorType::reduction);
  Value taps = empty(node, kernel, input.dtype().type(context));
  Value start = filled(node, out, init);
  auto op = linalg::GenericOp::create(
      node.builder(), node.loc(), start.getType(), ValueRange{node.value(source), taps},
      ValueRange{start}, maps, iterators, [&](OpBuilder &b, Location loc, ValueRange args) {
        linalg::YieldOp::create(b, loc, combine(b, loc, args[0], args[2]));
      });
  return node.tensor(op.getResult(0), input.dtype(), out);
}

static Value addElements(OpBuilder &b, Location loc, Value element, Value total) {
  return arith::AddFOp::create(b, loc, total, element);
}

static void checkFloat(Node &node, const Tensor &input) {
  if (!input.dtype().isFloat() || input.dtype().bits() < 32)
    node.unsupported("element type " + input.dtype().name() + "; accepted: float, double");
}

/// Where in the input, counted over all of it, each maximum stands: the first of equal ones.
/// Columns come first in memory with `columnMajor`.
static Tensor positionsOfMaxima(Node &node, const Tensor &input, const Tensor &maxima,
                                const Window &window, bool columnMajor) {
  MLIRContext *context = node.context();
  int64_t rank = window.rank(), loops = 2 + 2 * rank;
  SmallVector<AffineExpr> taps;
  Shape kernel;
  for (int64_t axis = 0; axis < rank; ++axis) {
    taps.push_back(getAffineDimExpr(2 + rank + axis, context));
    kernel.push_back(window.kernel[axis]);
  }
  AffineMap own = AffineMap::getMultiDimIdentityMap(loops, context).getMajorSubMap(2 + rank);
  SmallVector<AffineMap> maps{own, AffineMap::get(loops, 0, taps, context), own};
  SmallVector<utils::IteratorType> iterators(loops, utils::IteratorType::parallel);
  std::fill(iterators.begin() + 2 + rank, iterators.end(), utils::IteratorType::reduction);
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Type element = input.dtype().type(context), i64 = b.getI64Type();
  Value source = node.value(input), shapeOnly = empty(node, kernel, element);
  SmallVector<Value> sizes, before;
  for (int64_t axis = 0; axis < rank; ++axis) {
    sizes.push_back(node.index(input.dim(2 + axis)));
    before.push_back(node.index(window.before[axis]));
  }
  Value channels = node.index(input.dim(1));
  auto none = b.getI64IntegerAttr(std::numeric_limits<int64_t>::max());
  Value init = filled(node, maxima.shape(), none);
  auto op =
      linalg::GenericOp::create(b, loc, init.getType(), ValueRange{node.value(maxima), shapeOnly},
                                ValueRange{init}, maps, iterators);
  OpBuilder::InsertionGuard guard(b);
  Block *block = b.createBlock(&op.getRegion(), {}, {element, element, i64}, {loc, loc, loc});
  auto constant = [&](int64_t v) -> Value { return arith::ConstantIndexOp::create(b, loc, v); };
  SmallVector<Value> at{linalg::IndexOp::create(b, loc, 0), linalg::IndexOp::create(b, loc, 1)};
  Value place =
      arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, at[0], channels), at[1]);
  Value inside = arith::ConstantIntOp::create(b, loc, 1, 1), zero = constant(0), within = zero;
  SmallVector<Value> raw;
  for (int64_t axis = 0; axis < rank; ++axis) {
    Value out = linalg::IndexOp::create(b, loc, 2 + axis);
    Value tap = linalg::IndexOp::create(b, loc, 2 + rank + axis);
    Value i = arith::AddIOp::create(
        b, loc, arith::MulIOp::create(b, loc, out, constant(window.strides[axis])),
        arith::MulIOp::create(b, loc, tap, constant(window.dilations[axis])));
    raw.push_back(arith::SubIOp::create(b, loc, i, before[axis]));
    Value ok = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, raw.back(), sizes[axis]);
    inside = arith::AndIOp::create(b, loc, inside, ok);
    at.push_back(arith::SelectOp::create(b, loc, ok, raw.back(), zero));
    place = arith::MulIOp::create(b, loc, place, sizes[axis]);
  }
  for (int64_t k = 0; k < rank; ++k) {
    int64_t axis = columnMajor ? rank - 1 - k : k;
    within = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, within, sizes[axis]),
                                   raw[axis]);
  }
  place = arith::AddIOp::create(b, loc, place, within);
  Value v = tensor::ExtractOp::create(b, loc, source, at), greatest = block->getArgument(0), hit;
  if (input.dtype().isFloat()) {
    // NaN is a maximum too.
    hit = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UEQ, v, greatest);
  } else {
    hit = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, v, greatest);
  }
  hit = arith::AndIOp::create(b, loc, hit, inside);
  Value mine = arith::SelectOp::create(b, loc, hit, arith::IndexCastOp::create(b, loc, i64, place),
                                       arith::ConstantOp::create(b, loc, none));
  Value least = arith::MinSIOp::create(b, loc, block->getArgument(2), mine);
  linalg::YieldOp::create(b, loc, least);
  return node.tensor(op.getResult(0), kInt64, maxima.shape());
}

static Tensor maxPool(Node &node, const Tensor &input, const Window &window) {
  if (input.dtype().isFloat8())
    node.unsupported("element type " + input.dtype().name() + "; accepted: integers and floats");
  Type type = input.dtype().type(node.context());
  if (input.dtype().isFloat()) {
    TypedAttr lowest = FloatAttr::get(type, -std::numeric_limits<double>::infinity());
    return overWindows(node, input, window, lowest,
                       [](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                         return arith::MaximumFOp::create(b, loc, acc, v);
                       });
  }
  unsigned bits = type.getIntOrFloatBitWidth();
  bool isUnsigned = input.dtype().isUnsigned();
  TypedAttr lowest = IntegerAttr::get(type, isUnsigned ? APInt::getMinValue(bits)
                                                       : APInt::getSignedMinValue(bits));
  return overWindows(node, input, window, lowest,
                     [&](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                       return isUnsigned ? arith::MaxUIOp::create(b, loc, acc, v).getResult()
                                         : arith::MaxSIOp::create(b, loc, acc, v).getResult();
                     });
}

static void convertMaxPool(Node &node) {
  Tensor input = node.input(0);
  bool columnMajor = node.hasAttr("storage_order") && node.flagAttr("storage_order", 0);
  node.check(!columnMajor || node.wants(1),
             "attribute 'storage_order' only has a meaning with output 'Indices'");
  Window window = readWindow(node, input, std::nullopt);
  Tensor maxima = maxPool(node, input, window);
  node.setOutput(0, maxima);
  if (node.wants(1))
    node.setOutput(1, positionsOfMaxima(node, input, maxima, window, columnMajor));
}

static void convertAveragePool(Node &node) {
  Tensor input = node.input(0);
  checkFloat(node, input);
  bool includePad = node.flagAttr("count_include_pad", 0);
  bool ceil = node.hasAttr("ceil_mode") && node.flagAttr("ceil_mode", 0);
  Window window = readWindow(node, input, std::nullopt);
  MLIRContext *context = node.context();
  TypedAttr zero = scalarAttr(context, input.dtype(), 0);
  Tensor sum = overWindows(node, input, window, zero, addElements);
  Tensor count;
  if (ceil && includePad && window.isPadded()) {
    // Padding that is asked for counts, what the rounding up of the size adds does not.
    Shape ones = {1, 1};
    Window rest = window;
    for (int64_t axis = 0; axis < window.rank(); ++axis) {
      ones.push_back(input.dim(axis + 2) + window.before[axis] + window.after[axis] -
                     window.excess[axis]);
      rest.before[axis] = 0;
      rest.after[axis] = window.excess[axis];
    }
    Tensor inside =
        node.tensor(filled(node, ones, scalarAttr(context, input.dtype(), 1)), input.dtype(), ones);
    count = overWindows(node, inside, rest, zero, addElements);
  } else if (includePad || !window.isPadded()) {
    int64_t taps = 1;
    for (int64_t k : window.kernel)
      taps *= k;
    count = scalarTensor(node, input.dtype(), taps);
  } else {
    Shape ones = input.shape();
    ones[0] = ones[1] = 1;
    Tensor inside =
        node.tensor(filled(node, ones, scalarAttr(context, input.dtype(), 1)), input.dtype(), ones);
    count = overWindows(node, inside, window, zero, addElements);
  }
  node.setOutput(0, elementwise(node, {sum, count}, input.dtype(),
                                [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                                  return arith::DivFOp::create(b, loc, args[0], args[1]);
                                }));
}

/// (sum of |x|^p over the window)^(1/p)
static void convertLpPool(Node &node) {
  Tensor input = node.input(0);
  checkFloat(node, input);
  double p = node.version() < 2 ? node.floatAttr("p", 2.0) : double(node.intAttr("p", 2));
  node.check(p > 0, "attribute 'p' is not positive");
  Window window = readWindow(node, input, std::nullopt);
  auto power = [&](const Tensor &t, double exponent) {
    return elementwise(
        node, {t}, t.dtype(), [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
          Value size = math::AbsFOp::create(b, loc, a[0]);
          if (exponent == 1)
            return size;
          if (exponent == 2)
            return arith::MulFOp::create(b, loc, size, size);
          if (exponent == 0.5)
            return math::SqrtOp::create(b, loc, size);
          return math::PowFOp::create(b, loc, size, scalar(b, loc, size.getType(), exponent));
        });
  };
  TypedAttr zero = scalarAttr(node.context(), input.dtype(), 0);
  node.setOutput(0, power(overWindows(node, power(input, p), window, zero, addElements), 1 / p));
}

template <bool average> static void convertGlobalPool(Node &node) {
  Tensor input = node.input(0);
  checkFloat(node, input);
  node.check(input.rank() >= 2,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 2 or more");
  MLIRContext *context = node.context();
  SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(2, input.rank()));
  TypedAttr init = average ? scalarAttr(context, input.dtype(), 0)
                           : TypedAttr(FloatAttr::get(input.dtype().type(context),
                                                      -std::numeric_limits<double>::infinity()));
  Tensor total = reduce(node, input, axes, input.dtype(), init,
                        [](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                          return average ? arith::AddFOp::create(b, loc, acc, v).getResult()
                                         : arith::MaximumFOp::create(b, loc, acc, v).getResult();
                        });
  total = keepDims(node, total, axes);
  if (!average)
    return node.setOutput(0, total);
  Extent count = 1;
  for (int64_t axis : axes)
    count = count * input.dim(axis);
  Tensor divisor = castTo(node, node.contents({count}, kInt64, {}), input.dtype());
  node.setOutput(0, elementwise(node, {total, divisor}, input.dtype(),
                                [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                                  return arith::DivFOp::create(b, loc, args[0], args[1]);
                                }));
}

void registerPooling(Registry &registry) {
  registry.add("AveragePool", 1, convertAveragePool);
  registry.add("GlobalAveragePool", 1, convertGlobalPool<true>);
  registry.add("GlobalMaxPool", 1, convertGlobalPool<false>);
  registry.add("LpPool", 1, convertLpPool);
  registry.add("MaxPool", 1, convertMaxPool);
}

} // namespace attune::onnx
