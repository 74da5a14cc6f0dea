//===- AttentionKernel.h - The device functions of fused attention ----------------------------===//
//
// Scores never reach memory: a warp keeps 16 rows (or twice as many) of queries, their greatest
// scores, sums of weights and weighted values in registers, while tiles of keys and values pass
// through shared memory, the next one on its way during the products of the last. Tiles without an
// allowed key are not visited; the mask is evaluated where it may rule something out.
//
// Two forms. Blocks of queries: the warps of a block have rows of one head. Split keys, for few
// queries: a block is a warp, with the rows of all heads that share keys and a range of keys; a
// second function combines the ranges. Shapes alone say where they are cut.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_ATTENTIONKERNEL_H
#define ATTUNE_CODEGEN_GPU_ATTENTIONKERNEL_H

#include "attune/codegen/cpu/AttentionPlan.h"
#include "attune/codegen/gpu/DeviceBuilder.h"
#include "attune/codegen/gpu/Target.h"

namespace attune::codegen {

/// How the work of a block is cut.
struct AttentionShape {
  int64_t warps;  ///< each with rows of its own
  int64_t groups; ///< of 16 rows, of a warp
  int64_t keys;   ///< of a tile
  bool splitKeys;
  bool warpGroups = false; ///< products by wgmma

  static AttentionShape blocks(const AttentionPlan &plan, const GpuTarget &gpu);
  static AttentionShape split(const AttentionPlan &plan);

  int64_t rows() const { return 16 * warps * groups; }
  int64_t threads() const { return DeviceBuilder::kWarp * warps; }
  int64_t sharedBytes(const AttentionPlan &plan) const;
};

/// Extents of attention, in device code or in the host function.
struct AttentionExtents {
  mlir::Value batch, heads, kvHeads, queries, keys;
};

/// x / y and the rest, of numbers below 2^31: 64 bits would take a function on a GPU.
mlir::Value shortDiv(KernelBuilder &kb, mlir::Value x, mlir::Value y);
mlir::Value shortRem(KernelBuilder &kb, mlir::Value x, mlir::Value y);

/// How keys are split. Extents are below 2^31.
struct AttentionSplit {
  using Value = mlir::Value;
  static constexpr int64_t kMostQueries = 16; ///< for more, queries are enough to share

  AttentionSplit(KernelBuilder &kb, const AttentionExtents &extents, const AttentionShape &shape);
  Value group;     ///< heads that share keys
  Value rows;      ///< of one kv head
  Value rowTiles;  ///< of one kv head
  Value chunkKeys; ///< a multiple of the tile's
  Value chunks;
};

/// Floats of a partial result: weighted values, greatest score, sum. Rows are aligned to 16 bytes.
inline int64_t partialFloats(const AttentionPlan &plan) {
  return llvm::alignTo(plan.valueDim + 2, 4);
}

enum class Built { No, Yes, MayFail };

/// The code of a block. `partials`: the number of that buffer, if keys are split; `checked`:
/// failures of regions are kept. No if a region cannot be built.
Built buildAttention(DeviceBuilder &kb, mlir::Value memory, const KernelArgs &args,
                     AttentionPlan &plan, const AttentionShape &shape, int64_t partials,
                     bool checked);

/// The code of a block that combines the partial results of a row, and its threads.
void buildAttentionCombine(DeviceBuilder &kb, const KernelArgs &args, AttentionPlan &plan,
                           int64_t partials);
int64_t attentionCombineThreads(const AttentionPlan &plan);

} // namespace attune::codegen
#endif
