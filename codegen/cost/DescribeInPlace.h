//===- DescribeInPlace.h - Features of a kernel that nobody needs afterwards ------------------===//
#ifndef ATTUNE_CODEGEN_COST_DESCRIBEINPLACE_H
#define ATTUNE_CODEGEN_COST_DESCRIBEINPLACE_H

#include "attune/codegen/cost/Features.h"

namespace attune::codegen {

/// As `describe`, without a copy: the kernel takes the forms of these sizes, and holds index
/// arithmetic that was asked for.
KernelFeatures describeInPlace(KernelOp kernel, const KernelEmitter &emitter,
                               const CpuTarget &target, llvm::ArrayRef<int64_t> dims,
                               llvm::function_ref<bool(unsigned)> isWeight,
                               llvm::function_ref<bool(unsigned)> isDistant);

} // namespace attune::codegen
#endif
