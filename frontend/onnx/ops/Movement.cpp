#include "attune/frontend/onnx/RuntimeAxes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {

static void convertTranspose(Node &node) {
  Tensor input = node.input(0);
  std::vector<int64_t> reversed;
  for (int64_t axis = input.rank() - 1; axis >= 0; --axis)
    reversed.push_back(axis);
  auto perm = node.intsAttr("perm", reversed);
  node.check(int64_t(perm.size()) == input.rank() &&
                 int64_t(node.normaliseAxes(perm, input.rank()).size()) == input.rank(),
             "attribute 'perm' is not a permutation of the axes");
  for (int64_t &axis : perm)
    axis = node.normaliseAxis(axis, input.rank());
  node.setOutput(0, transpose(node, input, perm));
}

//===--------------------------------------------------------------------------------------------===//
// Concat and Split
//===--------------------------------------------------------------------------------------------===//

static void convertConcat(Node &node) {
  auto inputs = node.inputs();
  node.check(!inputs.empty(), "there is no input");
  int64_t axis = node.normaliseAxis(node.intAttr("axis"), inputs[0].rank());
  for (const Tensor &t : inputs)
    node.check(t.rank() == inputs[0].rank() && t.dtype() == inputs[0].dtype(),
               "inputs differ in rank or element type");
  node.setOutput(0, concat(node, inputs, axis));
}

static void convertSplit(Node &node) {
  Tensor input = node.input(0);
  int64_t axis = node.normaliseAxis(node.intAttr("axis", 0), input.rank());
  const Extent &size = input.dim(axis);
  int64_t count = node.numOutputs();
  Shape sizes;
  if (node.version() >= 13 && node.has(1)) {
    sizes = node.extentsOf(1);
  } else if (node.version() < 13 && node.hasAttr("split")) {
    for (int64_t v : node.intsAttr("split"))
      sizes.push_back(v);
  } else {
    int64_t parts = node.version() >= 18 ? node.intAttr("num_outputs") : count;
    node.check(parts == count, "attribute 'num_outputs' is " + llvm::Twine(parts) + " for " +
                                   llvm::Twine(count) + " outputs");
    Extent chunk = node.extents().ceilDiv(size, parts);
    if (node.version() < 18)
      node.requireEqual(chunk * parts, size, "the axis does not split into equal parts");
    for (int64_t i = 0; i < parts; ++i)
      sizes.push_back(i + 1 < parts ? chunk : size - chunk * (parts - 1));
  }
  node.check(int64_t(sizes.size()) == count, "there are " + llvm::Twine(sizes.size()) +
                                                 " sizes for " + llvm::Twine(count) + " outputs");
  Extent sum;
  for (const Extent &e : sizes)
    sum = sum + e;
  node.requireEqual(sum, size, "the sizes of the parts do not add up");
  SmallVector<SliceRange> ranges;
  for (const Extent &e : input.shape())
    ranges.push_back({0, e, 1});
  Extent offset;
  for (int64_t i = 0; i < count; ++i) {
    ranges[axis] = {offset, sizes[i], 1};
    node.setOutput(i, slice(node, input, ranges));
    offset = offset + sizes[i];
  }
}

//===--------------------------------------------------------------------------------------------===//
// Pad
//===--------------------------------------------------------------------------------------------===//

static Value padSource(OpBuilder &b, Location loc, const std::string &mode, Value i, Value n) {
  // `i` counts from the first element of the source, negative before it.
  auto constant = [&](int64_t v) -> Value { return arith::ConstantIndexOp::create(b, loc, v); };
  auto floorMod = [&](Value x, Value m) -> Value {
    Value q = arith::FloorDivSIOp::create(b, loc, x, m);
    return arith::SubIOp::create(b, loc, x, arith::MulIOp::create(b, loc, q, m));
  };
  Value zero = constant(0), one = constant(1);
  Value last = arith::SubIOp::create(b, loc, n, one);
  if (mode == "edge")
    return arith::MaxSIOp::create(b, loc, zero, arith::MinSIOp::create(b, loc, i, last));
  if (mode == "wrap")
    return floorMod(i, arith::MaxSIOp::create(b, loc, n, one));
  // reflect: a wave of period 2 (n - 1).
  Value period = arith::MulIOp::create(b, loc, last, constant(2));
  Value m = floorMod(i, arith::MaxSIOp::create(b, loc, period, one));
  Value mirrored = arith::SubIOp::create(b, loc, period, m);
  return arith::MinSIOp::create(b, loc, m, mirrored);
}

