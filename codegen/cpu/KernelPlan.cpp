#include "attune/codegen/cpu/Scope.h"

using namespace mlir;

namespace attune::codegen {

/// Rows of results are shared out in pieces that a thread is busy with for some microseconds.
KernelPlan KernelEmitter::plan(KernelOp op, const CpuTarget &, IndexValues valueOf) const {
  constexpr int64_t kElements = 4096, kTasks = 64;
  Sizes sizes(op);
  KernelPlan plan;
  for (Value result : op.getYield().getOperands())
    if (std::optional<SmallVector<Size>> extents = sizes.extents(result)) {
      int64_t elements = product(*extents).at(valueOf);
      int64_t last = extents->empty() ? 1 : std::max<int64_t>(1, extents->back().at(valueOf));
      int64_t tasks = std::min({elements / last, elements / kElements, kTasks});
      plan.tasks = std::max(plan.tasks, static_cast<double>(tasks));
    }
  return plan;
}

} // namespace attune::codegen
