//===- Pipelines.h - The stages of compilation ------------------------------------------------===//
//
// import → canonicalize → raise → rewrite → fuse → lower → emit. Each function adds one stage to a
// pass manager; `attune-opt` registers the same stages as `--attune-stage-<name>` pipelines.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_PIPELINES_H
#define ATTUNE_PASSES_PIPELINES_H

#include "attune/passes/fuse/KernelBackend.h"
#include "attune/passes/rewrite/FormPrices.h"
#include "mlir/Pass/PassManager.h"

namespace attune {

void addCanonicalizeStage(mlir::OpPassManager &pm);
void addRaiseStage(mlir::OpPassManager &pm);
/// `form`: what every operator that has it must take, or empty; `prices` may be null.
void addRewriteStage(mlir::OpPassManager &pm, llvm::StringRef form, const FormPrices *prices);
/// `backend` null: one kernel per operator; `prices` may be null.
void addFuseStage(mlir::OpPassManager &pm, const KernelBackend *backend, const FormPrices *prices);

void registerAttunePipelines();

} // namespace attune
#endif
