//===- MergeKernels.h - Producer and consumer kernels into one --------------------------------===//
#ifndef ATTUNE_PASSES_FUSE_MERGEKERNELS_H
#define ATTUNE_PASSES_FUSE_MERGEKERNELS_H

#include "attune/passes/fuse/KernelBackend.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/PatternMatch.h"

namespace attune {

/// Merges producer kernels into their only consumer, reshapes between them included, as long as the
/// back end has a special emitter for the result, until nothing changes.
void mergeKernels(mlir::func::FuncOp func, const KernelBackend &backend,
                  mlir::RewriterBase &rewriter);

} // namespace attune
#endif
