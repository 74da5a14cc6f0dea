#include "attune/frontend/onnx/RuntimeAxes.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::onnx {

enum class Reduce { Sum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp };

/// The opset from which axes are an input instead of an attribute.
static int axesInputVersion(Reduce kind) { return kind == Reduce::Sum ? 13 : 18; }

static Shape readAxes(Node &node, Reduce kind) {
  if (node.version() >= axesInputVersion(kind))
    return node.has(1) ? node.extentsOf(1) : Shape();
  Shape axes;
  if (node.hasAttr("axes"))
    for (int64_t axis : node.intsAttr("axes"))
      axes.push_back(axis);
  return axes;
}

/// Smallest or largest value of the type, where a maximum or minimum starts.
static TypedAttr extremum(Node &node, DType dtype, bool smallest) {
  Type type = dtype.type(node.context());
  if (dtype.isFloat()) {
    double inf = std::numeric_limits<double>::infinity();
    return FloatAttr::get(type, smallest ? -inf : inf);
  }
  unsigned bits = type.getIntOrFloatBitWidth();
  bool isUnsigned = dtype.isUnsigned() || dtype.isBool();
  APInt value = isUnsigned
                    ? (smallest ? APInt::getMinValue(bits) : APInt::getMaxValue(bits))
                    : (smallest ? APInt::getSignedMinValue(bits) : APInt::getSignedMaxValue(bits));
  return IntegerAttr::get(type, value);
}

static Value combine(OpBuilder &b, Location loc, Reduce kind, DType dtype, Value v, Value acc) {
  bool isFloat = dtype.isFloat(), isUnsigned = dtype.isUnsigned() || dtype.isBool();
  auto add = [&](Value x) -> Value {
    return isFloat ? arith::AddFOp::create(b, loc, acc, x).getResult()
                   : arith::AddIOp::create(b, loc, acc, x).getResult();
  };
  auto mul = [&](Value x, Value y) -> Value {
    return isFloat ? arith::MulFOp::create(b, loc, x, y).getResult()
                   : arith::MulIOp::create(b, loc, x, y).getResult();
  };
  switch (kind) {
  case Reduce::Max:
    return isFloat      ? arith::MaximumFOp::create(b, loc, acc, v).getResult()
           : isUnsigned ? arith::MaxUIOp::create(b, loc, acc, v).getResult()
                        : arith::MaxSIOp::create(b, loc, acc, v).getResult();
  case Reduce::Min:
    return isFloat      ? arith::MinimumFOp::create(b, loc, acc, v).getResult()
           : isUnsigned ? arith::MinUIOp::create(b, loc, acc, v).getResult()
                        : arith::MinSIOp::create(b, loc, acc, v).getResult();
  case Reduce::Prod:
    return mul(acc, v);
  case Reduce::L1:
    return add(isFloat      ? math::AbsFOp::create(b, loc, v).getResult()
               : isUnsigned ? v
                            : math::AbsIOp::create(b, loc, v).getResult());
  case Reduce::L2:
  case Reduce::SumSquare:
    return add(mul(v, v));
  default:
    return add(v);
  }
}

/// Elementwise on one tensor, in its own type.
static Tensor mapped(Node &node, const Tensor &t, BodyFn body) {
  return elementwise(node, {t}, t.dtype(), body);
}

static Tensor divideByCount(Node &node, const Tensor &sum, const Extent &count) {
  Tensor n = castTo(node, node.contents({count}, kInt64, {}), sum.dtype());
  bool isFloat = sum.dtype().isFloat(), isUnsigned = sum.dtype().isUnsigned();
  return elementwise(node, {sum, n}, sum.dtype(),
                     [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
                       if (isFloat)
                         return arith::DivFOp::create(b, loc, a[0], a[1]);
                       // An empty integer mean is 0, not a trap.
                       Value one = scalar(b, loc, a[1].getType(), 1);
                       Value d = arith::MaxUIOp::create(b, loc, a[1], one);
                       return isUnsigned ? arith::DivUIOp::create(b, loc, a[0], d).getResult()
                                         : arith::DivSIOp::create(b, loc, a[0], d).getResult();
                     });
}

