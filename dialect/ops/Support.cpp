#include "attune/dialect/ops/Support.h"

using namespace mlir;

FloatType attune::getDefaultAccum(Value value) {
  MLIRContext *context = value.getContext();
  if (getElementTypeOrSelf(value).isF64())
    return Float64Type::get(context);
  return Float32Type::get(context);
}

void attune::refineShapes(OpBuilder &builder, Operation *op, ReifiedRankedShapedTypeDims &dims) {
  for (auto [type, shape] : llvm::zip_equal(op->getResultTypes(), dims))
    for (auto [extent, dim] : llvm::zip_equal(cast<RankedTensorType>(type).getShape(), shape))
      if (ShapedType::isStatic(extent))
        dim = builder.getIndexAttr(extent);
}
