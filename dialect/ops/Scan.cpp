#include "attune/dialect/Attune.h"

using namespace mlir;
using namespace attune;

LogicalResult ScanOp::verify() { return success(); }

FailureOr<SmallVector<Value>> ScanOp::decompose(OpBuilder &builder) {
  return emitOpError("has no reference lowering yet");
}

LogicalResult ScanOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  return failure();
}
