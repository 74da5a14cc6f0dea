#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

void LinearAttentionOp::build(OpBuilder &builder, OperationState &state, Type result, Value query,
                              Value key, Value value, Direction direction) {
  build(builder, state, result, Type(), Type(), query, key, value, Value(), Value(), Value(),
        Value(), Value(), Value(), Value(), Value(), Value(), Value(), direction, Update::Sum,
        Weighting::None, FloatAttr(), EpsMode::Add, Denominator::Weighted, Form::Auto, TypeAttr());
}

bool LinearAttentionOp::hasFeatureGates() {
  return getDecay() && cast<RankedTensorType>(getDecay().getType()).getRank() == 4;
}

FloatType LinearAttentionOp::getAccumType() {
  auto type = getAccum();
  return type ? cast<FloatType>(*type) : getDefaultAccum(getValue());
}

Value LinearAttentionOp::addMap(OpBuilder &builder, Region &region) {
  OpBuilder::InsertionGuard guard(builder);
  Block *block = builder.createBlock(&region, region.end(), {getAccumType()}, {getLoc()});
  return block->getArgument(0);
}

int64_t LinearAttentionOp::getKeyDim() {
  return cast<RankedTensorType>(getQuery().getType()).getDimSize(3);
}

int64_t LinearAttentionOp::getValueDim() {
  return cast<RankedTensorType>(getResult().getType()).getDimSize(3);
}

int64_t LinearAttentionOp::getNumPositionTerms() {
  return getQueryPos() ? cast<RankedTensorType>(getQueryPos().getType()).getDimSize(0) : 1;
}

LogicalResult LinearAttentionOp::verify() { return success(); }

LogicalResult LinearAttentionOp::verifyRegions() { return success(); }

FailureOr<SmallVector<Value>> LinearAttentionOp::decompose(OpBuilder &builder) { return failure(); }

LogicalResult LinearAttentionOp::reifyResultShapes(OpBuilder &builder,
                                                   ReifiedRankedShapedTypeDims &dims) {
  return failure();
}

SmallVector<WorkTerm> LinearAttentionOp::getWork(ExtentOf extent) { return {}; }

SmallVector<OpFoldResult> LinearAttentionOp::getParallelExtents(ExtentOf extent) { return {}; }
