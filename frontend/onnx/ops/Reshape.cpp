#include "attune/frontend/onnx/RuntimeAxes.h"

using namespace mlir;

namespace attune::onnx {

static Extent product(ArrayRef<Extent> sizes) {
  Extent p = 1;
  for (const Extent &e : sizes)
    p = p * e;
  return p;
}

/// The size that makes `known * size == total`, checked at run time if it must be.
static Extent inferSize(Node &node, const Extent &total, const Extent &known) {
  Extents &extents = node.extents();
  node.check(!known.is(0), "a size is -1, but the others multiply to 0");
  if (auto exact = extents.divideExactly(total, known))
    return *exact;
  if (total.constant() && known.constant())
    node.fail(llvm::Twine("cannot split ") + extents.str(total) + " elements by " +
              extents.str(known));
  Extent size = extents.floorDiv(total, known);
  node.requireEqual(size * known, total, "the elements cannot be split by the given sizes");
  return size;
}

/// `replacement` where `size` is `special`, else `other`, as one atom: a polynomial of several such
/// choices grows beyond any bound.
static Extent choose(Node &node, const Extent &size, int64_t special, const Extent &replacement,
                     const Extent &other) {
  OpBuilder &b = node.builder();
  Value equal = arith::CmpIOp::create(b, node.loc(), arith::CmpIPredicate::eq, node.index(size),
                                      arith::ConstantIndexOp::create(b, node.loc(), special));
  Value chosen =
      arith::SelectOp::create(b, node.loc(), equal, node.index(replacement), node.index(other));
  Extents &extents = node.extents();
  return extents.opaque(chosen, std::min(extents.low(replacement), extents.low(other)));
}

/// `shape` with what is left of `total` in place of a size that turns out to be -1.
static Shape inferAtRunTime(Node &node, const Extent &total, const Shape &shape) {
  Extents &extents = node.extents();
  Extent known = 1;
  for (const Extent &e : shape)
    known = known * (extents.low(e) < 0 ? choose(node, e, -1, 1, e) : e);
  // Not below 1, and one atom.
  Value divisor =
      arith::MaxSIOp::create(node.builder(), node.loc(), node.index(known),
                             arith::ConstantIndexOp::create(node.builder(), node.loc(), 1));
  Extent rest = extents.floorDiv(total, extents.opaque(divisor, 1));
  Shape result;
  for (const Extent &e : shape)
    result.push_back(extents.low(e) < 0 ? choose(node, e, -1, rest, e) : e);
  for (const Extent &e : result)
    if (extents.low(e) < 0)
      node.require(extents.less(-1, e), "a size is negative");
  return result;
}

static void convertReshape(Node &node) {
  Tensor input = node.input(0);
  bool allowZero = node.intAttr("allowzero", 0);
  Shape wanted = node.extentsOf(1);
  Extents &extents = node.extents();
  Shape shape;
  std::optional<size_t> inferred;
  for (auto [axis, e] : llvm::enumerate(wanted)) {
    if (e.is(-1)) {
      node.check(!inferred, "two sizes are -1; accepted: one");
      inferred = axis;
      shape.push_back(1);
      continue;
    }
    if (auto c = e.constant())
      node.check(*c >= 0, "size " + llvm::Twine(*c) + " along axis " + llvm::Twine(axis) +
                              "; accepted: 0 or more, or -1 once");
    // 0 copies the input's size. Where a symbol happens to be 0 the whole tensor is empty, and both
    // readings agree.
    bool mayBeZero = e.is(0) || (!extents.fromSymbols(e) && extents.low(e) <= 0);
    if (!allowZero && mayBeZero) {
      if (int64_t(axis) < input.rank())
        e = e.constant() ? input.dim(axis) : choose(node, e, 0, input.dim(axis), e);
      else
        node.check(!e.is(0),
                   "size 0 copies axis " + llvm::Twine(axis) + ", which the input does not have");
    }
    shape.push_back(e);
  }
  Extent total = input.size();
  if (inferred) {
    shape[*inferred] = inferSize(node, total, product(shape));
  } else {
    // Any size that data gives may be -1 at run time; two of them fail the check below.
    if (llvm::any_of(shape, [&](const Extent &e) { return extents.low(e) < 0; }))
      shape = inferAtRunTime(node, total, shape);
  }
  node.requireEqual(product(shape), total, "the number of elements differs");
  node.setOutput(0, reshape(node, input, shape));
}

static void convertFlatten(Node &node) {
  Tensor input = node.input(0);
  int64_t axis = node.intAttr("axis", 1), rank = input.rank();
  node.check(axis >= -rank && axis <= rank,
             "axis " + llvm::Twine(axis) + " is outside a tensor of rank " + llvm::Twine(rank));
  axis = axis < 0 ? axis + rank : axis;
  ArrayRef<Extent> sizes = input.shape();
  node.setOutput(
      0, reshape(node, input, {product(sizes.take_front(axis)), product(sizes.drop_front(axis))}));
}

/// Axes as input 1 (opset 13) or attribute; none: they are not given.
static std::optional<Shape> readAxes(Node &node) {
  if (node.version() >= 13)
    return node.has(1) ? std::optional(node.extentsOf(1)) : std::nullopt;
  if (!node.hasAttr("axes"))
    return std::nullopt;
  Shape axes;
  for (int64_t axis : node.intsAttr("axes"))
    axes.push_back(axis);
  return axes;
}

/// The axes as numbers, or nothing if data decides.
static std::optional<std::vector<int64_t>> knownAxes(Node &node, const Shape &given, int64_t rank) {
  std::vector<int64_t> axes;
  for (const Extent &axis : given) {
    if (!axis.constant())
      return std::nullopt;
    axes.push_back(*axis.constant());
  }
  return node.normaliseAxes(axes, rank);
}

static Tensor squeezeAtRunTime(Node &node, const Tensor &input, const Shape &given) {
  RuntimeAxes named(node, given, input.rank());
  for (int64_t axis = 0; axis < input.rank(); ++axis)
    node.requireEqual(named.select(axis, input.dim(axis), 1), 1,
                      "axis " + llvm::Twine(axis) + " has not size 1");
  return reshape(node, input, named.removedFrom(input.shape()));
}

static void convertSqueeze(Node &node) {
  Tensor input = node.input(0);
  std::optional<Shape> given = readAxes(node);
  std::vector<int64_t> axes;
  if (given) {
    auto known = knownAxes(node, *given, input.rank());
    if (!known)
      return node.setOutput(0, squeezeAtRunTime(node, input, *given));
    axes = *known;
  } else {
    for (int64_t axis = 0; axis < input.rank(); ++axis) {
      if (input.dim(axis).is(1))
        axes.push_back(axis);
      else if (node.extents().knownEqual(input.dim(axis), 1) == std::nullopt)
        node.unsupported("axes are not given and the size of axis " + llvm::Twine(axis) +
                         " is dynamic; accepted: axes, or static sizes");
    }
  }
  Shape shape;
  for (int64_t axis = 0; axis < input.rank(); ++axis) {
    if (!llvm::is_contained(axes, axis))
      shape.push_back(input.dim(axis));
    else
      node.requireEqual(input.dim(axis), 1, "axis " + llvm::Twine(axis) + " has not size 1");
  }
  node.setOutput(0, reshape(node, input, shape));
}

static void convertUnsqueeze(Node &node) {
  Tensor input = node.input(0);
  std::optional<Shape> given = readAxes(node);
  node.check(given.has_value(), "axes are missing");
  int64_t rank = input.rank() + given->size();
  auto axes = knownAxes(node, *given, rank);
  if (!axes)
    return node.setOutput(
        0, reshape(node, input, RuntimeAxes(node, *given, rank).insertedInto(input.shape())));
  Shape shape = input.shape();
  for (int64_t axis : *axes)
    shape.insert(shape.begin() + axis, Extent(1));
  node.setOutput(0, reshape(node, input, shape));
}

static void convertExpand(Node &node) {
  Tensor input = node.input(0);
  Shape target = node.extentsOf(1);
  for (const Extent &e : target)
    if (node.extents().low(e) < 0)
      node.require(node.extents().less(-1, e), "a size is negative");
  node.setOutput(0, broadcastTo(node, input, broadcastShape(node, {input.shape(), target})));
}

static void convertTile(Node &node) {
  Tensor input = node.input(0);
  Shape repeats = node.extentsOf(1);
  node.check(int64_t(repeats.size()) == input.rank(), "there are " + llvm::Twine(repeats.size()) +
                                                          " repeats for a tensor of rank " +
                                                          llvm::Twine(input.rank()));
  // [n] -> [1, n] -> [r, n] -> [r * n] along every repeated axis.
  Shape split, repeated, result;
  for (auto [size, repeat] : llvm::zip(input.shape(), repeats)) {
    if (node.extents().low(repeat) < 0)
      node.require(node.extents().less(-1, repeat), "a repeat is negative");
    if (!repeat.is(1)) {
      split.push_back(1);
      repeated.push_back(repeat);
    }
    split.push_back(size);
    repeated.push_back(size);
    result.push_back(size * repeat);
  }
  Tensor tiled = broadcastTo(node, reshape(node, input, split), repeated);
  node.setOutput(0, reshape(node, tiled, result));
}

void registerReshape(Registry &registry) {
  registry.add("Expand", 8, convertExpand);
  registry.add("Flatten", 1, convertFlatten);
  registry.add("Reshape", 5, convertReshape);
  registry.add("Squeeze", 1, convertSqueeze);
  registry.add("Tile", 6, convertTile);
  registry.add("Unsqueeze", 1, convertUnsqueeze);
}

} // namespace attune::onnx
