//===- Fuse.h - The fuse stage: every tensor operator into a kernel ---------------------------===//
#ifndef ATTUNE_PASSES_FUSE_FUSE_H
#define ATTUNE_PASSES_FUSE_FUSE_H

#include "attune/passes/fuse/KernelBackend.h"
#include "attune/passes/rewrite/FormPrices.h"
#include "mlir/Pass/Pass.h"

namespace attune {

/// Makes one kernel of every tensor operator, then merges producers into consumers as far as
/// `backend` has a special emitter for the merged kernel. Without a back end nothing is merged.
/// `backend` must outlive the pass.
std::unique_ptr<mlir::Pass> createFusePass(const KernelBackend *backend);
/// PackFilters with the panels that `backend` asks for; it must outlive the pass.
std::unique_ptr<mlir::Pass> createPackFiltersPass(const KernelBackend &backend);

/// Stores weights that are powers of two as codes where `packs` and the prices (null: always) say
/// so, and makes products of all other shifts of floats. `prices` must outlive the pass.
std::unique_ptr<mlir::Pass> createShiftWeights(const FormPrices *prices, bool packs);

} // namespace attune
#endif