/// What is put before and after every axis.
static void readPads(Node &node, const Shape &axes, ArrayRef<Extent> pads, Shape &befores,
                     Shape &afters) {
  int64_t rank = befores.size();
  ArrayRef<Extent> before = pads.take_front(axes.size()), after = pads.drop_front(axes.size());
  if (!llvm::all_of(axes, [](const Extent &e) { return e.constant().has_value(); })) {
    RuntimeAxes named(node, axes, rank);
    for (int64_t axis = 0; axis < rank; ++axis) {
      befores[axis] = named.pick(axis, before, 0);
      afters[axis] = named.pick(axis, after, 0);
    }
    return;
  }
  SmallVector<int64_t> known;
  for (const Extent &axis : axes)
    known.push_back(*axis.constant());
  node.normaliseAxes(known, rank);
  for (auto [i, axis] : llvm::enumerate(known)) {
    befores[node.normaliseAxis(axis, rank)] = before[i];
    afters[node.normaliseAxis(axis, rank)] = after[i];
  }
}

namespace {
struct Padding {
  Shape before, after; ///< of every axis
  TypedAttr fill;
  Value fillValue; ///< in place of `fill`, where it is computed
};
} // namespace

/// Attributes until version 10, inputs since.
static Padding readPadding(Node &node, const Tensor &input) {
  Padding padding;
  Shape pads, axes;
  int64_t rank = input.rank();
  padding.fill = scalarAttr(node.context(), input.dtype(), 0);
  if (node.version() < 11) {
    for (int64_t v : node.intsAttr("pads"))
      pads.push_back(v);
    padding.fill = scalarAttr(node.context(), input.dtype(), node.floatAttr("value", 0.0));
  } else {
    pads = node.extentsOf(1);
    if (node.has(2)) {
      Tensor value = node.input(2);
      node.check(value.size().is(1), "the padding value is not a scalar");
      if (value.splat())
        padding.fill = value.splat();
      else
        padding.fillValue = tensor::ExtractOp::create(
            node.builder(), node.loc(), node.value(reshape(node, value, {})), ValueRange());
    }
    if (node.has(3))
      axes = node.extentsOf(3);
  }
  if (axes.empty())
    axes.append(llvm::seq<int64_t>(0, rank).begin(), llvm::seq<int64_t>(0, rank).end());
  node.check(pads.size() == 2 * axes.size(), "there are " + llvm::Twine(pads.size()) +
                                                 " paddings for " + llvm::Twine(axes.size()) +
                                                 " axes");
  padding.before.assign(rank, Extent(0));
  padding.after.assign(rank, Extent(0));
  readPads(node, axes, pads, padding.before, padding.after);
  return padding;
}

/// Padding by elements of the input itself.
static Tensor padByElements(Node &node, const Tensor &input, const std::string &mode,
                            const Shape &shape, ArrayRef<Extent> low, ArrayRef<Extent> high) {
  SmallVector<Value> before, sizes; // null where nothing is padded
  for (int64_t axis = 0; axis < input.rank(); ++axis) {
    if (low[axis].is(0) && high[axis].is(0)) {
      before.push_back(Value());
      sizes.push_back(Value());
      continue;
    }
    node.require(node.extents().less(0, input.dim(axis)), "an empty axis cannot be padded");
    before.push_back(node.index(low[axis]));
    sizes.push_back(node.index(input.dim(axis)));
  }
  return remap(node, input, shape, [&](OpBuilder &b, Location loc, ValueRange i) {
    SmallVector<Value> at(i);
    for (auto [index, first, size] : llvm::zip_equal(at, before, sizes))
      if (first)
        index = padSource(b, loc, mode, arith::SubIOp::create(b, loc, index, first), size);
    return at;
  });
}

