//===- GemmMicro.h - The inner loops that every matrix product of a module shares -------------===//
//
// Private functions of the kernels' module, made on first use: a register tile per number of rows,
// transposition into panels, int8 to f32. They know nothing of shapes or epilogues, so that a
// module with many products holds (and compiles) them once.
//
// Panels: A is `[K][R]` for a tile of R rows; B is `[K][16]`, f32, i8 or words of codes
// (GemmCodes.h), for every CPU. A tile is `rows` x (16 * panels) and is handed over in memory,
// row-major: it stays in L1.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMMMICRO_H
#define ATTUNE_CODEGEN_CPU_GEMMMICRO_H

#include "attune/codegen/cpu/GemmTerm.h"
#include "attune/codegen/cpu/KernelBuilder.h"

namespace attune::codegen {

/// The private function `name` of a module, built by `body` if it has none yet; never inlined, so
/// that a module holds one copy.
mlir::func::FuncOp sharedFunction(KernelBuilder &kb, mlir::ModuleOp module, llvm::StringRef name,
                                  llvm::ArrayRef<mlir::Type> inputs,
                                  llvm::function_ref<void(mlir::ValueRange)> body);

/// tile (+)= sum of terms of an A panel and B panels. Arguments: A, B, elements between B panels,
/// K, tile, whether to add to what the tile holds (i1), what to fetch meanwhile; for products with
/// codes their scale, for shifts where the last panel starts: the next ones are it again.
mlir::func::FuncOp gemmMicro(KernelBuilder &kb, mlir::ModuleOp module, int64_t rows, GemmTerm term);
/// Calls the micro-kernel for the `rows` in [1, tile rows] that the value holds.
void callGemmMicro(KernelBuilder &kb, mlir::ModuleOp module, mlir::Value rows, GemmTerm term,
                   mlir::ValueRange arguments);

/// Transposes as many vectors as they have lanes, by log2(lanes) rounds of two-vector shuffles.
Values transposeVectors(KernelBuilder &kb, Values rows);

/// dst[k * stride + i] = rows[i][first + k] for i below one vector's lanes, k in [0, count).
/// Arguments: array of lanes() row pointers, first, count, dst, stride. Writes lanes() elements for
/// every k in ascending order: with a stride below that, what follows the last one is overwritten.
mlir::func::FuncOp gemmTranspose(KernelBuilder &kb, mlir::ModuleOp module);

/// f32 from i8. Arguments: source, destination, count (a multiple of 16).
mlir::func::FuncOp gemmWiden(KernelBuilder &kb, mlir::ModuleOp module);

} // namespace attune::codegen
#endif
