//===- LowRank.h - Constant matrices as sums of few products ----------------------------------===//
//
// Weights that models compute from positions, such as cosines of distances on a grid, are sums of a
// few products of a function of the row and one of the column. A constant table of them shows this
// by its rank only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_LOWRANK_H
#define ATTUNE_PASSES_RAISE_LOWRANK_H

#include "llvm/ADT/ArrayRef.h"
#include <optional>
#include <vector>

namespace attune {

/// matrix[i, j] = sum_r left[r, i] right[r, j], each table row by row and of f32 values.
struct LowRank {
  int64_t rank;
  std::vector<double> left, right;
};

/// The matrix with at most `maxRank` terms, if every element is met to 16 units of f32 rounding of
/// the largest one in its row (and column, relative to the rows' largest).
std::optional<LowRank> factorise(llvm::ArrayRef<double> matrix, int64_t rows, int64_t columns,
                                 int64_t maxRank);

} // namespace attune
#endif