static void convertPad(Node &node) {
  Tensor input = node.input(0);
  Extents &extents = node.extents();
  std::string mode = node.stringAttr("mode", "constant");
  node.check(mode == "constant" || mode == "reflect" || mode == "edge" || mode == "wrap",
             "attribute 'mode' is '" + mode + "'; accepted: constant, reflect, edge, wrap");
  int64_t rank = input.rank();
  Padding padding = readPadding(node, input);
  // Negative padding crops first.
  SmallVector<Extent> low(rank, Extent(0)), high(rank, Extent(0));
  SmallVector<SliceRange> ranges;
  for (const Extent &e : input.shape())
    ranges.push_back({0, e, 1});
  for (int64_t axis = 0; axis < rank; ++axis) {
    const Extent &before = padding.before[axis], &after = padding.after[axis];
    if (before.is(0) && after.is(0))
      continue;
    low[axis] = extents.max(before, 0);
    high[axis] = extents.max(after, 0);
    Extent cropBefore = low[axis] - before, cropAfter = high[axis] - after;
    ranges[axis] = {cropBefore, input.dim(axis) - cropBefore - cropAfter, 1};
  }
  Tensor cropped = slice(node, input, ranges);
  Shape shape;
  bool any = false;
  for (int64_t axis = 0; axis < rank; ++axis) {
    shape.push_back(cropped.dim(axis) + low[axis] + high[axis]);
    any |= !low[axis].is(0) || !high[axis].is(0);
  }
  if (!any)
    return node.setOutput(0, cropped);

  if (mode != "constant")
    return node.setOutput(0, padByElements(node, cropped, mode, shape, low, high));
  Value fill = padding.fillValue;
  if (!fill)
    fill = arith::ConstantOp::create(node.builder(), node.loc(), padding.fill);
  auto type = RankedTensorType::get(staticShape(shape), input.dtype().type(node.context()));
  Value padded = tensor::PadOp::create(node.builder(), node.loc(), type, node.value(cropped),
                                       node.ofrs(low), node.ofrs(high), fill);
  node.setOutput(0, node.tensor(padded, input.dtype(), shape));
}

//===--------------------------------------------------------------------------------------------===//
// Trilu and the space/depth pair
//===--------------------------------------------------------------------------------------------===//

