#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {

static void checkIndexType(Node &node, const Tensor &indices) {
  DType dtype = indices.dtype();
  node.check(dtype == kInt32 || dtype == kInt64,
             "indices have element type " + dtype.name() + "; accepted: int32, int64");
}

/// Whether a tensor is computed: then it may be worth knowing which of its positions are read.
static bool isComputed(Node &node, const Tensor &data) {
  Operation *producer = node.value(data).getDefiningOp();
  return producer && !producer->hasTrait<OpTrait::ConstantLike>();
}

/// One index: a slice, which every pass understands better than a gather. An index that is only
/// known at run time is read by the host program.
static bool gatherOne(Node &node, const Tensor &data, const Tensor &indices, int64_t axis) {
  if (indices.staticSize() != 1 || indices.rank() > 1)
    return false;
  bool known = indices.contents().has_value();
  if (!known && (axis + 1 >= data.rank() || !isComputed(node, data)))
    return false;
  Extents &extents = node.extents();
  const Extent raw = node.extentsOf(indices, "input 'indices'").front(), &size = data.dim(axis);
  auto negative = extents.knownLess(raw, 0);
  if (known && !negative)
    return false;
  Extent at = !negative   ? extents.select(extents.less(raw, 0), raw + size, raw)
              : *negative ? raw + size
                          : raw;
  std::string message =
      known ? "index " + extents.str(raw) + " is out of range" : "index out of range";
  node.require(extents.less(-1, at), message);
  node.require(extents.less(at, size), message);
  SmallVector<SliceRange> ranges;
  for (const Extent &e : data.shape())
    ranges.push_back({0, e, 1});
  ranges[axis] = {at, 1, 1};
  Tensor result = slice(node, data, ranges);
  if (indices.rank() == 0) {
    Shape shape = data.shape();
    shape.erase(shape.begin() + axis);
    result = reshape(node, result, shape);
  }
  node.setOutput(0, result);
  return true;
}

/// Known elements at constant positions.
static bool gatherContents(Node &node, const Tensor &data, const Tensor &indices) {
  auto positions = indices.constantInts(Tensor::kMaxTracked);
  if (!data.contents() || data.rank() != 1 || !positions)
    return false;
  std::vector<Extent> elements;
  int64_t size = data.contents()->size();
  for (int64_t i : *positions) {
    node.check(i >= -size && i < size,
               "index " + llvm::Twine(i) + " is outside an axis of size " + llvm::Twine(size));
    elements.push_back((*data.contents())[i < 0 ? i + size : i]);
  }
  node.setOutput(0, node.contents(elements, data.dtype(), indices.shape()));
  return true;
}

/// Indices that count along their axis: the data's own elements in their own order.
static bool isSliceOf(Node &node, const std::optional<Ramp> &ramp, const Extent &count,
                      const Extent &size) {
  Extents &extents = node.extents();
  if (!ramp || extents.low(ramp->start) < 0)
    return false;
  if (ramp->axis < 0)
    return extents.knownLess(ramp->start, size) == true;
  // An empty range is in range only where it starts inside.
  Extent end = ramp->start + count * ramp->step;
  return ramp->step > 0 && (ramp->start.is(0) || extents.knownLess(size, end) == false);
}

/// The check that an index tensor which counts stays inside the data.
static void requireInside(Node &node, const Ramp &ramp, const Extent &count, const Extent &size) {
  if (ramp.axis >= 0)
    node.require(node.extents().less((count - 1) * ramp.step + ramp.start, size),
                 "index out of range");
}

static bool gatherRange(Node &node, const Tensor &data, const Tensor &indices, int64_t axis) {
  auto ramp = indices.ramp();
  if (!ramp || ramp->axis < 0 || indices.contents())
    return false;
  const Extent &count = indices.dim(ramp->axis), &size = data.dim(axis);
  // All other axes of the indices must be single: repetition is left to the gather.
  bool single = llvm::all_of(llvm::enumerate(indices.shape()), [&](auto e) {
    return int64_t(e.index()) == ramp->axis || e.value().is(1);
  });
  if (!single || !isSliceOf(node, ramp, count, size))
    return false;
  requireInside(node, *ramp, count, size);
  SmallVector<SliceRange> ranges;
  for (const Extent &e : data.shape())
    ranges.push_back({0, e, 1});
  ranges[axis] = {ramp->start, count, ramp->step};
  Shape shape(data.shape().begin(), data.shape().begin() + axis);
  shape.append(indices.shape().begin(), indices.shape().end());
  shape.append(data.shape().begin() + axis + 1, data.shape().end());
  node.setOutput(0, reshape(node, slice(node, data, ranges), shape));
  return true;
}