/// log(sum(exp(x))), shifted by the maximum so that nothing overflows.
static Tensor logSumExp(Node &node, const Tensor &x, ArrayRef<int64_t> axes) {
  DType dtype = x.dtype();
  double inf = std::numeric_limits<double>::infinity();
  Tensor max = reduce(node, x, axes, dtype, extremum(node, dtype, true),
                      [&](OpBuilder &b, Location loc, Value v, Value acc) {
                        return combine(b, loc, Reduce::Max, dtype, v, acc);
                      });
  // inf - inf is NaN: infinite maxima do not shift.
  Tensor shift = mapped(node, max, [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
    Value size = math::AbsFOp::create(b, loc, a[0]);
    Value infinite = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, size,
                                           scalar(b, loc, size.getType(), inf));
    return arith::SelectOp::create(b, loc, infinite, scalar(b, loc, size.getType(), 0), a[0]);
  });
  Tensor e =
      elementwise(node, {x, keepDims(node, shift, axes)}, dtype,
                  [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                    return math::ExpOp::create(b, loc, arith::SubFOp::create(b, loc, a[0], a[1]));
                  });
  Tensor sum = reduce(node, e, axes, dtype, scalarAttr(node.context(), dtype, 0),
                      [&](OpBuilder &b, Location loc, Value v, Value acc) {
                        return combine(b, loc, Reduce::Sum, dtype, v, acc);
                      });
  return elementwise(
      node, {sum, shift}, dtype, [](OpBuilder &b, Location loc, ValueRange a) -> Value {
        return arith::AddFOp::create(b, loc, math::LogOp::create(b, loc, a[0]), a[1]);
      });
}

static Tensor reduceWide(Node &node, const Tensor &x, Reduce kind, ArrayRef<int64_t> axes) {
  DType dtype = x.dtype();
  if (kind == Reduce::LogSumExp)
    return logSumExp(node, x, axes);
  TypedAttr init = kind == Reduce::Max || kind == Reduce::Min
                       ? extremum(node, dtype, kind == Reduce::Max)
                       : scalarAttr(node.context(), dtype, kind == Reduce::Prod ? 1 : 0);
  Tensor result =
      reduce(node, x, axes, dtype, init, [&](OpBuilder &b, Location loc, Value v, Value acc) {
        return combine(b, loc, kind, dtype, v, acc);
      });
  if (kind == Reduce::Mean) {
    Extent count = 1;
    for (int64_t axis : axes)
      count = count * x.dim(axis);
    return divideByCount(node, result, count);
  }
  if (kind == Reduce::L2)
    return mapped(node, result, [](OpBuilder &b, Location loc, ValueRange a) -> Value {
      return math::SqrtOp::create(b, loc, a[0]);
    });
  if (kind == Reduce::LogSum)
    return mapped(node, result, [](OpBuilder &b, Location loc, ValueRange a) -> Value {
      return math::LogOp::create(b, loc, a[0]);
    });
  return result;
}

/// Products, sums, maxima and minima of shapes stay known.
static bool reduceContents(Node &node, const Tensor &input, Reduce kind, bool keep) {
  bool known =
      input.contents() && input.rank() == 1 && !input.contents()->empty() &&
      (kind == Reduce::Prod || kind == Reduce::Sum || kind == Reduce::Max || kind == Reduce::Min);
  if (!known || input.dtype().bits() < 32)
    return false;
  Extents &extents = node.extents();
  Extent e = input.contents()->front();
  for (const Extent &next : llvm::drop_begin(*input.contents()))
    e = kind == Reduce::Prod  ? e * next
        : kind == Reduce::Sum ? e + next
        : kind == Reduce::Max ? extents.max(e, next)
                              : extents.min(e, next);
  node.setOutput(0, node.contents({e}, input.dtype(), keep ? Shape{1} : Shape{}));
  return true;
}

