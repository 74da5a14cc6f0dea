// Scatters as pulls: every element of the result looks for the updates that name it, in their
// order, so that nothing depends on threads.
#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {
namespace {

std::string readReduction(Node &node) {
  std::string kind = node.stringAttr("reduction", "none");
  node.check(llvm::is_contained({"none", "add", "mul", "max", "min"}, StringRef(kind)),
             "attribute 'reduction' is '" + kind + "'; accepted: none, add, mul, max, min");
  return kind;
}

Value combine(OpBuilder &b, Location loc, StringRef kind, DType dtype, Value old, Value update) {
  bool isFloat = dtype.isFloat(), isUnsigned = dtype.isUnsigned();
  if (kind == "add")
    return isFloat ? arith::AddFOp::create(b, loc, old, update).getResult()
                   : arith::AddIOp::create(b, loc, old, update).getResult();
  if (kind == "mul")
    return isFloat ? arith::MulFOp::create(b, loc, old, update).getResult()
                   : arith::MulIOp::create(b, loc, old, update).getResult();
  if (kind == "max")
    return isFloat      ? arith::MaximumFOp::create(b, loc, old, update).getResult()
           : isUnsigned ? arith::MaxUIOp::create(b, loc, old, update).getResult()
                        : arith::MaxSIOp::create(b, loc, old, update).getResult();
  if (kind == "min")
    return isFloat      ? arith::MinimumFOp::create(b, loc, old, update).getResult()
           : isUnsigned ? arith::MinUIOp::create(b, loc, old, update).getResult()
                        : arith::MinSIOp::create(b, loc, old, update).getResult();
  return update;
}

/// The update that step `loops.back()` of the last loop brings for the element at the other loops:
/// whether it is one, and its value.
using UpdateFn =
    llvm::function_ref<std::pair<Value, Value>(OpBuilder &, Location, ValueRange loops)>;

/// Folds `steps` updates into every element of `data`.
Tensor pull(Node &node, const Tensor &data, const Extent &steps, StringRef kind, UpdateFn update) {
  DType dtype = data.dtype();
  if (kind != "none" && (dtype.isBool() || (dtype.isFloat() && dtype.bits() == 8)))
    node.unsupported("element type " + dtype.name() + " with attribute 'reduction'");
  MLIRContext *context = node.context();
  int64_t rank = data.rank();
  SmallVector<AffineMap> maps{
      AffineMap::get(rank + 1, 0, {getAffineDimExpr(rank, context)}, context),
      AffineMap::getMultiDimIdentityMap(rank + 1, context).getMajorSubMap(rank)};
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  iterators.push_back(utils::IteratorType::reduction);
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Type element = dtype.type(context);
  Value count = empty(node, {steps}, element), init = node.value(data);
  auto op = linalg::GenericOp::create(b, loc, init.getType(), ValueRange{count}, ValueRange{init},
                                      maps, iterators);
  OpBuilder::InsertionGuard guard(b);
  Block *block = b.createBlock(&op.getRegion(), {}, {element, element}, {loc, loc});
  SmallVector<Value> loops;
  for (int64_t i = 0; i <= rank; ++i)
    loops.push_back(linalg::IndexOp::create(b, loc, i));
  Value old = block->getArgument(1);
  auto [mine, value] = update(b, loc, loops);
  Value changed = combine(b, loc, kind, dtype, old, value);
  linalg::YieldOp::create(b, loc, arith::SelectOp::create(b, loc, mine, changed, old).getResult());
  return node.tensor(op.getResult(0), dtype, data.shape());
}

void checkIndices(Node &node, const Tensor &indices) {
  node.check(indices.dtype() == kInt32 || indices.dtype() == kInt64,
             "indices have element type " + indices.dtype().name() + "; accepted: int32, int64");
}

Value lessThan(OpBuilder &b, Location loc, Value i, Value size) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, i, size);
}

