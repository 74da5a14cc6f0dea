//===- FormKernel.h - Moves a group of operators into one attune.kernel -----------------------===//
#ifndef ATTUNE_PASSES_FUSE_FORMKERNEL_H
#define ATTUNE_PASSES_FUSE_FORMKERNEL_H

#include "attune/dialect/Attune.h"
#include "attune/passes/fuse/Dims.h"
#include "mlir/IR/PatternMatch.h"

namespace attune {

/// Operators that every kernel which needs them makes again: scalars, splats, `tensor.empty`,
/// fills.
bool isRematerialised(mlir::Operation *op);

/// Operators that stay in the host function: index arithmetic, constants, loads of single integers.
bool isHostOp(mlir::Operation *op);

/// Replaces `ops` (one block, closed under "lies between two members") by a kernel that computes
/// every result with a user outside. The kernel's dims are all index values that the group uses,
/// the extents of its inputs' and results' `?` axes. The block may need a topological sort
/// afterwards.
llvm::FailureOr<KernelOp> formKernel(llvm::ArrayRef<mlir::Operation *> ops, DimResolver &dims,
                                     mlir::RewriterBase &rewriter);

/// Merges equal `dims` operands of a kernel and moves constant ones into its region.
void simplifyDims(KernelOp kernel, mlir::RewriterBase &rewriter);

} // namespace attune
#endif
