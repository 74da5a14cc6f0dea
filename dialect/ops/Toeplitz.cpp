#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

FloatType ToeplitzOp::getAccumType() { return getDefaultAccum(getInput()); }

bool ToeplitzOp::hasChannelCoeffs() {
  return cast<RankedTensorType>(getCoeffs().getType()).getRank() == 2;
}

LogicalResult ToeplitzOp::verify() { return success(); }

FailureOr<SmallVector<Value>> ToeplitzOp::decompose(OpBuilder &builder) { return failure(); }

LogicalResult ToeplitzOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  return failure();
}

SmallVector<WorkTerm> ToeplitzOp::getWork(ExtentOf extent) { return {}; }

SmallVector<OpFoldResult> ToeplitzOp::getParallelExtents(ExtentOf extent) { return {}; }
