//===- GemmMatch.h - Kernel regions that are one matrix product with an epilogue
//-----------------===//
//
//   views of A ─┐
//   B (packed,  ├─ linalg.contract ─ elementwise generics, reshapes, transposes ─ yield
//   i8, views) ─┘                    (reading views of other inputs)
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

struct GemmMatch {
  mlir::linalg::ContractOp contract;
  Size batch, m, n, k;
  GemmColumns columns = GemmColumns::Strided;
  int64_t a = 0, b = 0; ///< numbers of the kernel inputs
  Size aOffset, bOffset;
  GemmAxisSizes aBatch, aRows, aDepth, bBatch, bDepth, bColumns;
  mlir::linalg::GenericOp dequantise; ///< of an i8 B, or null
  mlir::Value scale;                  ///< factor in its body, or null
  GemmCoords scaleLoops;              ///< of the dequantising generic

  Epilogue epilogue;
};

std::optional<GemmMatch> matchGemm(KernelOp op, const Sizes &sizes);

} // namespace attune::codegen
#endif
