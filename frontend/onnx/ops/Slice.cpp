#include "attune/frontend/onnx/RuntimeAxes.h"

#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"

using namespace mlir;

namespace attune::onnx {

/// A position counted from the end if negative. Huge values stand for the ends.
static Extent position(Extents &extents, const Extent &e, const Extent &size) {
  constexpr int64_t huge = int64_t(1) << 31;
  if (auto c = e.constant(); c && *c >= huge - 1)
    return extents.max(size, e);
  if (auto c = e.constant(); c && *c <= -huge)
    return -1;
  return extents.select(extents.less(e, 0), e + size, e);
}

/// The elements that start, start + stride, ... name along every axis.
static Tensor strided(Node &node, const Tensor &input, const Shape &shape, ArrayRef<Value> offsets,
                      ArrayRef<Value> strides) {
  return remap(node, input, shape, [&](OpBuilder &b, Location loc, ValueRange i) {
    SmallVector<Value> at;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      Value moved = arith::MulIOp::create(b, loc, i[axis], strides[axis]);
      at.push_back(arith::AddIOp::create(b, loc, offsets[axis], moved));
    }
    return at;
  });
}

namespace {
/// One axis of a slice of which nothing need be known, in index arithmetic.
struct RuntimeRange {
  Value offset, count, step;

  RuntimeRange(Node &node, const Extent &start, const Extent &end, const Extent &by,
               const Extent &extent)
      : step(node.index(by)) {
    OpBuilder &b = node.builder();
    Location loc = node.loc();
    Value size = node.index(extent), zero = arith::ConstantIndexOp::create(b, loc, 0);
    Value minusOne = arith::ConstantIndexOp::create(b, loc, -1);
    auto compare = [&](arith::CmpIPredicate predicate, Value x, Value y) -> Value {
      return arith::CmpIOp::create(b, loc, predicate, x, y);
    };
    auto select = [&](Value condition, Value x, Value y) -> Value {
      return arith::SelectOp::create(b, loc, condition, x, y);
    };
    cf::AssertOp::create(b, loc, compare(arith::CmpIPredicate::ne, step, zero),
                         "node '" + node.name() + "' (" + node.op() + "): a step is 0");
    Value backwards = compare(arith::CmpIPredicate::slt, step, zero);
    Value low = select(backwards, minusOne, zero);
    Value high = select(backwards, arith::AddIOp::create(b, loc, size, minusOne), size);
    auto position = [&](const Extent &e) -> Value {
      Value raw = node.index(e);
      Value wrapped = arith::AddIOp::create(b, loc, raw, size);
      Value at = select(compare(arith::CmpIPredicate::slt, raw, zero), wrapped, raw);
      return arith::MaxSIOp::create(b, loc, low, arith::MinSIOp::create(b, loc, at, high));
    };
    Value from = position(start), to = position(end);
    Value span = arith::SubIOp::create(b, loc, to, from);
    Value whole = arith::CeilDivSIOp::create(b, loc, span, step);
    // A start before the first element is one only backwards, where nothing is selected.
    offset = from;
    count = arith::MaxSIOp::create(b, loc, zero, whole);
  }
};
} // namespace

/// Axes or steps that depend on data.
static Tensor sliceAtRunTime(Node &node, const Tensor &input, ArrayRef<Extent> starts,
                             ArrayRef<Extent> ends, ArrayRef<Extent> axes, ArrayRef<Extent> steps) {
  RuntimeAxes named(node, axes, input.rank());
  SmallVector<Value> offsets, strides;
  Shape shape;
  for (int64_t axis = 0; axis < input.rank(); ++axis) {
    const Extent &size = input.dim(axis);
    RuntimeRange range(node, named.pick(axis, starts, 0), named.pick(axis, ends, size),
                       named.pick(axis, steps, 1), size);
    offsets.push_back(range.offset);
    strides.push_back(range.step);
    shape.push_back(node.extents().opaque(range.count, 0));
  }
  return strided(node, input, shape, offsets, strides);
}

static void convertSlice(Node &node) {
  Tensor input = node.input(0);
  Extents &extents = node.extents();
  Shape starts, ends, steps, given;
  if (node.version() < 10) {
    for (int64_t v : node.intsAttr("starts"))
      starts.push_back(v);
    for (int64_t v : node.intsAttr("ends"))
      ends.push_back(v);
    if (node.hasAttr("axes"))
      for (int64_t v : node.intsAttr("axes"))
        given.push_back(v);
  } else {
    starts = node.extentsOf(1);
    ends = node.extentsOf(2);
    if (node.has(3))
      given = node.extentsOf(3);
    if (node.has(4))
      steps = node.extentsOf(4);
  }
  if (given.empty())
    given.append(llvm::seq<int64_t>(0, starts.size()).begin(),
                 llvm::seq<int64_t>(0, starts.size()).end());
  if (steps.empty())
    steps.assign(starts.size(), Extent(1));
  node.check(ends.size() == starts.size() && given.size() == starts.size() &&
                 steps.size() == starts.size(),
             "starts, ends, axes and steps have different lengths");
  auto known = [](const Extent &e) { return e.constant().has_value(); };
  if (!llvm::all_of(given, known) || !llvm::all_of(steps, known))
    return node.setOutput(0, sliceAtRunTime(node, input, starts, ends, given, steps));
  std::vector<int64_t> axes;
  for (const Extent &axis : given)
    axes.push_back(*axis.constant());
  node.normaliseAxes(axes, input.rank());

  SmallVector<SliceRange> ranges;
  for (const Extent &size : input.shape())
    ranges.push_back({0, size, 1});
  bool backwards = false;
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t axis = node.normaliseAxis(axes[i], input.rank());
    const Extent &size = input.dim(axis);
    auto step = steps[i].constant();
    node.check(*step != 0, "the step of axis " + llvm::Twine(axis) + " is 0");
    Extent from = position(extents, starts[i], size), to = position(extents, ends[i], size);
    Extent count;
    if (*step > 0) {
      from = extents.min(extents.max(from, 0), size);
      to = extents.min(extents.max(to, 0), size);
      // Against the end: the size itself keeps the expression small.
      count = extents.max(extents.ceilDiv(to - from, *step), 0);
    } else {
      from = extents.min(extents.max(from, 0), size - 1);
      to = extents.min(extents.max(to, -1), size - 1);
      count = extents.max(extents.ceilDiv(from - to, Extent(0) - *step), 0);
      backwards = true;
    }
    ranges[axis] = {from, count, *step};
  }
  if (!backwards)
    return node.setOutput(0, slice(node, input, ranges));

  Shape shape;
  for (const SliceRange &r : ranges)
    shape.push_back(r.size);
  if (auto elements = selectContents(input, ranges))
    return node.setOutput(0, node.contents(*elements, input.dtype(), shape));
  SmallVector<Value> offsets, strides;
  for (const SliceRange &r : ranges) {
    offsets.push_back(node.index(r.offset));
    strides.push_back(node.index(r.step));
  }
  node.setOutput(0, strided(node, input, shape, offsets, strides));
}

void registerSlice(Registry &registry) { registry.add("Slice", 1, convertSlice); }

} // namespace attune::onnx