/// Along axes that only the run knows: the input as [kept sizes..., reduced sizes...], where an
/// axis has its size in one place and 1 in the other.
static Tensor reduceAtRunTime(Node &node, const Tensor &input, Reduce kind, const Shape &axes,
                              bool keep) {
  int64_t rank = input.rank();
  RuntimeAxes named(node, axes, rank);
  Shape kept, split;
  for (int64_t axis = 0; axis < rank; ++axis)
    kept.push_back(named.select(axis, 1, input.dim(axis)));
  split = kept;
  for (int64_t axis = 0; axis < rank; ++axis)
    split.push_back(named.select(axis, input.dim(axis), 1));
  Tensor apart = remap(node, input, split, [&](OpBuilder &b, Location loc, ValueRange i) {
    SmallVector<Value> at;
    for (int64_t axis = 0; axis < rank; ++axis)
      at.push_back(arith::AddIOp::create(b, loc, i[axis], i[rank + axis]));
    return at;
  });
  SmallVector<int64_t> reduced = llvm::to_vector(llvm::seq<int64_t>(rank, 2 * rank));
  Tensor result = reduceWide(node, apart, kind, reduced);
  return keep ? result : reshape(node, result, named.removedFrom(input.shape()));
}

template <Reduce kind> static void convertReduce(Node &node) {
  Tensor input = node.input(0);
  bool keep = node.flagAttr("keepdims");
  bool noop = node.version() >= axesInputVersion(kind) && node.flagAttr("noop_with_empty_axes");
  Shape given = readAxes(node, kind);
  bool known = llvm::all_of(given, [](const Extent &e) { return e.constant().has_value(); });
  std::vector<int64_t> axes;
  bool elementwiseOnly = given.empty() && noop;
  if (known)
    for (const Extent &axis : given)
      axes.push_back(*axis.constant());
  axes = node.normaliseAxes(axes, input.rank());
  if (given.empty() && !noop)
    axes.assign(llvm::seq<int64_t>(0, input.rank()).begin(),
                llvm::seq<int64_t>(0, input.rank()).end());
  if (axes.size() == 1 && reduceContents(node, input, kind, keep))
    return;
  DType dtype = input.dtype();
  bool floatOnly = kind == Reduce::L2 || kind == Reduce::LogSum || kind == Reduce::LogSumExp;
  bool orderOnly = kind == Reduce::Max || kind == Reduce::Min;
  if ((dtype.isFloat() && dtype.bits() == 8) || (dtype.isBool() && !orderOnly))
    node.unsupported("element type " + dtype.name() + "; accepted: integers and floats");
  // Integers under a root or logarithm are computed in double and truncated, as numpy's cast does.
  DType wide = dtype.isFloat() ? (dtype.bits() < 32 ? kFloat : dtype)
               : floatOnly     ? DType(11)
                               : dtype;
  Tensor x = castTo(node, input, wide);
  if (!known)
    return node.setOutput(0, castTo(node, reduceAtRunTime(node, x, kind, given, keep), dtype));
  Tensor result = castTo(node, reduceWide(node, x, kind, axes), dtype);
  node.setOutput(0, keep && !elementwiseOnly ? keepDims(node, result, axes) : result);
}

void registerReduction(Registry &registry) {
  registry.add("ReduceL1", 1, convertReduce<Reduce::L1>);
  registry.add("ReduceL2", 1, convertReduce<Reduce::L2>);
  registry.add("ReduceLogSum", 1, convertReduce<Reduce::LogSum>);
  registry.add("ReduceLogSumExp", 1, convertReduce<Reduce::LogSumExp>);
  registry.add("ReduceMax", 1, convertReduce<Reduce::Max>);
  registry.add("ReduceMean", 1, convertReduce<Reduce::Mean>);
  registry.add("ReduceMin", 1, convertReduce<Reduce::Min>);
  registry.add("ReduceProd", 1, convertReduce<Reduce::Prod>);
  registry.add("ReduceSum", 1, convertReduce<Reduce::Sum>);
  registry.add("ReduceSumSquare", 1, convertReduce<Reduce::SumSquare>);
}

} // namespace attune::onnx
