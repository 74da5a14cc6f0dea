//===- RowwiseCount.h - What the loops of a row-wise kernel execute ---------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ROWWISECOUNT_H
#define ATTUNE_CODEGEN_CPU_ROWWISECOUNT_H

#include "attune/codegen/cpu/RowwisePlan.h"

namespace attune::codegen {

/// Instructions of one row (or block of the lane class), as RowwiseCode builds it: what every point
/// of the loops computes once, what is the same for all lanes outside of their loop.
struct RowwiseCount {
  double instructions = 0; ///< of vectors: loads, stores, arithmetic, functions by their length
  double starts = 0;       ///< loops begun, sums of lanes merged
  /// Elements moved one by one because lanes run across them; several times where their lines are
  /// gone from the first level before the next row needs them.
  double strided = 0;
};

RowwiseCount countRow(RowwisePlan &plan, llvm::function_ref<double(const Size &)> valueOf);

} // namespace attune::codegen
#endif
