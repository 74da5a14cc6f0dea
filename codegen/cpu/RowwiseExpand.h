//===- RowwiseExpand.h - Norms and softmax as elementwise operators and reductions ------------===//
#ifndef ATTUNE_CODEGEN_CPU_ROWWISEEXPAND_H
#define ATTUNE_CODEGEN_CPU_ROWWISEEXPAND_H

#include "attune/dialect/Attune.h"
#include "mlir/IR/BuiltinOps.h"

namespace attune::codegen {

/// A module of one function that holds a copy of `kernel`.
std::pair<mlir::OwningOpRef<mlir::ModuleOp>, KernelOp> copyKernel(KernelOp kernel);

/// Replaces every attune.norm (layer, rms) and linalg.softmax of the region by linalg.generic, in
/// the numerically safe form: mean, then squared deviations; maximum, then exponentials. Failure,
/// without a diagnostic, if one of them is of another kind.
llvm::LogicalResult expandRowOperators(KernelOp kernel);

} // namespace attune::codegen
#endif
