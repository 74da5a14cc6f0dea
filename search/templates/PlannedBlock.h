//===- PlannedBlock.h - Costs of blocks whose kernels are built straight in the dialect -------===//
//
// What compiling a block finds out, without compiling it: a template that knows which kernels the
// compiler makes of a block builds just their regions; here each is given to the back end's choice
// of an emitter and described, and the memory of the block is planned. A kernel that was described
// before is known by its key, so a block of known kernels is a matter of microseconds.
//
//   auto kernel = planner.kernel(key, [&](KernelRegions &regions) { return regions.norm(...); });
//   BlockCost cost = planner.block({{kernel, {0}}, {other, {1}}}, {inputBytes}, params);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_PLANNEDBLOCK_H
#define ATTUNE_SEARCH_TEMPLATES_PLANNEDBLOCK_H

#include "attune/codegen/CpuBackend.h"
#include "attune/codegen/cost/FormCost.h"
#include "attune/search/templates/BlockCost.h"
#include "attune/search/templates/KernelRegions.h"

#include <unordered_map>

namespace attune::search {

/// Everything about one kernel that a block's cost needs.
struct PlannedKernel {
  codegen::KernelFeatures features;
  double flops = 0, storedBytes = 0, resultBytes = 0;
};

class BlockPlanner {
public:
  /// For this machine, with its calibration.
  static llvm::Expected<std::unique_ptr<BlockPlanner>> create();

  /// Whether this machine has measured decisions: then only the compiler knows what it makes.
  const bool isTuned;

  /// The kernel of this key; `build` is called if it is not known yet.
  const PlannedKernel &kernel(uint64_t key, llvm::function_ref<BuiltKernel(KernelRegions &)> build);

  struct Step {
    const PlannedKernel *kernel;
    llvm::SmallVector<unsigned, 3> reads; ///< inputs of the block, then results of steps
  };
  /// The last step's result is the block's. `before` has written its first input; null: the caller.
  BlockCost block(llvm::ArrayRef<Step> steps, llvm::ArrayRef<double> inputBytes, int64_t params,
                  const PlannedKernel *before = nullptr) const;

private:
  BlockPlanner(codegen::CpuTarget target, std::shared_ptr<codegen::MachineOracle> oracle,
               bool isTuned);

  mlir::MLIRContext context;
  codegen::CpuTarget target;
  std::shared_ptr<codegen::MachineOracle> oracle;
  codegen::OracleFormPrices prices;
  codegen::CpuBackend backend;
  std::unordered_map<uint64_t, PlannedKernel> known;
};

/// Made when it is first asked for.
class LazyPlanner {
public:
  llvm::Expected<BlockPlanner *> get() {
    if (!made) {
      auto planner = BlockPlanner::create();
      if (!planner)
        return planner.takeError();
      made = std::move(*planner);
    }
    return made.get();
  }

private:
  std::unique_ptr<BlockPlanner> made;
};

} // namespace attune::search
#endif
