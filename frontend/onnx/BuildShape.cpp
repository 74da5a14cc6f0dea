#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {

static RankedTensorType typeOf(Node &node, const Shape &shape, DType dtype) {
  return RankedTensorType::get(staticShape(shape), dtype.type(node.context()));
}

//===--------------------------------------------------------------------------------------------===//
// Reshape
//===--------------------------------------------------------------------------------------------===//

namespace {
/// Axes [inBegin, inEnd) become axes [outBegin, outEnd).
struct Group {
  size_t inBegin, inEnd, outBegin, outEnd;
};
} // namespace

static Extent product(ArrayRef<Extent> sizes) {
  Extent p = 1;
  for (const Extent &e : sizes)
    p = p * e;
  return p;
}

/// The finest pairing of axes whose sizes have equal products.
static SmallVector<Group> pairAxes(const Shape &in, const Shape &out) {
  SmallVector<Group> groups;
  size_t i = 0, j = 0;
  auto hasZero = [](const Shape &s) { return llvm::any_of(s, [](auto &e) { return e.is(0); }); };
  if (hasZero(in) || hasZero(out))
    return {{0, in.size(), 0, out.size()}};
  while (i < in.size() || j < out.size()) {
    Group g{i, i, j, j};
    // The nearest later cut: equal axes, else the smallest number of axes on both sides.
    bool found = i < in.size() && j < out.size() && in[i] == out[j];
    if (found) {
      g.inEnd = i + 1;
      g.outEnd = j + 1;
    }
    size_t most = in.size() - i + out.size() - j;
    for (size_t total = 1; total <= most && !found; ++total)
      for (size_t a = 0; a <= total && !found; ++a) {
        size_t b = total - a;
        if (i + a > in.size() || j + b > out.size())
          continue;
        if (product(ArrayRef(in).slice(i, a)) == product(ArrayRef(out).slice(j, b))) {
          g.inEnd = i + a;
          g.outEnd = j + b;
          found = true;
        }
      }
    if (!found) {
      g.inEnd = in.size();
      g.outEnd = out.size();
    }
    groups.push_back(g);
    i = g.inEnd;
    j = g.outEnd;
  }
  // Lone ones join a neighbour, for reassociations need an axis on both sides.
  SmallVector<Group> merged;
  for (const Group &g : groups) {
    bool lone = g.inBegin == g.inEnd || g.outBegin == g.outEnd;
    bool previousLone = !merged.empty() && (merged.back().inBegin == merged.back().inEnd ||
                                            merged.back().outBegin == merged.back().outEnd);
    if (!merged.empty() && (lone || previousLone)) {
      merged.back().inEnd = g.inEnd;
      merged.back().outEnd = g.outEnd;
    } else {
      merged.push_back(g);
    }
  }
  return merged;
}

/// The axis that corresponds to `axis`: the same size, and the same number of elements before it.
static std::optional<int64_t> sameAxis(const Shape &from, const Shape &to, int64_t axis) {
  Extent before = product(ArrayRef(from).take_front(axis));
  for (size_t i = 0; i < to.size(); ++i)
    if (to[i] == from[axis] && product(ArrayRef(to).take_front(i)) == before)
      return i;
  return std::nullopt;
}

static Tensor reshapeValue(Node &node, const Tensor &input, const Shape &shape);

Tensor reshape(Node &node, const Tensor &input, const Shape &shape) {
  Tensor result = reshapeValue(node, input, shape);
  if (auto ramp = input.ramp()) {
    auto axis = ramp->axis < 0 ? -1 : sameAxis(input.shape(), shape, ramp->axis);
    if (axis)
      result.setRamp(Ramp{*axis, ramp->start, ramp->step});
  }
  return result;
}