void convertScatterElements(Node &node) {
  Tensor data = node.input(0), indices = node.input(1), updates = node.input(2);
  checkIndices(node, indices);
  std::string kind = readReduction(node);
  node.check(data.rank() == indices.rank() && data.rank() == updates.rank() && data.rank() > 0,
             "data, indices and updates have different ranks");
  int64_t axis = node.normaliseAxis(node.intAttr("axis", 0), data.rank());
  for (int64_t i = 0; i < data.rank(); ++i) {
    node.requireEqual(indices.dim(i), updates.dim(i), "indices and updates differ in shape");
    if (i != axis)
      node.require(node.extents().less(indices.dim(i), data.dim(i) + 1),
                   "the indices are larger than the data along axis " + llvm::Twine(i));
  }
  Value table = node.value(castTo(node, indices, kInt64)), values = node.value(updates);
  Value size = node.index(data.dim(axis));
  SmallVector<Value> sizes;
  for (const Extent &e : indices.shape())
    sizes.push_back(node.index(e));
  auto update = [&](OpBuilder &b, Location loc, ValueRange loops) {
    // Beyond the updates of the other axes the first one is read, and not used.
    SmallVector<Value> at(loops.drop_back());
    Value mine = arith::ConstantIntOp::create(b, loc, 1, 1);
    Value zero = arith::ConstantIndexOp::create(b, loc, 0);
    for (int64_t i = 0; i < data.rank(); ++i) {
      if (i == axis) {
        at[i] = loops.back();
        continue;
      }
      Value inside = lessThan(b, loc, at[i], sizes[i]);
      mine = arith::AndIOp::create(b, loc, mine, inside);
      at[i] = arith::SelectOp::create(b, loc, inside, at[i], zero);
    }
    Value raw = tensor::ExtractOp::create(b, loc, table, at);
    Value target = checkedIndex(node, b, loc, raw, size, /*isUnsigned=*/false);
    Value here = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, target, loops[axis]);
    return std::pair<Value, Value>(arith::AndIOp::create(b, loc, mine, here),
                                   tensor::ExtractOp::create(b, loc, values, at));
  };
  // Without updates along another axis there is nothing to read.
  for (int64_t i = 0; i < data.rank(); ++i)
    if (i != axis && !indices.dim(axis).is(0))
      node.require(node.extents().max(node.extents().less(0, indices.dim(i)),
                                      node.extents().equal(indices.dim(axis), 0)),
                   "the indices are empty along axis " + llvm::Twine(i));
  node.setOutput(0, pull(node, data, indices.dim(axis), kind, update));
}

void convertScatterND(Node &node) {
  Tensor data = node.input(0), indices = node.input(1), updates = node.input(2);
  checkIndices(node, indices);
  std::string kind = readReduction(node);
  node.check(indices.rank() >= 1, "the indices are a scalar");
  std::optional<int64_t> depth = indices.shape().back().constant();
  if (!depth)
    node.unsupported("the last size of the indices is dynamic; accepted: a static one");
  node.check(*depth >= 1 && *depth <= data.rank(), "an index has " + llvm::Twine(*depth) +
                                                       " coordinates; the data has rank " +
                                                       llvm::Twine(data.rank()));
  Extent count = 1;
  Shape expected(indices.shape().begin(), indices.shape().end() - 1);
  for (const Extent &e : expected)
    count = count * e;
  expected.append(data.shape().begin() + *depth, data.shape().end());
  node.check(updates.rank() == int64_t(expected.size()),
             "the updates have rank " + llvm::Twine(updates.rank()) +
                 "; accepted: " + llvm::Twine(expected.size()));
  for (auto [own, wanted] : llvm::zip(updates.shape(), expected))
    node.requireEqual(own, wanted, "the updates have another shape than the places they go to");
  Shape flat = {count};
  flat.append(data.shape().begin() + *depth, data.shape().end());
  Value table = node.value(reshape(node, castTo(node, indices, kInt64), {count, *depth}));
  Value values = node.value(reshape(node, updates, flat));
  SmallVector<Value> sizes;
  for (int64_t i = 0; i < *depth; ++i)
    sizes.push_back(node.index(data.dim(i)));
  auto update = [&](OpBuilder &b, Location loc, ValueRange loops) {
    Value mine = arith::ConstantIntOp::create(b, loc, 1, 1);
    for (int64_t i = 0; i < *depth; ++i) {
      Value k = arith::ConstantIndexOp::create(b, loc, i);
      Value raw = tensor::ExtractOp::create(b, loc, table, ValueRange{loops.back(), k});
      Value target = checkedIndex(node, b, loc, raw, sizes[i], /*isUnsigned=*/false);
      Value here = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, target, loops[i]);
      mine = arith::AndIOp::create(b, loc, mine, here);
    }
    SmallVector<Value> at{loops.back()};
    llvm::append_range(at, loops.drop_back().drop_front(*depth));
    return std::pair<Value, Value>(mine, tensor::ExtractOp::create(b, loc, values, at));
  };
  node.setOutput(0, pull(node, data, count, kind, update));
}

