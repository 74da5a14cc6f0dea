#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

FloatType MapMixOp::getAccumType() { return getDefaultAccum(getMaps()); }

MapAct MapMixOp::getAct(int64_t stage) { return cast<MapActAttr>(getActs()[stage]).getValue(); }

std::pair<int64_t, int64_t> MapMixOp::getHalo() {
  int64_t rows = 0, columns = 0;
  for (auto [weight, dilation] : llvm::zip_equal(getWeights(), getDilations())) {
    auto type = cast<RankedTensorType>(weight.getType());
    rows += type.getDimSize(2) / 2 * dilation;
    columns += type.getDimSize(3) / 2 * dilation;
  }
  return {rows, columns};
}

LogicalResult MapMixOp::verify() { return success(); }

FailureOr<SmallVector<Value>> MapMixOp::decompose(OpBuilder &builder) { return failure(); }

LogicalResult MapMixOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  return failure();
}

SmallVector<WorkTerm> MapMixOp::getWork(ExtentOf extent) { return {}; }

SmallVector<OpFoldResult> MapMixOp::getParallelExtents(ExtentOf extent) { return {}; }
