//===- GemmMatch.h - Kernel regions that are one matrix product with an epilogue --------------===//
//
//   views of A ─┐  linalg.generic of products
//   B (packed,  ├─ linalg.contract ─ elementwise generics, reshapes, transposes ─ yield
//   i8, views) ─┘  attune.contract   (reading views of other inputs)
//
// Of attune.contract, sums of distances of f32 or of bytes (`adder`) and shifts of f32 or i32,
// whose weights are floats or packed codes; also convolutions: their rows and depth are sums of
// loops in memory.
//
// The analysis behind the gemm emitter. It changes nothing and asks for nothing but `Sizes`.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMMMATCH_H
#define ATTUNE_CODEGEN_CPU_GEMMMATCH_H

#include "attune/codegen/cpu/Epilogue.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attune::codegen {

struct GemmAxisSize {
  Size extent, stride;
};
using GemmAxisSizes = llvm::SmallVector<GemmAxisSize>;

/// The operator that sums terms of two operands.
struct GemmProduct {
  mlir::Value lhs, rhs, init, result;
  llvm::SmallVector<mlir::AffineMap> maps;  ///< of lhs, rhs and result
  bool distance = false;                    ///< terms are -|a - b|
  std::optional<int64_t> exponentBias = {}; ///< the right one are codes of shifts
  ContractRounding rounding = ContractRounding::Exact;
  bool isGeneric = false; ///< products of a linalg.generic, perhaps in windows

  bool bytes() const; ///< distances of unsigned bytes, summed in i32
  bool hasCodes() const { return exponentBias.has_value(); }
  bool shiftsIntegers() const { return rounding != ContractRounding::Exact; }
  bool sumsWide() const; ///< shifted integers in i64
};

struct GemmMatch {
  GemmProduct product;
  Size batch, m, n, k;
  GemmColumns columns = GemmColumns::Strided;
  ShiftCodes codes;
  int64_t a = 0, b = 0; ///< numbers of the kernel inputs
  Size aOffset, bOffset;
  GemmAxisSizes aBatch, aRows, aDepth, bBatch, bDepth, bColumns;
  mlir::linalg::GenericOp dequantise; ///< of an i8 B, or null
  mlir::Value scale;                  ///< factor in its body, or null
  GemmCoords scaleLoops;              ///< of the dequantising generic

  Epilogue epilogue;
};

/// Products of floats: f32 only, or also f16 and bf16 summed in f32.
enum class GemmFloats { Single, Any };

std::optional<GemmMatch> matchGemm(KernelOp op, const Sizes &sizes,
                                   GemmFloats floats = GemmFloats::Single);

} // namespace attune::codegen
#endif
