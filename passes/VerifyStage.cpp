#include "attune/passes/Passes.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_VERIFYSTAGE
#include "attune/passes/Passes.h.inc"

namespace {

struct VerifyStage : impl::VerifyStageBase<VerifyStage> {
  using VerifyStageBase::VerifyStageBase;

  void runOnOperation() override {
    WalkResult result = getOperation()->walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (isa<ModuleOp>(op))
        return WalkResult::advance();
      StringRef dialect = op->getName().getDialectNamespace();
      StringRef name = op->getName().getStringRef();
      if (!llvm::is_contained(allowed, dialect) && !llvm::is_contained(allowed, name)) {
        op->emitError("internal: `") << name << "` is left after the " << stage << " stage";
        return WalkResult::interrupt();
      }
      // A kernel's region is the back end's business.
      return isa<KernelOp>(op) ? WalkResult::skip() : WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};

} // namespace
} // namespace attune
