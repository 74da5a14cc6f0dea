#include "attune/dialect/Attune.h"
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

/// `data` with `updates` at `places` [.., depth], checked indices.
Tensor scatter(Node &node, const Tensor &data, Value places, const Tensor &updates,
               StringRef kind) {
  DType dtype = data.dtype();
  if (kind != "none" && (dtype.isBool() || (dtype.isFloat() && dtype.bits() == 8)))
    node.unsupported("element type " + dtype.name() + " with attribute 'reduction'");
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  auto op = ScatterOp::create(b, loc, node.value(data), places, node.value(updates));
  if (kind != "none") {
    OpBuilder::InsertionGuard guard(b);
    Block *block = op.addCombine(b);
    YieldOp::create(b, loc,
                    combine(b, loc, kind, dtype, block->getArgument(0), block->getArgument(1)));
  }
  return node.tensor(op.getResult(), dtype, data.shape());
}

void checkIndices(Node &node, const Tensor &indices) {
  node.check(indices.dtype() == kInt32 || indices.dtype() == kInt64,
             "indices have element type " + indices.dtype().name() + "; accepted: int32, int64");
}

Value isNumber(OpBuilder &b, Location loc, Value index, int64_t number) {
  Value wanted = arith::ConstantIndexOp::create(b, loc, number);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, index, wanted);
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
  int64_t rank = data.rank();
  Value size = node.index(data.dim(axis));
  AffineMap element = AffineMap::getMultiDimIdentityMap(rank + 1, node.context());
  Shape shape(indices.shape().begin(), indices.shape().end());
  shape.push_back(rank);
  Type i64 = node.builder().getI64Type();
  Value places =
      generic(node, {node.value(castTo(node, indices, kInt64))}, {element.getMajorSubMap(rank)},
              shape, i64, [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                // An element keeps its place on the other axes.
                Value axisOf = linalg::IndexOp::create(b, loc, rank);
                Value place = checkedIndex(node, b, loc, args[0], size, /*isUnsigned=*/false);
                for (int64_t i = 0; i < rank; ++i)
                  if (i != axis)
                    place = arith::SelectOp::create(b, loc, isNumber(b, loc, axisOf, i),
                                                    linalg::IndexOp::create(b, loc, i), place);
                return arith::IndexCastOp::create(b, loc, i64, place);
              });
  node.setOutput(0, scatter(node, data, places, updates, kind));
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
  Shape expected(indices.shape().begin(), indices.shape().end() - 1);
  expected.append(data.shape().begin() + *depth, data.shape().end());
  node.check(updates.rank() == int64_t(expected.size()),
             "the updates have rank " + llvm::Twine(updates.rank()) +
                 "; accepted: " + llvm::Twine(expected.size()));
  for (auto [own, wanted] : llvm::zip(updates.shape(), expected))
    node.requireEqual(own, wanted, "the updates have another shape than the places they go to");
  SmallVector<Value> sizes;
  for (int64_t i = 0; i < *depth; ++i)
    sizes.push_back(node.index(data.dim(i)));
  AffineMap element = AffineMap::getMultiDimIdentityMap(indices.rank(), node.context());
  Type i64 = node.builder().getI64Type();
  Value places =
      generic(node, {node.value(castTo(node, indices, kInt64))}, {element}, indices.shape(), i64,
              [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                Value axis = linalg::IndexOp::create(b, loc, indices.rank() - 1), size = sizes[0];
                for (int64_t i = 1; i < *depth; ++i)
                  size = arith::SelectOp::create(b, loc, isNumber(b, loc, axis, i), sizes[i], size);
                Value place = checkedIndex(node, b, loc, args[0], size, /*isUnsigned=*/false);
                return arith::IndexCastOp::create(b, loc, i64, place);
              });
  node.setOutput(0, scatter(node, data, places, updates, kind));
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
