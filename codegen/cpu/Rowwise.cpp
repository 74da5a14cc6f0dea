#include "attune/codegen/cost/IndexValue.h"
#include "attune/codegen/cpu/RowwiseCode.h"
#include "attune/codegen/cpu/RowwiseCount.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {
namespace {

/// Elementwise operators, gathers, reductions, norms and softmax that share their outer axes.
class RowwiseEmitter : public KernelEmitter {
public:
  StringRef name() const override { return "rowwise"; }

  bool matches(KernelOp op, const CpuTarget &target) const override {
    OwningOpRef<ModuleOp> trial(ModuleOp::create(op.getLoc()));
    return build(op, *trial, "trial", target) != nullptr;
  }

  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    std::unique_ptr<RowwisePlan> rowwise = RowwisePlan::make(op, target);
    if (!rowwise)
      return KernelEmitter::plan(op, target, valueOf);
    // The plan has a copy of the kernel.
    IndexValue copied(rowwise->kernel, llvm::map_to_vector(op.getDimArgs(), valueOf));
    auto at = [&](const Size &size) -> double {
      return size.at([&](Value value) { return copied(value); });
    };
    double blocks = 1, rows = at(rowwise->rowCount());
    if (rowwise->laneBlock)
      blocks = std::ceil(at(rowwise->extents.at(rowwise->lane)) / rowwise->laneBlock);
    RowwiseCount count = countRow(*rowwise, at);
    KernelPlan plan;
    rows *= blocks;
    double perTask = std::floor(16 * RowwisePlan::kTaskCycles / at(rowwise->rowCost())) + 1;
    plan.tasks = std::ceil(rows / perTask);
    plan.instructions = rows * count.instructions;
    plan.starts = rows * count.starts;
    plan.strided = rows * count.strided;
    KernelBuilder kb(op.getLoc(), target);
    if (double bytes = at(RowwiseCode(*rowwise, kb).scratchBytes()))
      plan.scratch.push_back({0, bytes});
    return plan;
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    std::shared_ptr<RowwisePlan> plan = build(op, module, symbol, target);
    if (!plan)
      return op.emitError("internal: the row-wise emitter does not take this kernel");
    EmittedKernel kernel;
    for (auto &[output, place] : plan->placements)
      if (auto update = RowwiseUpdate::match(*plan->sizes, place))
        kernel.inPlace.push_back({update->input, output, update->axis});
    KernelBuilder kb(op.getLoc(), target);
    Size bytes = RowwiseCode(*plan, kb).scratchBytes();
    if (!bytes.is(0))
      kernel.scratch.push_back(
          [plan, bytes](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
            return hostExpr(plan->kernel, bytes, /*perWorker=*/true)(b, loc, dims, threads);
          });
    return kernel;
  }

private:
  static std::shared_ptr<RowwisePlan> build(KernelOp op, ModuleOp module, StringRef symbol,
                                            const CpuTarget &target) {
    std::shared_ptr<RowwisePlan> plan = RowwisePlan::make(op, target);
    if (!plan)
      return nullptr;
    KernelBuilder kb(op.getLoc(), target);
    RowwiseCode code(*plan, kb);
    func::FuncOp task = code.buildTask(module, (symbol + "_rows").str());
    if (code.failed)
      return nullptr;
    code.buildKernel(module, symbol, task);
    return plan;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createRowwiseEmitter() { return std::make_unique<RowwiseEmitter>(); }

} // namespace attune::codegen
