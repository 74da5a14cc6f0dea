//===- Pipelines.h - The stages of compilation ----------------------------------------------------===//
//
// import → canonicalize → raise → rewrite → fuse → lower → emit. Each function adds one stage to a
// pass manager; `attune-opt` registers the same stages as `--attune-stage-<name>` pipelines.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_PIPELINES_H
#define ATTUNE_PASSES_PIPELINES_H

#include "attune/passes/fuse/KernelBackend.h"
#include "mlir/Pass/PassManager.h"

namespace attune {

void addCanonicalizeStage(mlir::OpPassManager &pm);
void addRaiseStage(mlir::OpPassManager &pm);
void addRewriteStage(mlir::OpPassManager &pm);
/// `backend` null: one kernel per operator.
void addFuseStage(mlir::OpPassManager &pm, const KernelBackend *backend);

void registerAttunePipelines();

} // namespace attune
#endif
