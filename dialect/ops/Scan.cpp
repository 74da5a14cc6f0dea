#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

LogicalResult ScanOp::verify() {
  int64_t axis = getAxis(), rank = getInputType().getRank();
  if (axis < 0 || axis >= rank)
    return emitOpError("axis must be in [0, ") << rank << "), found " << axis;
  if (!getInputType().getElementType().isIntOrFloat())
    return emitOpError("elements must be integers or floats, found ")
           << getInputType().getElementType();
  return success();
}

FailureOr<SmallVector<Value>> ScanOp::decompose(OpBuilder &builder) {
  return emitOpError("has no reference lowering yet");
}

LogicalResult ScanOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  dims.push_back(tensor::getMixedSizes(builder, getLoc(), getInput()));
  return success();
}
