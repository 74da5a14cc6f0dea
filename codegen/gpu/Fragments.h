//===- Fragments.h - Tensor-core operands
//-------------------------------------------------------===//
//
// What `ldmatrix` loads and `mma.sync.m16n8k16` multiplies (PTX ISA, "Warp-level matrix
// instructions"): 16-bit floats in, f32 sums. Lane l holds of a sum the rows l / 4 and l / 4 + 8,
// in each of them columns 2 * (l % 4) and the next one.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_FRAGMENTS_H
#define ATTUNE_CODEGEN_GPU_FRAGMENTS_H

#include "attune/codegen/gpu/DeviceBuilder.h"

namespace attune::codegen {

class Fragments {
public:
  using Value = mlir::Value;
  /// `element`: f16 or bf16.
  Fragments(DeviceBuilder &kb, mlir::Type element) : kb(kb), element(element) {}

  /// Four matrices of 8x8 elements: lane l gives the address (shared) of row l % 8 of matrix l / 8.
  /// A register per matrix: lane l has row l / 4, columns 2 * (l % 4) and the next; of its
  /// transpose if `transposed`.
  Values load(Value address, bool transposed);
  /// a (16x16: quarters top left, bottom left, top right, bottom right) * b (16x8: upper half,
  /// lower half) + sums.
  Values multiply(mlir::ValueRange a, mlir::ValueRange b, mlir::ValueRange sums);

private:
  DeviceBuilder &kb;
  mlir::Type element;
  Values call(llvm::StringRef intrinsic, mlir::ValueRange operands, mlir::Type type, int64_t count);
};

} // namespace attune::codegen
#endif
