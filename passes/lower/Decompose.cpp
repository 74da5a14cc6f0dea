#include "attune/passes/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attune {
#define GEN_PASS_DEF_DECOMPOSE
#include "attune/passes/Passes.h.inc"

namespace {
struct Decompose : impl::DecomposeBase<Decompose> {
  using DecomposeBase::DecomposeBase;

  void runOnOperation() override {
    llvm::SmallVector<mlir::Operation *> ops;
    getOperation()->walk([&](mlir::Operation *op) {
      if (mlir::isa<DecomposeOpInterface, mlir::linalg::AggregatedOpInterface>(op))
        ops.push_back(op);
    });
    for (mlir::Operation *op : ops) {
      mlir::OpBuilder builder(op);
      auto own = mlir::dyn_cast<DecomposeOpInterface>(op);
      auto values =
          own ? own.decompose(builder)
              : mlir::cast<mlir::linalg::AggregatedOpInterface>(op).decomposeOperation(builder);
      if (mlir::failed(values)) {
        if (!own)
          op->emitOpError("unsupported: has no reference lowering here");
        return signalPassFailure();
      }
      op->replaceAllUsesWith(*values);
      op->erase();
      ++numDecomposed;
    }
  }
};
} // namespace
} // namespace attune
