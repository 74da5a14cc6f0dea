#include "attune/passes/Passes.h"

namespace attune {
#define GEN_PASS_DEF_DECOMPOSE
#include "attune/passes/Passes.h.inc"

namespace {
struct Decompose : impl::DecomposeBase<Decompose> {
  using DecomposeBase::DecomposeBase;

  void runOnOperation() override {
    llvm::SmallVector<DecomposeOpInterface> ops;
    getOperation()->walk<mlir::WalkOrder::PostOrder>(
        [&](DecomposeOpInterface op) { ops.push_back(op); });
    for (DecomposeOpInterface op : ops) {
      mlir::OpBuilder builder(op);
      auto values = op.decompose(builder);
      if (mlir::failed(values))
        return signalPassFailure();
      op->replaceAllUsesWith(*values);
      op->erase();
    }
  }
};
} // namespace
} // namespace attune