static Tensor reshapeValue(Node &node, const Tensor &input, const Shape &shape) {
  if (input.contents() && llvm::all_of(shape, [](auto &e) { return e.constant().has_value(); }))
    return node.contents(*input.contents(), input.dtype(), shape);
  if (auto dense = dyn_cast_or_null<DenseElementsAttr>(input.constant()))
    if (llvm::all_of(shape, [](auto &e) { return e.constant().has_value(); }))
      return Tensor::ofConstant(dense.reshape(typeOf(node, shape, input.dtype())), input.dtype());
  const Shape &in = input.shape();
  if (in == shape)
    return input;
  if (TypedAttr value = input.splat())
    return Tensor::ofUniform(value, input.dtype(), shape);
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Value value = node.value(input);

  // Through one shape in the middle: every group is collapsed to one axis if it has several on both
  // sides, then expanded.
  Shape middle;
  SmallVector<ReassociationIndices> collapse, expand;
  bool collapses = false, expands = false;
  for (const Group &g : pairAxes(in, shape)) {
    size_t ins = g.inEnd - g.inBegin, outs = g.outEnd - g.outBegin;
    if (ins == 0 || outs == 0) {
      // One side is a scalar.
      continue;
    }
    collapse.emplace_back(llvm::to_vector(llvm::seq<int64_t>(g.inBegin, g.inEnd)));
    expand.emplace_back(llvm::to_vector(llvm::seq<int64_t>(g.outBegin, g.outEnd)));
    collapses |= ins > 1;
    expands |= outs > 1;
    // The expression of the result is the better one where the group only collapses.
    middle.push_back(outs == 1 ? shape[g.outBegin] : product(ArrayRef(in).slice(g.inBegin, ins)));
  }
  if (collapses || middle.size() != in.size()) {
    // Static sizes that only the result knows, and the other way round, meet through a cast.
    SmallVector<int64_t> collapsed;
    for (const ReassociationIndices &group : collapse) {
      Extent size = 1;
      for (int64_t axis : group)
        size = size * in[axis];
      collapsed.push_back(size.constant().value_or(ShapedType::kDynamic));
      bool mixed = false;
      for (int64_t axis : group)
        mixed |= !in[axis].constant();
      if (mixed && size.is(0))
        collapsed.back() = ShapedType::kDynamic;
    }
    auto type = RankedTensorType::get(collapsed, input.dtype().type(node.context()));
    value = tensor::CollapseShapeOp::create(b, loc, type, value, collapse);
  }
  auto middleType = typeOf(node, middle, input.dtype());
  if (value.getType() != middleType)
    value = tensor::CastOp::create(b, loc, middleType, value);
  if (expands || middle.size() != shape.size()) {
    // Dynamic axes come from a dynamic one, static axes from a static one.
    SmallVector<int64_t> source;
    for (const ReassociationIndices &group : expand) {
      int64_t size = 1;
      for (int64_t axis : group) {
        auto c = shape[axis].constant();
        size = size == ShapedType::kDynamic || !c ? ShapedType::kDynamic : size * *c;
      }
      source.push_back(size);
    }
    auto sourceType = middleType.clone(source);
    if (value.getType() != sourceType)
      value = tensor::CastOp::create(b, loc, sourceType, value);
    value = tensor::ExpandShapeOp::create(b, loc, typeOf(node, shape, input.dtype()), value, expand,
                                          node.ofrs(shape));
  }
  return node.tensor(value, input.dtype(), shape);
}

Tensor keepDims(Node &node, const Tensor &input, ArrayRef<int64_t> axes) {
  Shape shape = input.shape();
  for (int64_t axis : axes)
    shape.insert(shape.begin() + axis, Extent(1));
  return reshape(node, input, shape);
}

//===--------------------------------------------------------------------------------------------===//
// Transpose, slice, concat
//===--------------------------------------------------------------------------------------------===//

/// The elements that the ranges select, in row-major order, of a tensor whose contents are known;
/// nothing if they are not, or if a range is not constant.
std::optional<std::vector<Extent>> selectContents(const Tensor &input,
                                                  ArrayRef<SliceRange> ranges) {
  if (!input.contents())
    return std::nullopt;
  int64_t total = 1;
  for (const SliceRange &r : ranges) {
    if (!r.offset.constant() || !r.size.constant() || !r.step.constant())
      return std::nullopt;
    total *= *r.size.constant();
  }
  std::vector<Extent> elements;
  for (int64_t i = 0; i < total; ++i) {
    int64_t rest = i, position = 0, stride = 1;
    for (int64_t axis = input.rank() - 1; axis >= 0; --axis) {
      const SliceRange &r = ranges[axis];
      position += (*r.offset.constant() + rest % *r.size.constant() * *r.step.constant()) * stride;
      rest /= *r.size.constant();
      stride *= *input.dim(axis).constant();
    }
    elements.push_back((*input.contents())[position]);
  }
  return elements;
}