static void convertTrilu(Node &node) {
  Tensor input = node.input(0);
  node.check(input.rank() >= 2,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 2 or more");
  bool upper = node.flagAttr("upper");
  Value k = node.index(node.has(1) ? node.extentsOf(1)[0] : Extent(0));
  int64_t rank = input.rank();
  AffineMap identity = AffineMap::getMultiDimIdentityMap(rank, node.context());
  Type element = input.dtype().type(node.context());
  Value result =
      generic(node, {node.value(input)}, {identity}, input.shape(), element,
              [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                Value i = linalg::IndexOp::create(b, loc, rank - 2);
                Value j = linalg::IndexOp::create(b, loc, rank - 1);
                Value diagonal = arith::AddIOp::create(b, loc, i, k);
                auto predicate = upper ? arith::CmpIPredicate::sge : arith::CmpIPredicate::sle;
                Value keep = arith::CmpIOp::create(b, loc, predicate, j, diagonal);
                return arith::SelectOp::create(b, loc, keep, args[0], scalar(b, loc, element, 0));
              });
  node.setOutput(0, node.tensor(result, input.dtype(), input.shape()));
}

static Extent divided(Node &node, const Extent &size, int64_t by) {
  Extent quotient = node.extents().floorDiv(size, by);
  node.requireEqual(quotient * by, size, "a size is not a multiple of " + llvm::Twine(by));
  return quotient;
}

static void convertDepthToSpace(Node &node) {
  Tensor input = node.input(0);
  int64_t block = node.intAttr("blocksize");
  std::string mode = node.stringAttr("mode", "DCR");
  node.check(mode == "DCR" || mode == "CRD",
             "attribute 'mode' is '" + mode + "'; accepted: DCR, CRD");
  node.check(block > 0 && block < (1 << 15), "attribute 'blocksize' is " + llvm::Twine(block));
  node.check(input.rank() == 4,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 4");
  const Shape &s = input.shape();
  Extent depth = divided(node, s[1], block * block);
  bool dcr = mode == "DCR";
  Shape split = dcr ? Shape{s[0], block, block, depth, s[2], s[3]}
                    : Shape{s[0], depth, block, block, s[2], s[3]};
  std::vector<int64_t> perm =
      dcr ? std::vector<int64_t>{0, 3, 4, 1, 5, 2} : std::vector<int64_t>{0, 1, 4, 2, 5, 3};
  Tensor moved = transpose(node, reshape(node, input, split), perm);
  node.setOutput(0, reshape(node, moved, {s[0], depth, s[2] * block, s[3] * block}));
}

static void convertSpaceToDepth(Node &node) {
  Tensor input = node.input(0);
  int64_t block = node.intAttr("blocksize");
  node.check(block > 0 && block < (1 << 15), "attribute 'blocksize' is " + llvm::Twine(block));
  std::string mode = node.stringAttr("mode", "DCR");
  node.check(mode == "DCR" || mode == "CRD",
             "attribute 'mode' is '" + mode + "'; accepted: DCR, CRD");
  node.check(input.rank() == 4,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 4");
  const Shape &s = input.shape();
  Extent h = divided(node, s[2], block), w = divided(node, s[3], block);
  Tensor split = reshape(node, input, {s[0], s[1], h, block, w, block});
  std::vector<int64_t> perm = mode == "DCR" ? std::vector<int64_t>{0, 3, 5, 1, 2, 4}
                                            : std::vector<int64_t>{0, 1, 3, 5, 2, 4};
  Tensor moved = transpose(node, split, perm);
  node.setOutput(0, reshape(node, moved, {s[0], s[1] * (block * block), h, w}));
}

/// The first `lengths[b]` elements along the time axis in the opposite order, per batch element.
static void convertReverseSequence(Node &node) {
  Tensor input = node.input(0), lengths = node.input(1);
  int64_t batch = node.normaliseAxis(node.intAttr("batch_axis", 1), input.rank());
  int64_t time = node.normaliseAxis(node.intAttr("time_axis", 0), input.rank());
  node.check(batch != time, "attributes 'batch_axis' and 'time_axis' name one axis");
  node.check(lengths.rank() == 1, "sequence_lens is not one-dimensional");
  node.requireEqual(lengths.dim(0), input.dim(batch), "sequence_lens differ from the batch");
  Value table = node.value(castTo(node, lengths, kInt64)), size = node.index(input.dim(time));
  node.setOutput(
      0, remap(node, input, input.shape(), [&](OpBuilder &b, Location loc, ValueRange i) {
        SmallVector<Value> at(i);
        Value raw = tensor::ExtractOp::create(b, loc, table, ValueRange{i[batch]});
        Value length = arith::IndexCastOp::create(b, loc, b.getIndexType(), raw);
        length = arith::MinSIOp::create(b, loc, length, size);
        Value one = arith::ConstantIndexOp::create(b, loc, 1);
        Value last = arith::SubIOp::create(b, loc, length, one);
        Value turned = arith::SubIOp::create(b, loc, last, i[time]);
        Value inside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, i[time], length);
        at[time] = arith::SelectOp::create(b, loc, inside, turned, i[time]);
        return at;
      }));
}

void registerMovement(Registry &registry) {
  registry.add("Concat", 4, convertConcat);
  registry.add("DepthToSpace", 1, convertDepthToSpace);
  registry.add("Pad", 2, convertPad);
  registry.add("ReverseSequence", 10, convertReverseSequence);
  registry.add("SpaceToDepth", 1, convertSpaceToDepth);
  registry.add("Split", 2, convertSplit);
  registry.add("Transpose", 1, convertTranspose);
  registry.add("Trilu", 14, convertTrilu);
}

} // namespace attune::onnx
