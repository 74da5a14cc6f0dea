//===- Work.h - What a kernel computes --------------------------------------------------------===//
//
// Counts the arithmetic of an `attune.kernel` region as a sum of products of extents, so that the
// same count serves any size: the oracle evaluates it, the host program stores it per step.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_WORK_H
#define ATTUNE_CODEGEN_COST_WORK_H

#include "attune/dialect/Attune.h"

namespace attune::codegen {

using attune::WorkTerm;

/// The work of one operator.
llvm::SmallVector<WorkTerm> countWork(mlir::Operation *op, ExtentOf extent);

/// The work of a kernel's region. May add index arithmetic to the region.
llvm::SmallVector<WorkTerm> countWork(KernelOp kernel);

} // namespace attune::codegen
#endif
