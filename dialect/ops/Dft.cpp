#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

LogicalResult DftOp::verify() {
  RankedTensorType input = getInputType();
  auto result = cast<RankedTensorType>(getResult().getType());
  if (!isa<FloatType>(input.getElementType()) || !isa<FloatType>(result.getElementType()))
    return emitOpError("input and result must have float elements");
  int64_t axis = getAxis(), rank = input.getRank();
  if (axis < 0 || axis >= rank - 1)
    return emitOpError("axis must be in [0, rank - 1) = [0, ") << rank - 1 << "), found " << axis;
  int64_t parts = input.getShape().back();
  if (parts != 1 && parts != 2)
    return emitOpError("last extent of the input must be 1 (real) or 2 (complex), found ") << input;
  if (getOnesided() && !getInverse() && parts != 1)
    return emitOpError("onesided needs a real input, found ") << input;
  if (getOnesided() && getInverse() && parts != 2)
    return emitOpError("onesided, inverse needs a complex input, found ") << input;
  SmallVector<int64_t> shape(input.getShape());
  shape[axis] = ShapedType::kDynamic;
  shape.back() = getOnesided() && getInverse() ? 1 : 2;
  if (failed(verifyCompatibleShape(shape, result.getShape())))
    return emitOpError("result type does not fit: expected shape ")
           << RankedTensorType::get(shape, result.getElementType()) << ", found " << result;
  return success();
}

FailureOr<SmallVector<Value>> DftOp::decompose(OpBuilder &builder) {
  return emitOpError("has no reference lowering yet");
}

LogicalResult DftOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  Location loc = getLoc();
  dims.push_back(tensor::getMixedSizes(builder, loc, getInput()));
  SmallVector<OpFoldResult> &shape = dims.back();
  Value extent = getLength();
  if (getOnesided() && !getInverse()) {
    Value one = arith::ConstantIndexOp::create(builder, loc, 1);
    Value half = arith::ShRUIOp::create(builder, loc, extent, one);
    extent = arith::AddIOp::create(builder, loc, half, one);
  }
  shape[getAxis()] = getAsOpFoldResult(extent);
  shape.back() = builder.getIndexAttr(getOnesided() && getInverse() ? 1 : 2);
  refineShapes(builder, getOperation(), dims);
  return success();
}