/// `contents` of a tensor of this shape with its axes in another order.
static std::vector<Extent> permuteContents(const std::vector<Extent> &contents, const Shape &shape,
                                           ArrayRef<int64_t> perm) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (size_t axis = shape.size(); axis-- > 1;)
    strides[axis - 1] = strides[axis] * *shape[axis].constant();
  std::vector<Extent> result;
  for (size_t i = 0; i < contents.size(); ++i) {
    int64_t rest = i, position = 0;
    for (int64_t axis : llvm::reverse(perm)) {
      position += rest % *shape[axis].constant() * strides[axis];
      rest /= *shape[axis].constant();
    }
    result.push_back(contents[position]);
  }
  return result;
}

Tensor transpose(Node &node, const Tensor &input, ArrayRef<int64_t> perm) {
  bool identity = llvm::equal(perm, llvm::seq<int64_t>(0, perm.size()));
  if (identity)
    return input;
  Shape shape;
  for (int64_t axis : perm)
    shape.push_back(input.dim(axis));
  if (input.contents())
    return node.contents(permuteContents(*input.contents(), input.shape(), perm), input.dtype(),
                         shape);
  if (TypedAttr value = input.splat())
    return Tensor::ofUniform(value, input.dtype(), shape);
  Value init = empty(node, shape, input.dtype().type(node.context()));
  auto op = linalg::TransposeOp::create(node.builder(), node.loc(), node.value(input), init, perm);
  Tensor result = node.tensor(op->getResult(0), input.dtype(), shape);
  if (auto ramp = input.ramp()) {
    if (ramp->axis >= 0)
      ramp->axis = llvm::find(perm, ramp->axis) - perm.begin();
    result.setRamp(ramp);
  }
  return result;
}

Tensor remap(Node &node, const Tensor &input, const Shape &shape, IndicesFn at) {
  Value source = node.value(input);
  Value result = generic(node, {}, {}, shape, input.dtype().type(node.context()),
                         [&](OpBuilder &b, Location loc, ValueRange) -> Value {
                           SmallVector<Value> indices;
                           for (size_t axis = 0; axis < shape.size(); ++axis)
                             indices.push_back(linalg::IndexOp::create(b, loc, axis));
                           return tensor::ExtractOp::create(b, loc, source, at(b, loc, indices));
                         });
  return node.tensor(result, input.dtype(), shape);
}

Tensor slice(Node &node, const Tensor &input, ArrayRef<SliceRange> ranges) {
  Shape shape;
  bool whole = true;
  for (auto [axis, r] : llvm::enumerate(ranges)) {
    shape.push_back(r.size);
    whole &= r.offset.is(0) && r.size == input.dim(axis) && r.step.is(1);
  }
  if (whole)
    return input;
  if (auto elements = selectContents(input, ranges))
    return node.contents(*elements, input.dtype(), shape);
  if (TypedAttr value = input.splat())
    return Tensor::ofUniform(value, input.dtype(), shape);
  // A slice of nothing has no valid offset.
  auto isEmpty = [](const Extent &e) { return e.is(0); };
  if (llvm::any_of(shape, isEmpty) || llvm::any_of(input.shape(), isEmpty))
    return node.tensor(empty(node, shape, input.dtype().type(node.context())), input.dtype(),
                       shape);
  SmallVector<OpFoldResult> offsets, sizes, steps;
  for (const SliceRange &r : ranges) {
    // The verifier wants the offset of nothing in range too.
    offsets.push_back(node.ofr(r.size.is(0) ? Extent(0) : r.offset));
    sizes.push_back(node.ofr(r.size));
    steps.push_back(node.ofr(r.step));
  }
  Value result = tensor::ExtractSliceOp::create(node.builder(), node.loc(), node.value(input),
                                                offsets, sizes, steps);
  Tensor part = node.tensor(result, input.dtype(), shape);
  if (auto ramp = input.ramp()) {
    if (ramp->axis >= 0) {
      const SliceRange &r = ranges[ramp->axis];
      auto step = r.step.constant();
      ramp->start = ramp->start + r.offset * ramp->step;
      ramp->step *= step.value_or(1);
      if (!step)
        ramp.reset();
    }
    part.setRamp(ramp);
  }
  return part;
}

