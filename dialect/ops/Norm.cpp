#include "attune/dialect/Attune.h"

using namespace mlir;
using namespace attune;

LogicalResult NormOp::verify() { return success(); }

FailureOr<SmallVector<Value>> NormOp::decompose(OpBuilder &builder) {
  return emitOpError("has no reference lowering yet");
}

LogicalResult NormOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  return failure();
}
