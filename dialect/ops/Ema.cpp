#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

void EmaOp::build(OpBuilder &builder, OperationState &state, Value input, Value decay,
                  Value input_weight, Value output_weight, Value skip, bool bidirectional) {
  build(builder, state, input.getType(), Type(), input, decay, input_weight, output_weight, skip,
        Value(), bidirectional, IntegerAttr(), Form::Auto);
}

FloatType EmaOp::getAccumType() { return getDefaultAccum(getInput()); }

int64_t EmaOp::getNumStates() { return cast<RankedTensorType>(getDecay().getType()).getDimSize(1); }

LogicalResult EmaOp::verify() { return success(); }

FailureOr<SmallVector<Value>> EmaOp::decompose(OpBuilder &builder) { return failure(); }

LogicalResult EmaOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  return failure();
}

SmallVector<WorkTerm> EmaOp::getWork(ExtentOf extent) { return {}; }

SmallVector<OpFoldResult> EmaOp::getParallelExtents(ExtentOf extent) { return {}; }
