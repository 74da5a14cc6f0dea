//===- ByteDistance.h - Sums of distances of bytes --------------------------------------------===//
//
// Emits the kernel C[batch] = epilogue(-sum_k |A[batch][m][k] - B[batch][k][n]|) of unsigned bytes,
// exact in i32. A step of the inner loop is eight bytes of the depth: `psadbw` adds the distances
// of eight neighbouring bytes in every 64-bit lane, and a lane is a column. So both operands are
// laid out in groups of eight bytes, rows as [K / 8][rows][8], columns as panels [K / 8][16][8] (by
// the compiler where they are constant), and the depth is filled up with zeros on both sides.
//
// It takes the operands, tasks and epilogues of Gemm.h; points of the epilogue hold i32.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_BYTEDISTANCE_H
#define ATTUNE_CODEGEN_CPU_BYTEDISTANCE_H

#include "attune/codegen/cpu/Gemm.h"

namespace attune::codegen {

/// Bytes of depth that one step sums.
constexpr int64_t kByteGroup = 8;

/// Whether the target has the instruction.
bool sumsBytes(const CpuTarget &target);

GemmScratch byteDistanceScratch(const GemmSpec &spec, const CpuTarget &target);

/// `columns` of the specification is `Strided` or `BytePanels`.
void emitByteDistance(KernelBuilder &kb, mlir::ModuleOp module, llvm::StringRef symbol,
                      const GemmSpec &spec);

} // namespace attune::codegen
#endif
