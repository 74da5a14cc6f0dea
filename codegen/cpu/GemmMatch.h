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

#include "attune/codegen/cpu/Gemm.h"
#include "attune/codegen/cpu/Views.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attune::codegen {

/// The coordinate of one tensor axis at a point of the product: `base / divisor % extent`, where
/// the remainder is not needed for the outermost part of the base.
struct GemmCoord {
  enum Base { Zero, Batch, Row, Column } base = Zero;
  Size divisor, extent;
  bool outermost = true;
  bool operator==(const GemmCoord &other) const {
    return base == other.base && divisor == other.divisor && extent == other.extent;
  }
};
using GemmCoords = llvm::SmallVector<GemmCoord>;

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

  struct Step {
    mlir::linalg::GenericOp op;
    GemmCoords loops;
  };
  llvm::SmallVector<Step> steps;
  struct Output {
    Placement place;
    GemmCoords point;
  };
  llvm::SmallVector<Output> outputs;
};

std::optional<GemmMatch> matchGemm(KernelOp op, const Sizes &sizes);

/// The coordinates of an operand of a generic whose loops are at `loops`, or nothing if its map has
/// anything but loops and constants 0.
std::optional<GemmCoords> mapCoords(mlir::AffineMap map, llvm::ArrayRef<GemmCoord> loops);

} // namespace attune::codegen
#endif
