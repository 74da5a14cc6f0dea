#include "attune/dialect/Attune.h"

using namespace mlir;
using namespace attune;

LogicalResult DftOp::verify() { return success(); }

FailureOr<SmallVector<Value>> DftOp::decompose(OpBuilder &builder) {
  return emitOpError("has no reference lowering yet");
}

LogicalResult DftOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  return failure();
}