static void convertGather(Node &node) {
  Tensor data = node.input(0), indices = node.input(1);
  checkIndexType(node, indices);
  int64_t axis = node.normaliseAxis(node.intAttr("axis", 0), data.rank());
  if (gatherContents(node, data, indices) || gatherOne(node, data, indices, axis) ||
      gatherRange(node, data, indices, axis))
    return;
  Shape shape(data.shape().begin(), data.shape().begin() + axis);
  shape.append(indices.shape().begin(), indices.shape().end());
  shape.append(data.shape().begin() + axis + 1, data.shape().end());

  MLIRContext *context = node.context();
  SmallVector<AffineExpr> exprs;
  for (int64_t i = 0; i < indices.rank(); ++i)
    exprs.push_back(getAffineDimExpr(axis + i, context));
  Value table = node.value(data), size = node.index(data.dim(axis));
  Value result = generic(
      node, {node.value(indices)}, {AffineMap::get(shape.size(), 0, exprs, context)}, shape,
      data.dtype().type(context), [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        SmallVector<Value> at;
        for (int64_t i = 0; i < data.rank(); ++i) {
          if (i == axis)
            at.push_back(checkedIndex(node, b, loc, args[0], size, /*isUnsigned=*/false));
          else
            at.push_back(linalg::IndexOp::create(b, loc, i < axis ? i : i + indices.rank() - 1));
        }
        return tensor::ExtractOp::create(b, loc, table, at);
      });
  node.setOutput(0, node.tensor(result, data.dtype(), shape));
}

static void convertGatherElements(Node &node) {
  Tensor data = node.input(0), indices = node.input(1);
  checkIndexType(node, indices);
  node.check(data.rank() == indices.rank(), "data has rank " + llvm::Twine(data.rank()) +
                                                ", indices have rank " +
                                                llvm::Twine(indices.rank()));
  int64_t axis = node.normaliseAxis(node.intAttr("axis", 0), data.rank());
  for (int64_t i = 0; i < data.rank(); ++i)
    if (i != axis)
      node.require(node.extents().less(indices.dim(i), data.dim(i) + 1),
                   "the indices are larger than the data along axis " + llvm::Twine(i));
  Value table = node.value(data), size = node.index(data.dim(axis));
  AffineMap identity = AffineMap::getMultiDimIdentityMap(indices.rank(), node.context());
  Value result = generic(
      node, {node.value(indices)}, {identity}, indices.shape(), data.dtype().type(node.context()),
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        SmallVector<Value> at;
        for (int64_t i = 0; i < data.rank(); ++i)
          at.push_back(i == axis ? checkedIndex(node, b, loc, args[0], size, false)
                                 : linalg::IndexOp::create(b, loc, i).getResult());
        return tensor::ExtractOp::create(b, loc, table, at);
      });
  node.setOutput(0, node.tensor(result, data.dtype(), indices.shape()));
}

/// indices[..., k] for each of the coordinates.
static SmallVector<Tensor> coordinates(Node &node, const Tensor &indices, int64_t count) {
  SmallVector<Tensor> result;
  SmallVector<SliceRange> ranges;
  for (const Extent &e : indices.shape())
    ranges.push_back({0, e, 1});
  Shape shape = indices.shape();
  shape.pop_back();
  for (int64_t k = 0; k < count; ++k) {
    ranges.back() = {k, 1, 1};
    Tensor column = indices.columns().empty() ? slice(node, indices, ranges) : indices.columns()[k];
    result.push_back(reshape(node, column, shape));
  }
  return result;
}

