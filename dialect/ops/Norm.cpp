#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

void NormOp::build(OpBuilder &builder, OperationState &state, Value input, Value scale, Value bias,
                   NormKind kind, int64_t axis, double eps, int64_t groups) {
  build(builder, state, input.getType(), Type(), Type(), input, scale, bias, kind, axis, groups,
        APFloat(eps));
}

FloatType NormOp::getAccumType() { return getDefaultAccum(getInput()); }

//===-- Verification --------------------------------------------------------------------------===//

static bool haveFloatElements(ValueRange values) {
  return llvm::all_of(
      values, [](Value value) { return !value || isa<FloatType>(getElementTypeOrSelf(value)); });
}

/// Scale or bias of layer and RMS normalisation: aligned at the last axis, 1 repeats.
static LogicalResult checkBroadcast(NormOp op, StringRef name, Value value) {
  if (!value)
    return success();
  auto type = cast<RankedTensorType>(value.getType());
  ArrayRef<int64_t> shape = type.getShape(), input = op.getInputType().getShape();
  bool fits = shape.size() <= input.size();
  for (auto [extent, full] : llvm::zip(llvm::reverse(shape), llvm::reverse(input)))
    fits &= extent == 1 || ShapedType::isDynamic(extent) || ShapedType::isDynamic(full) ||
            extent == full;
  if (!fits)
    return op.emitOpError() << name << " of type " << type << " does not broadcast to the input "
                            << op.getInputType();
  return success();
}

static LogicalResult checkStatistic(NormOp op, StringRef name, Value value) {
  if (!value)
    return success();
  SmallVector<int64_t> shape(op.getInputType().getShape());
  std::fill(shape.begin() + op.getAxis(), shape.end(), 1);
  auto type = cast<RankedTensorType>(value.getType());
  if (failed(verifyCompatibleShape(type.getShape(), shape)))
    return op.emitOpError() << name << " must have the input's shape with extent 1 from the axis "
                            << "on, found " << type;
  return success();
}

static LogicalResult checkGroups(NormOp op) {
  if (op.getAxis() != 1)
    return op.emitOpError("kind group needs axis = 1 (channels), found ") << op.getAxis();
  if (op.getMean() || op.getInvStd())
    return op.emitOpError("kind group has no results mean and inv_std");
  int64_t channels = op.getInputType().getDimSize(1);
  if (op.getGroups() < 1 || (ShapedType::isStatic(channels) && channels % op.getGroups() != 0))
    return op.emitOpError("groups must divide the number of channels, found ") << op.getGroups();
  for (auto [name, value] : {std::pair("scale", op.getScale()), std::pair("bias", op.getBias())}) {
    if (!value)
      continue;
    auto type = cast<RankedTensorType>(value.getType());
    if (failed(verifyCompatibleShape(type.getShape(), {channels})))
      return op.emitOpError() << name << " must have one element per channel, found " << type;
  }
  return success();
}

LogicalResult NormOp::verify() {
  if (!haveFloatElements({getInput(), getScale(), getBias(), getResult(), getMean(), getInvStd()}))
    return emitOpError("operands and results must have float elements");
  int64_t axis = getAxis(), rank = getInputType().getRank();
  if (axis < 0 || axis >= rank)
    return emitOpError("axis must be in [0, ") << rank << "), found " << axis;
  if (failed(verifyCompatibleShape(getInputType(), getResult().getType())))
    return emitOpError("input and result must have the same shape");
  if (getKind() == NormKind::Group)
    return checkGroups(*this);
  if (getGroups() != 1)
    return emitOpError("groups is for kind group only, found ") << getGroups();
  if (getMean() && getKind() == NormKind::RMS)
    return emitOpError("kind rms has no result mean");
  if (failed(checkBroadcast(*this, "scale", getScale())) ||
      failed(checkBroadcast(*this, "bias", getBias())) ||
      failed(checkStatistic(*this, "mean", getMean())))
    return failure();
  return checkStatistic(*this, "inv_std", getInvStd());
}

FailureOr<SmallVector<Value>> NormOp::decompose(OpBuilder &builder) {
  return emitOpError("has no reference lowering yet");
}

LogicalResult NormOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  SmallVector<OpFoldResult> shape = tensor::getMixedSizes(builder, getLoc(), getInput());
  dims.push_back(shape);
  std::fill(shape.begin() + getAxis(), shape.end(), builder.getIndexAttr(1));
  dims.append(getMean() && getInvStd() ? 2 : getMean() || getInvStd() ? 1 : 0, shape);
  refineShapes(builder, getOperation(), dims);
  return success();
}