Tensor concat(Node &node, ArrayRef<Tensor> inputs, int64_t axis) {
  Shape shape = inputs[0].shape();
  shape[axis] = 0;
  bool known = true;
  SmallVector<Tensor> parts;
  for (const Tensor &input : inputs) {
    for (int64_t i = 0; i < input.rank(); ++i)
      if (i != axis) {
        node.requireEqual(shape[i], input.dim(i), "inputs differ along axis " + llvm::Twine(i));
        shape[i] = node.extents().simpler(shape[i], input.dim(i));
      }
    shape[axis] = shape[axis] + input.dim(axis);
    known &= input.contents().has_value();
    if (!input.dim(axis).is(0))
      parts.push_back(input);
  }
  auto count = product(shape).constant();
  if (known && count && *count <= Tensor::kMaxTracked) {
    // Runs of an input that are contiguous in the result.
    std::vector<Extent> elements;
    int64_t runs = *product(ArrayRef(shape).take_front(axis)).constant();
    for (int64_t run = 0; run < runs; ++run)
      for (const Tensor &input : inputs) {
        ArrayRef<Extent> own(*input.contents());
        int64_t length = own.size() / runs;
        llvm::append_range(elements, own.slice(run * length, length));
      }
    return node.contents(elements, inputs[0].dtype(), shape);
  }
  if (parts.empty())
    return inputs[0];
  SmallVector<Value> values;
  for (const Tensor &part : parts) {
    Shape own = shape;
    own[axis] = part.dim(axis);
    Value value = node.value(part);
    auto type = typeOf(node, own, part.dtype());
    if (value.getType() != type)
      value = tensor::CastOp::create(node.builder(), node.loc(), type, value);
    values.push_back(value);
  }
  if (values.size() == 1)
    return node.tensor(values[0], inputs[0].dtype(), shape);
  Value result = tensor::ConcatOp::create(node.builder(), node.loc(),
                                          typeOf(node, shape, inputs[0].dtype()), axis, values);
  Tensor stack = node.tensor(result, inputs[0].dtype(), shape);
  bool single = llvm::all_of(inputs, [&](const Tensor &t) { return t.dim(axis).is(1); });
  if (single && axis + 1 == int64_t(shape.size()))
    stack.setColumns(std::vector<Tensor>(inputs.begin(), inputs.end()));
  return stack;
}

//===--------------------------------------------------------------------------------------------===//
// Reduce
//===--------------------------------------------------------------------------------------------===//

Tensor reduce(Node &node, const Tensor &input, ArrayRef<int64_t> axes, DType out, TypedAttr init,
              llvm::function_ref<Value(OpBuilder &, Location, Value, Value)> body) {
  OpBuilder &b = node.builder();
  MLIRContext *context = node.context();
  Shape shape;
  SmallVector<AffineExpr> kept;
  SmallVector<utils::IteratorType> loops;
  for (int64_t axis = 0; axis < input.rank(); ++axis) {
    bool reduced = llvm::is_contained(axes, axis);
    loops.push_back(reduced ? utils::IteratorType::reduction : utils::IteratorType::parallel);
    if (reduced)
      continue;
    shape.push_back(input.dim(axis));
    kept.push_back(getAffineDimExpr(axis, context));
  }
  AffineMap maps[] = {AffineMap::getMultiDimIdentityMap(input.rank(), context),
                      AffineMap::get(input.rank(), 0, kept, context)};
  Value start = filled(node, shape, init);
  auto op =
      linalg::GenericOp::create(b, node.loc(), TypeRange{start.getType()},
                                ValueRange{node.value(input)}, ValueRange{start}, maps, loops);
  OpBuilder::InsertionGuard guard(b);
  Block *block = b.createBlock(&op.getRegion());
  Value element = block->addArgument(input.dtype().type(context), node.loc());
  Value sum = block->addArgument(init.getType(), node.loc());
  linalg::YieldOp::create(b, node.loc(), body(b, node.loc(), element, sum));
  return node.tensor(op.getResult(0), out, shape);
}

} // namespace attune::onnx
