#include "attune/passes/Pipelines.h"
#include "attune/passes/Passes.h"
#include "attune/passes/fuse/Fuse.h"
#include "attune/passes/fuse/ShareCaches.h"
#include "attune/passes/rewrite/Rewrite.h"

#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace attune {

static void verifyStage(OpPassManager &pm, StringRef stage, ArrayRef<StringRef> allowed) {
  VerifyStageOptions options;
  options.stage = stage.str();
  for (StringRef name : allowed)
    options.allowed.push_back(name.str());
  pm.addPass(createVerifyStage(std::move(options)));
}

/// What every stage between import and fuse may contain.
static constexpr StringRef kTensorDialects[] = {"affine", "arith", "attune", "cf",    "func",
                                                "linalg", "math",  "scf",    "tensor"};

// Entry and exit: attune, linalg, tensor, arith, math, affine, cf (asserts), scf, func.
void addCanonicalizeStage(OpPassManager &pm) {
  pm.addPass(createSelectChoices());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addNestedPass<func::FuncOp>(createFoldConstants());
  pm.addNestedPass<func::FuncOp>(createFormContractions());
  pm.addNestedPass<func::FuncOp>(createCleanViews());
  pm.addNestedPass<func::FuncOp>(createFoldAffine());
  pm.addNestedPass<func::FuncOp>(createFormNorms());
  pm.addNestedPass<func::FuncOp>(createFormGelu());
  pm.addNestedPass<func::FuncOp>(createFormSoftmax());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  verifyStage(pm, "canonicalize", kTensorDialects);
}

// Entry and exit: attune, linalg, tensor, arith, math, affine, cf (asserts), scf, func.
void addRaiseStage(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createRaiseScatterWindows());
  pm.addNestedPass<func::FuncOp>(createSplitKronecker());
  // Products of features first: their sums also look like weights from elsewhere.
  pm.addNestedPass<func::FuncOp>(createRaiseLinearAttention());
  pm.addNestedPass<func::FuncOp>(createRaiseMapMix());
  pm.addNestedPass<func::FuncOp>(createRaiseAttention());
  pm.addNestedPass<func::FuncOp>(createRaiseRelativePositions());
  pm.addNestedPass<func::FuncOp>(createRaiseToeplitz());
  pm.addNestedPass<func::FuncOp>(createRaiseEma());
  pm.addNestedPass<func::FuncOp>(createRaiseBroadcastSums());
  pm.addNestedPass<func::FuncOp>(createCleanViews());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  verifyStage(pm, "raise", kTensorDialects);
}

// Entry and exit: attune, linalg, tensor, arith, math, affine, cf (asserts), scf, func.
void addRewriteStage(OpPassManager &pm, StringRef form, const FormPrices *prices) {
  pm.addNestedPass<func::FuncOp>(createPushMapMix());
  // Products of fewer rows are no longer products of what the others read.
  pm.addNestedPass<func::FuncOp>(createRowDemand(prices));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addNestedPass<func::FuncOp>(createMergeProjections(prices));
  ChooseFormsOptions options;
  options.form = form.str();
  pm.addNestedPass<func::FuncOp>(createChooseForms(std::move(options), prices));
  pm.addNestedPass<func::FuncOp>(createSequenceForms());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  verifyStage(pm, "rewrite", kTensorDialects);
}

// Entry: attune, linalg, tensor, arith, math, affine, cf (asserts), scf, func.
// Exit: attune.kernel, tensor (reshapes, fronts of buffers, dim, extract of single integers),
// arith, affine, cf.assert, func.
void addFuseStage(OpPassManager &pm, const KernelBackend *backend, const FormPrices *prices) {
  SelectChoicesOptions everyChoice;
  everyChoice.require = true;
  pm.addPass(createSelectChoices(std::move(everyChoice)));
  pm.addNestedPass<func::FuncOp>(createFuseGatherProducers());
  pm.addNestedPass<func::FuncOp>(createSinkConcats());
  if (backend) {
    pm.addNestedPass<func::FuncOp>(createFuseElementwise());
    pm.addPass(createCanonicalizerPass());
    pm.addNestedPass<func::FuncOp>(createShiftWeights(prices, backend->packsConstants()));
  }
  if (backend && backend->packsConstants()) {
    pm.addNestedPass<func::FuncOp>(createPackFiltersPass(*backend));
    pm.addNestedPass<func::FuncOp>(createPackWeights());
  }
  pm.addNestedPass<func::FuncOp>(createFusePass(backend));
  if (backend && backend->sharesCaches())
    pm.addNestedPass<func::FuncOp>(createShareCachesPass(*backend));
  pm.addPass(createCSEPass());
  verifyStage(pm, "fuse",
              {"affine", "arith", "attune.kernel", "cf.assert", "func", "tensor.cast",
               "tensor.collapse_shape", "tensor.dim", "tensor.expand_shape", "tensor.extract",
               "tensor.extract_slice"});
}

void registerAttunePipelines() {
  PassPipelineRegistration<>("attune-stage-canonicalize", "The canonicalize stage.",
                             addCanonicalizeStage);
  PassPipelineRegistration<>("attune-stage-raise", "The raise stage.", addRaiseStage);
  PassPipelineRegistration<>("attune-stage-rewrite", "The rewrite stage without prices.",
                             [](OpPassManager &pm) { addRewriteStage(pm, "", nullptr); });
  PassPipelineRegistration<>("attune-stage-fuse", "The fuse stage without merging.",
                             [](OpPassManager &pm) { addFuseStage(pm, nullptr, nullptr); });
}

} // namespace attune
