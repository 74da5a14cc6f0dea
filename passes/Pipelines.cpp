#include "attune/passes/Pipelines.h"
#include "attune/passes/Passes.h"
#include "attune/passes/fuse/Fuse.h"

#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace attune {

// Entry and exit: attune, linalg, tensor, arith, math, affine, cf (asserts), func.
void addCanonicalizeStage(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

// Entry and exit: attune, linalg, tensor, arith, math, affine, cf (asserts), func.
void addRaiseStage(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createRaiseAttention());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

// Entry and exit: attune, linalg, tensor, arith, math, affine, cf (asserts), func.
void addRewriteStage(OpPassManager &pm) { (void)pm; }

// Entry: attune, linalg, tensor, arith, math, affine, cf (asserts), func.
// Exit: attune.kernel, tensor (reshapes, dim, extract of single integers), arith, affine, func.
void addFuseStage(OpPassManager &pm, const KernelBackend *backend) {
  pm.addNestedPass<func::FuncOp>(createFuseGatherProducers());
  if (backend) {
    pm.addNestedPass<func::FuncOp>(createFuseElementwise());
    pm.addPass(createCanonicalizerPass());
    pm.addNestedPass<func::FuncOp>(createPackWeights());
  }
  pm.addNestedPass<func::FuncOp>(createFusePass(backend));
  pm.addPass(createCSEPass());
}

void registerAttunePipelines() {
  PassPipelineRegistration<>("attune-stage-canonicalize", "The canonicalize stage.",
                             addCanonicalizeStage);
  PassPipelineRegistration<>("attune-stage-raise", "The raise stage.", addRaiseStage);
  PassPipelineRegistration<>("attune-stage-rewrite", "The rewrite stage.", addRewriteStage);
  PassPipelineRegistration<>("attune-stage-fuse", "The fuse stage without merging.",
                             [](OpPassManager &pm) { addFuseStage(pm, nullptr); });
}

} // namespace attune
