#include "attune/dialect/Attune.h"

using namespace mlir;
using namespace attune;

LogicalResult AttentionOp::verify() { return success(); }

FailureOr<SmallVector<Value>> AttentionOp::decompose(OpBuilder &builder) {
  return emitOpError("has no reference lowering yet");
}

LogicalResult AttentionOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  return failure();
}