/// Coordinates that count along axes of their own (a grid of positions): the data, moved.
static bool gatherGrid(Node &node, const Tensor &data, ArrayRef<Tensor> coordinates,
                       const Shape &shape) {
  int64_t depth = coordinates.size(), outer = coordinates[0].rank();
  SmallVector<SliceRange> ranges;
  for (const Extent &e : data.shape())
    ranges.push_back({0, e, 1});
  // The axis of the result that each axis of the data follows, -1 for none.
  SmallVector<int64_t> target;
  for (int64_t k = 0; k < depth; ++k) {
    auto ramp = coordinates[k].ramp();
    Extent count = ramp && ramp->axis >= 0 ? coordinates[k].dim(ramp->axis) : Extent(1);
    if (!isSliceOf(node, ramp, count, data.dim(k)))
      return false;
    if (ramp->axis >= 0 && llvm::is_contained(target, ramp->axis))
      return false;
    ranges[k] = {ramp->start, count, ramp->axis < 0 ? 1 : ramp->step};
    target.push_back(ramp->axis);
  }
  for (int64_t k = 0; k < depth; ++k)
    requireInside(node, *coordinates[k].ramp(), ranges[k].size, data.dim(k));
  for (int64_t axis = depth; axis < data.rank(); ++axis)
    target.push_back(outer + axis - depth);
  Tensor part = slice(node, data, ranges);
  SmallVector<int64_t> perm = llvm::to_vector(llvm::seq<int64_t>(0, data.rank()));
  llvm::sort(perm, [&](int64_t a, int64_t b) { return target[a] < target[b]; });
  Shape single(shape.size(), Extent(1));
  for (int64_t axis = 0; axis < data.rank(); ++axis)
    if (target[axis] >= 0)
      single[target[axis]] = part.dim(axis);
  Tensor moved = reshape(node, transpose(node, part, perm), single);
  node.setOutput(0, broadcastTo(node, moved, shape));
  return true;
}

static void convertGatherND(Node &node) {
  Tensor data = node.input(0), indices = node.input(1);
  checkIndexType(node, indices);
  int64_t batch = node.intAttr("batch_dims", 0);
  node.check(indices.rank() >= 1 && data.rank() >= 1, "data and indices need rank 1 or more");
  auto depth = indices.shape().back().constant();
  if (!depth)
    node.unsupported("the last size of the indices is dynamic; accepted: a static one");
  node.check(batch >= 0 && batch < std::min(data.rank(), indices.rank()),
             "attribute 'batch_dims' is " + llvm::Twine(batch));
  node.check(*depth >= 1 && batch + *depth <= data.rank(), "an index has " + llvm::Twine(*depth) +
                                                               " coordinates; the data has rank " +
                                                               llvm::Twine(data.rank()));
  for (int64_t i = 0; i < batch; ++i)
    node.requireEqual(data.dim(i), indices.dim(i), "batch axis " + llvm::Twine(i) + " differs");
  int64_t outer = indices.rank() - 1;
  Shape shape(indices.shape().begin(), indices.shape().end() - 1);
  shape.append(data.shape().begin() + batch + *depth, data.shape().end());

  auto columns = coordinates(node, indices, *depth);
  if (batch == 0 && gatherGrid(node, data, columns, shape))
    return;
  MLIRContext *context = node.context();
  AffineMap map = AffineMap::getMultiDimIdentityMap(shape.size(), context).getMajorSubMap(outer);
  SmallVector<Value> operands;
  SmallVector<Value> sizes;
  for (auto [k, tensor] : llvm::enumerate(columns)) {
    operands.push_back(node.value(tensor));
    sizes.push_back(node.index(data.dim(batch + k)));
  }
  SmallVector<AffineMap> maps(*depth, map);
  Value table = node.value(data);
  Value result =
      generic(node, operands, maps, shape, data.dtype().type(context),
              [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                SmallVector<Value> at;
                for (int64_t i = 0; i < batch; ++i)
                  at.push_back(linalg::IndexOp::create(b, loc, i));
                for (int64_t k = 0; k < *depth; ++k)
                  at.push_back(checkedIndex(node, b, loc, args[k], sizes[k], false));
                for (int64_t i = batch + *depth; i < data.rank(); ++i)
                  at.push_back(linalg::IndexOp::create(b, loc, outer + i - batch - *depth));
                return tensor::ExtractOp::create(b, loc, table, at);
              });
  node.setOutput(0, node.tensor(result, data.dtype(), shape));
}

void registerGather(Registry &registry) {
  registry.add("Gather", 1, convertGather);
  registry.add("GatherElements", 11, convertGatherElements);
  registry.add("GatherND", 11, convertGatherND);
}

} // namespace attune::onnx