/// A cache with new entries from a place of its own in each sequence: one comparison decides.
void convertTensorScatter(Node &node) {
  Tensor cache = node.input(0), update = node.input(1);
  std::string mode = node.stringAttr("mode", "linear");
  node.check(mode == "linear" || mode == "circular",
             "attribute 'mode' is '" + mode + "'; accepted: linear, circular");
  node.check(cache.rank() == update.rank() && cache.rank() >= 2,
             "cache and update have different ranks");
  int64_t axis = node.normaliseAxis(node.intAttr("axis", -2), cache.rank());
  node.check(axis > 0, "attribute 'axis' is the batch; accepted: another axis");
  for (int64_t i = 0; i < cache.rank(); ++i)
    if (i != axis)
      node.requireEqual(cache.dim(i), update.dim(i),
                        "cache and update differ along axis " + llvm::Twine(i));
  node.require(node.extents().less(update.dim(axis), cache.dim(axis) + 1),
               "the update is longer than the cache");
  node.require(node.extents().less(0, update.dim(axis)), "the update is empty");
  Value places;
  if (node.has(2)) {
    node.check(node.input(2).rank() == 1, "write_indices is not one-dimensional");
    node.requireEqual(node.input(2).dim(0), cache.dim(0), "write_indices differ from the batch");
    places = node.value(castTo(node, node.input(2), kInt64));
  }
  Value fresh = node.value(update), size = node.index(cache.dim(axis));
  Value length = node.index(update.dim(axis));
  AffineMap identity = AffineMap::getMultiDimIdentityMap(cache.rank(), node.context());
  Value result = generic(
      node, {node.value(cache)}, {identity}, cache.shape(), cache.dtype().type(node.context()),
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        SmallVector<Value> at;
        for (int64_t i = 0; i < cache.rank(); ++i)
          at.push_back(linalg::IndexOp::create(b, loc, i));
        Value zero = arith::ConstantIndexOp::create(b, loc, 0), start = zero;
        if (places)
          start = arith::IndexCastOp::create(
              b, loc, b.getIndexType(),
              tensor::ExtractOp::create(b, loc, places, ValueRange{at[0]}));
        Value offset = arith::SubIOp::create(b, loc, at[axis], start);
        if (mode == "circular") {
          Value turns = arith::FloorDivSIOp::create(b, loc, offset, size);
          offset =
              arith::SubIOp::create(b, loc, offset, arith::MulIOp::create(b, loc, turns, size));
        }
        Value isNew = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, offset, length);
        at[axis] = arith::SelectOp::create(b, loc, isNew, offset, zero);
        Value v = tensor::ExtractOp::create(b, loc, fresh, at);
        return arith::SelectOp::create(b, loc, isNew, v, args[0]);
      });
  node.setOutput(0, node.tensor(result, cache.dtype(), cache.shape()));
}

} // namespace

void registerScatter(Registry &registry) {
  registry.add("Scatter", 9, convertScatterElements, 10);
  registry.add("ScatterElements", 11, convertScatterElements);
  registry.add("ScatterND", 11, convertScatterND);
  registry.add("TensorScatter", 24, convertTensorScatter);
}

} // namespace attune::onnx
