//===- GemmDirect.h - Sums of a few terms, one row of them per batch --------------------------===//
//
// Filters with one input channel and one output channel: C[batch][column] = sum_k A[batch][k] *
// B[batch][k][column] (or of -|A - B|), where columns are windows of an image or a sequence.
// Nothing is packed: every value of B would be read but once. Vectors of neighbouring columns are
// summed in registers, in the order of k.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMMDIRECT_H
#define ATTUNE_CODEGEN_CPU_GEMMDIRECT_H

#include "attune/codegen/cpu/GemmMatch.h"

namespace attune::codegen {

/// Whether the product is computed so: one row, few terms, neighbouring columns side by side in
/// memory.
bool isDirect(const GemmMatch &match);

void emitGemmDirect(KernelBuilder &kb, mlir::ModuleOp module, llvm::StringRef symbol,
                    const GemmSpec &spec);

} // namespace attune::codegen
#endif
