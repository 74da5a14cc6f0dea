//===- AttentionFragments.h - Tensor-core operands of attention -------------------------------===//
//
// Fragments (Fragments.h) of queries, keys, weights and values for scores = Q K^T and results = P
// V. f16 and bf16 are multiplied as they are, f32 is split into two tf32 numbers.
//
// Weights never leave registers: lane l has of 16 x 8 sums the columns 2 * (l % 4) and the next
// one. For f16 and bf16 that is half of an operand; for f32 the depth is taken in another order,
// which the rows of the values then follow.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_ATTENTIONFRAGMENTS_H
#define ATTUNE_CODEGEN_GPU_ATTENTIONFRAGMENTS_H

#include "attune/codegen/gpu/Fragments.h"
#include "attune/codegen/gpu/Tiles.h"

namespace attune::codegen {

class AttentionFragments {
public:
  using Value = mlir::Value;
  using Operand = Fragments::Operand;

  AttentionFragments(DeviceBuilder &kb, mlir::Type element);

  int64_t depth() const { return fragments.depth(); }

  /// Rows [first, first + 16) of queries, depths from `step * depth()` on.
  Operand queries(Value at, const TileLayout &tile, Value first, int64_t step);
  /// Keys [first, first + 8) and the next 8.
  std::array<Operand, 2> keys(Value at, const TileLayout &tile, int64_t first, int64_t step);
  /// Columns [column, column + 8) and the next 8 of the values of `depth()` keys.
  std::array<Operand, 2> values(Value at, const TileLayout &tile, int64_t column, int64_t step);
  /// Of 16 rows and `depth()` keys, from their sums (4 for each 8 keys).
  Operand weights(mlir::ValueRange sums, int64_t step);

  Values multiply(const Operand &a, const Operand &b, mlir::ValueRange sums) {
    return fragments.multiply(a, b, sums);
  }

private:
  DeviceBuilder &kb;
  mlir::Type element;
  Fragments fragments;
  Value inEight, low, high, group, inGroup; ///< of the lane, as in ldmatrix and sums
};

} // namespace attune::codegen
#endif
