//===- Fragments.h - Tensor-core operands -----------------------------------------------------===//
//
// What `ldmatrix` loads and `mma.sync` multiplies (PTX ISA, "Warp-level matrix instructions") with
// f32 sums: 16-bit floats, 16 deep, or f32 as tf32 numbers, 8 deep. Lane l holds of a sum the rows
// l / 4 and l / 4 + 8, in each of them columns 2 * (l % 4) and the next one.
//
// f32 is either rounded to tf32, 11 bits of mantissa, or split into two such numbers, 22 bits in
// all. Three products then leave out only that of the low parts: errors are near those of f32
// arithmetic, at a higher rate than fused multiply-add.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_FRAGMENTS_H
#define ATTUNE_CODEGEN_GPU_FRAGMENTS_H

#include "attune/codegen/gpu/DeviceBuilder.h"
#include "attune/codegen/gpu/Target.h"

namespace attune::codegen {

class Fragments {
public:
  using Value = mlir::Value;
  /// What a lane holds of one operand; low parts only of f32 that is split.
  struct Operand {
    Values high, low;
  };

  /// `element`: f16, bf16 or f32; `math` of the latter is not Exact.
  Fragments(DeviceBuilder &kb, mlir::Type element, FloatMath math = FloatMath::Triple)
      : kb(kb), element(element), math(math) {}

  int64_t depth() const { return element.isF32() ? 8 : 16; }

  /// Four matrices of eight rows of 16 bytes: lane l gives the address (shared) of row l % 8 of
  /// matrix l / 8. A register per matrix: lane l has of row l / 4 the (l % 4)-th word; of halves
  /// the columns 2 * (l % 4) and the next, of the transpose if `transposed`.
  Values load(Value address, bool transposed);
  /// An operand of words that were loaded, or of numbers in f32.
  Operand operand(mlir::ValueRange words);
  Operand split(mlir::ValueRange floats);
  /// a (16 rows: top and bottom of the first half of the depth, then of the other) * b (8 columns:
  /// both halves) + sums.
  Values multiply(const Operand &a, const Operand &b, mlir::ValueRange sums);
  /// The same of words: halves, or tf32.
  Values multiply(mlir::ValueRange a, mlir::ValueRange b, mlir::ValueRange sums);

private:
  DeviceBuilder &kb;
  mlir::Type element;
  FloatMath math;
  Values call(llvm::StringRef intrinsic, mlir::ValueRange operands, mlir::Type type, int64_t count);
};

} // namespace attune::codegen
#endif
