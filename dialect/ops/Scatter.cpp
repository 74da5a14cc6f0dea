#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace attune;

LogicalResult ScatterOp::verify() {
  RankedTensorType data = getDataType();
  auto indices = cast<RankedTensorType>(getIndices().getType());
  auto updates = cast<RankedTensorType>(getUpdates().getType());
  if (indices.getRank() < 1)
    return emitOpError("the indices must have at least one axis, found ") << indices;
  int64_t depth = getDepth();
  if (ShapedType::isDynamic(depth) || depth < 1 || depth > data.getRank())
    return emitOpError("the last extent of the indices must be in [1, ")
           << data.getRank() << "], found " << indices;
  SmallVector<int64_t> expected(indices.getShape().drop_back());
  llvm::append_range(expected, data.getShape().drop_front(depth));
  if (failed(verifyCompatibleShape(expected, updates.getShape())) ||
      updates.getElementType() != data.getElementType())
    return emitOpError("the updates of ")
           << data << " at " << indices << " must be "
           << RankedTensorType::get(expected, data.getElementType()) << ", found " << updates;
  Type element = data.getElementType();
  return verifyScalarRegion(*this, "combine", getCombine(), {element, element}, element);
}

Block *ScatterOp::addCombine(OpBuilder &builder) {
  Type element = getDataType().getElementType();
  return builder.createBlock(&getCombine(), {}, {element, element}, {getLoc(), getLoc()});
}

//===-- Reference lowering --------------------------------------------------------------------===//

namespace {

/// Loops over the leading axes that carry the tensor, and one operator over the others inside.
class ScatterLowering : Lowering {
public:
  ScatterLowering(ScatterOp op, OpBuilder &builder)
      : Lowering(builder, op.getLoc()), scatter(op), depth(op.getDepth()),
        trailing(op.getDataType().getRank() - depth) {}
  Value run() {
    extents = sizes(scatter.getIndices());
    AffineMap identity = prefix(depth + trailing, depth + trailing);
    Value copy = elementwise(scatter.getData(), identity, sizes(scatter.getData()),
                             scatter.getDataType().getElementType(),
                             [](ValueRange args) { return args[0]; });
    // Slices of an empty axis do not verify.
    return llvm::is_contained(scatter.getDataType().getShape(), 0) ? copy : steps(copy, {});
  }

private:
  Value steps(Value running, ArrayRef<Value> at);
  Value update(Value running, ArrayRef<Value> at);
  Value combine(Value old, Value fresh) {
    return scatter.getCombine().empty() ? fresh : inlineBody(scatter.getCombine(), {old, fresh});
  }
  struct Slice {
    Shape offsets, sizes, strides;
    RankedTensorType type;
  };
  /// The last `trailing` axes of a tensor at one place of the others.
  Slice sliceOf(Value tensor, ArrayRef<Value> place);

  ScatterOp scatter;
  int64_t depth, trailing;
  Shape extents;
};

ScatterLowering::Slice ScatterLowering::sliceOf(Value tensor, ArrayRef<Value> place) {
  auto type = cast<RankedTensorType>(tensor.getType());
  Slice slice{{}, sizes(tensor), Shape(type.getRank(), builder.getIndexAttr(1)), {}};
  slice.offsets.assign(place.begin(), place.end());
  slice.offsets.append(trailing, builder.getIndexAttr(0));
  for (size_t axis = 0; axis < place.size(); ++axis)
    slice.sizes[axis] = builder.getIndexAttr(1);
  slice.type = type.clone(type.getShape().take_back(trailing));
  return slice;
}

Value ScatterLowering::update(Value running, ArrayRef<Value> at) {
  SmallVector<Value> place;
  for (int64_t i = 0; i < depth; ++i) {
    SmallVector<Value> entry(at);
    entry.push_back(index(i));
    place.push_back(toIndex(op<tensor::ExtractOp>(scatter.getIndices(), entry)));
  }
  if (trailing == 0) {
    Value fresh = op<tensor::ExtractOp>(scatter.getUpdates(), at);
    if (!scatter.getCombine().empty())
      fresh = combine(op<tensor::ExtractOp>(running, place), fresh);
    return op<tensor::InsertOp>(fresh, running, place);
  }
  Slice from = sliceOf(scatter.getUpdates(), at), to = sliceOf(running, place);
  Value fresh = op<tensor::ExtractSliceOp>(from.type, scatter.getUpdates(), from.offsets,
                                           from.sizes, from.strides);
  Value old = op<tensor::ExtractSliceOp>(to.type, running, to.offsets, to.sizes, to.strides);
  AffineMap identity = prefix(trailing, trailing);
  Value changed = accumulate(fresh, identity, old, identity,
                             [&](ValueRange args) { return combine(args[1], args[0]); });
  return op<tensor::InsertSliceOp>(changed, running, to.offsets, to.sizes, to.strides);
}

Value ScatterLowering::steps(Value running, ArrayRef<Value> at) {
  if (static_cast<int64_t>(at.size()) == scatter.getLeading())
    return update(running, at);
  auto loop = scf::ForOp::create(builder, loc, index(int64_t(0)), index(extents[at.size()]),
                                 index(int64_t(1)), running,
                                 [&](OpBuilder &, Location, Value step, ValueRange carried) {
                                   SmallVector<Value> next(at);
                                   next.push_back(step);
                                   scf::YieldOp::create(builder, loc, steps(carried[0], next));
                                 });
  return loop.getResult(0);
}

} // namespace

FailureOr<SmallVector<Value>> ScatterOp::decompose(OpBuilder &builder) {
  return SmallVector<Value>{ScatterLowering(*this, builder).run()};
}

//===-- Shapes and work -----------------------------------------------------------------------===//

LogicalResult ScatterOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  dims.push_back(tensor::getMixedSizes(builder, getLoc(), getData()));
  return success();
}

/// A copy of the data, and an operation per updated element.
SmallVector<WorkTerm> ScatterOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  addWork(terms, WorkTerm::Class::Arithmetic, 1, getExtents(getData(), extent));
  addWork(terms, WorkTerm::Class::Arithmetic, 1, getExtents(getUpdates(), extent));
  return terms;
}

/// Updates come in order.
SmallVector<OpFoldResult> ScatterOp::getParallelExtents(ExtentOf extent) {
  return SmallVector<OpFoldResult>(
      ArrayRef<OpFoldResult>(getExtents(getData(), extent)).drop_front(getDepth()));
}
