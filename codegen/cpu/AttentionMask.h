//===- AttentionMask.h - Score and mask regions seen from the kernel --------------------------===//
//
// `AttentionRegion` is the code of a region with its captures replaced by the values that the
// kernel passes for them, so that Lanes and Sizes can read it. `MaskFacts` are the linear bounds
// that a mask puts on the key for a range of queries: what lets whole blocks of keys be skipped, or
// taken without evaluating the mask.
//
//   MaskFacts facts = mineMask(region);
//   KeyRange range = facts.range(kb, uniforms, first, last, keys);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ATTENTIONMASK_H
#define ATTUNE_CODEGEN_CPU_ATTENTIONMASK_H

#include "attune/codegen/cpu/Attention.h"

namespace attune::codegen {

/// A detached copy of a region's block. Arguments: score (score region only), b, h, i, j, n, m.
class AttentionRegion {
public:
  AttentionRegion(AttentionOp op, bool score);
  ~AttentionRegion();
  AttentionRegion(const AttentionRegion &) = delete;

  mlir::Block block;
  const bool score;
  enum Argument { B, H, I, J, N, M };
  mlir::Value argument(Argument which) { return block.getArgument(which + score); }
  mlir::Value result() { return block.back().getOperand(0); }
  /// Whether the result depends on the query (i or n).
  bool dependsOnQuery();
};

/// sum of coefficients times i, j (= m) and n, plus values that are the same for all queries and
/// keys.
struct LinearIndex {
  int64_t i = 0, j = 0, n = 0, constant = 0;
  llvm::SmallVector<std::pair<mlir::Value, int64_t>> uniform;
};

/// Null unless an index of the region is such a sum.
std::optional<LinearIndex> readLinear(AttentionRegion &region, mlir::Value index);

struct MaskFacts {
  /// Allowed only where every one of these is >= 0; their j is -1, 0 or 1.
  llvm::SmallVector<LinearIndex> bounds;
  /// Allowed only where i and j fall into the same block of this size; 0: no such fact.
  int64_t diagonalBlock = 0;
  /// Something else must hold too.
  bool incomplete = false;

  /// Values of the region that `range` needs.
  llvm::SmallVector<mlir::Value> uniforms() const;
  /// For queries with positions [first, last], whose row is their position less `offset` (null: 0);
  /// `values` are those of `uniforms()`.
  KeyRange range(KernelBuilder &kb, mlir::ValueRange values, mlir::Value first, mlir::Value last,
                 mlir::Value offset, mlir::Value keys) const;
  /// The number of keys of that range, as far as it is known before a call; `valueOf` gives sizes.
  int64_t count(int64_t first, int64_t last, int64_t offset, int64_t keys,
                llvm::function_ref<std::optional<int64_t>(mlir::Value)> valueOf) const;
};

MaskFacts mineMask(AttentionRegion &region);

} // namespace attune::codegen
#endif
