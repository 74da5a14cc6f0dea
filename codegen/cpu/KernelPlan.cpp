#include "attune/codegen/cpu/Scope.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

/// What operators can do at the same time is shared out in pieces that a thread is busy with for
/// some microseconds.
KernelPlan KernelEmitter::plan(KernelOp op, const CpuTarget &, IndexValues valueOf) const {
  constexpr int64_t kPieces = 64, kElements = 4096;
  Sizes sizes(op);
  KernelPlan plan;
  auto extent = [&](Value tensor, int64_t axis) -> OpFoldResult {
    MaybeSize size = sizes.extent(tensor, axis);
    return size ? Builder(op.getContext()).getIndexAttr(size->at(valueOf)) : OpFoldResult();
  };
  auto product = [](ArrayRef<OpFoldResult> extents) {
    int64_t count = 1;
    for (OpFoldResult extent : extents)
      count *= getConstantIntValue(extent).value_or(1);
    return count;
  };
  for (Operation &inner : op.getBody().front())
    if (auto work = dyn_cast<WorkOpInterface>(inner)) {
      int64_t tasks = product(work.getParallelExtents(extent)) / kPieces;
      plan.tasks = std::max<double>(plan.tasks, tasks);
    }
  if (plan.tasks > 1)
    return plan;
  for (Value result : op.getYield().getOperands()) {
    int64_t tasks = product(getExtents(result, extent)) / kElements;
    plan.tasks = std::max<double>(plan.tasks, std::min(tasks, kPieces));
  }
  return plan;
}

} // namespace attune::codegen
