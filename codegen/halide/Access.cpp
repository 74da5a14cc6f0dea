#include "attune/codegen/halide/Access.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen::halide {

bool isView(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp, tensor::ExtractSliceOp,
             tensor::PadOp, tensor::InsertSliceOp>(op);
}

bool isExpensive(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic)
    return false;
  unsigned operations = 0;
  for (Operation &inner : generic.getBody()->without_terminator())
    operations += isa<math::MathDialect>(inner.getDialect()) || isa<arith::DivFOp>(inner) ? 4 : 1;
  return operations > 3;
}

namespace {

Access identity(int64_t rank) {
  Access access;
  for (int64_t axis = 0; axis < rank; ++axis)
    access.axes.push_back({axis, false});
  return access;
}

Access ofGeneric(linalg::GenericOp op, OpOperand &operand) {
  Access access;
  SmallVector<int64_t> axisOf(op.getNumLoops(), -1);
  AffineMap out = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  for (auto [axis, expr] : llvm::enumerate(out.getResults()))
    axisOf[cast<AffineDimExpr>(expr).getPosition()] = axis;
  AffineMap map = op.getMatchingIndexingMap(&operand);
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
    access.repeated |= ranges[loop] != 1 && !map.isFunctionOfDim(loop);
  for (AffineExpr expr : map.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      access.axes.push_back({axisOf[dim.getPosition()], false});
      continue;
    }
    AxisUse use;
    unsigned moving = 0, parallel = 0;
    for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
      if (expr.isFunctionOfDim(loop)) {
        ++moving;
        parallel += axisOf[loop] >= 0;
        if (axisOf[loop] >= 0)
          use = {axisOf[loop], true};
      }
    bool linear = true;
    expr.walk([&](AffineExpr part) {
      linear &= part.getKind() != AffineExprKind::Mod &&
                part.getKind() != AffineExprKind::FloorDiv &&
                part.getKind() != AffineExprKind::CeilDiv;
    });
    access.window |= moving > 1;
    access.repeated |= moving > 1;
    access.axes.push_back(linear && parallel == 1 ? use : AxisUse());
  }
  return access;
}

/// Axes that are dropped have one element at a fixed place.
Access ofSlice(int64_t rank, ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> strides,
               const llvm::SmallBitVector &dropped) {
  Access access;
  int64_t next = 0;
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (dropped.test(axis)) {
      access.axes.emplace_back();
      continue;
    }
    bool moved = !isZeroInteger(offsets[axis]) || !isOneInteger(strides[axis]);
    access.axes.push_back({next++, moved});
  }
  return access;
}

/// The axis of a group that is not of extent 1, if there is one only.
int64_t firstMoving(ArrayRef<int64_t> group, ArrayRef<int64_t> shape, bool &alone) {
  int64_t found = group.front(), moving = 0;
  for (int64_t axis : group)
    if (shape[axis] != 1 && ++moving == 1)
      found = axis;
  alone = moving <= 1;
  return found;
}

template <typename Op> SmallVector<ReassociationIndices> groupsOf(Op op) {
  return op.getReassociationIndices();
}

} // namespace

Access getAccess(OpOperand &operand) {
  Operation *op = operand.getOwner();
  int64_t rank = cast<RankedTensorType>(operand.get().getType()).getRank();
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return ofGeneric(generic, operand);
  if (auto pad = dyn_cast<tensor::PadOp>(op)) {
    Access access = identity(rank);
    for (auto [use, low] : llvm::zip(access.axes, pad.getMixedLowPad()))
      use.shifted = !isZeroInteger(low);
    return access;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
    return ofSlice(rank, slice.getMixedOffsets(), slice.getMixedStrides(), slice.getDroppedDims());
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op)) {
    if (operand.get() == insert.getDest())
      return identity(rank);
    Access access;
    llvm::SmallBitVector dropped = insert.getDroppedDims();
    for (int64_t axis = 0; axis < insert.getDestType().getRank(); ++axis)
      if (!dropped.test(axis))
        access.axes.push_back({axis, !isZeroInteger(insert.getMixedOffsets()[axis])});
    return access;
  }
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    Access access;
    for (const ReassociationIndices &group : groupsOf(expand)) {
      bool alone;
      access.axes.push_back({firstMoving(group, expand.getResultType().getShape(), alone), false});
    }
    return access;
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    Access access;
    access.axes.resize(rank);
    for (auto [axis, group] : llvm::enumerate(groupsOf(collapse))) {
      bool alone;
      int64_t moving = firstMoving(group, collapse.getSrcType().getShape(), alone);
      // A part of joined axes takes whole rows of the inner ones: no block of its own.
      if (alone)
        access.axes[moving] = {static_cast<int64_t>(axis), false};
    }
    return access;
  }
  return identity(rank);
}

} // namespace attune::codegen::halide
