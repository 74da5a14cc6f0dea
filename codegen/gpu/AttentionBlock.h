//===- AttentionBlock.h - The code of a block of fused attention ------------------------------===//
//
// AttentionKernel.cpp says where a block's rows and keys are and stores results, AttentionTile.cpp
// visits a tile of keys. Internal to them.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_ATTENTIONBLOCK_H
#define ATTUNE_CODEGEN_GPU_ATTENTIONBLOCK_H

#include "attune/codegen/gpu/AttentionFragments.h"
#include "attune/codegen/gpu/AttentionFunction.h"
#include "attune/codegen/gpu/RowTiles.h"

namespace attune::codegen {

/// Shared memory: two stages of keys and values. Queries come where the second stage will, or
/// behind both where they are read again for every tile.
struct AttentionLayout {
  TileLayout query, key, value, result;
  bool queriesStay;
  /// Columns lie in panels of so many that follow each other: 64 for wgmma, else all of them.
  int64_t keyPanels = 1, valuePanels = 1;

  AttentionLayout(const AttentionPlan &plan, const AttentionShape &shape);
  int64_t keyBytes() const { return key.bytes() * keyPanels; }
  int64_t stage() const { return keyBytes() + value.bytes() * valuePanels; }
  int64_t queryOffset() const { return queriesStay ? 2 * stage() : stage(); }
};

class AttentionBlock : public AttentionFunction {
public:
  AttentionBlock(DeviceBuilder &kb, Value memory, AttentionPlan &plan, const KernelArgs &args,
                 const AttentionShape &shape)
      : AttentionFunction(kb, plan, args), memory(memory), shape(shape), layout(plan, shape),
        fragments(kb, plan.query->element) {
    Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
    group = kb.div(lane, 4);
    inGroup = kb.rem(lane, kb.idx(4));
    warpRow = kb.mul(kb.div(kb.thread(), DeviceBuilder::kWarp), 16 * shape.groups);
  }

  void build(Value partials);
  /// Whether the regions were built; keeps their failures if `checked`.
  Built end(bool checked);

private:
  /// What a warp carries from tile to tile, of a group of 16 rows: sums of 8 columns each in four
  /// registers, as `mma` has them; the others for the lane's two rows.
  struct Group {
    Values outputs, greatest, sums;
  };
  using Groups = llvm::SmallVector<Group>;

  Value memory;
  AttentionShape shape;
  AttentionLayout layout;
  AttentionFragments fragments;
  Value group, inGroup, warpRow; ///< of the lane
  // Of the block.
  Value b, h, kvHead, first, offset, lo, hi, fullLo, fullHi, tiles, chunk;
  std::optional<AttentionSplit> split;

  struct Row {
    Value exists, h, n;
  };
  Row rowAt(Value number);
  llvm::SmallVector<Row, 2> rowsOf(int64_t number);
  RowMatrix rowsOf(const AttentionTensor &tensor, const AttentionOperand &operand, int64_t columns);
  RowMatrix keysOf(const AttentionTensor &tensor, const AttentionOperand &operand, int64_t columns,
                   Value start);

  /// What any thread of the block wrote or copied can be read by all.
  void meet() {
    publishCopies();
    shape.warps == 1 ? kb.warpBarrier() : kb.barrier();
  }
  void publishCopies();
  void locate();
  void limitKeys();
  void loadTile(Value tile);
  void loadPanels(RowMatrix matrix, const TileLayout &tile, int64_t panels, Value at);
  Values scoresOfGroup(Value keysAt);
  void accumulateByGroup(Values &outputs, mlir::ValueRange weights, Value valuesAt);
  Values flat(const Groups &groups);
  Groups unflat(mlir::ValueRange values);
  Groups start();
  Groups visit(Value tile, Groups groups,
               llvm::ArrayRef<llvm::SmallVector<AttentionFragments::Operand>> q);
  llvm::SmallVector<Values>
  scores(Value keysAt, llvm::ArrayRef<llvm::SmallVector<AttentionFragments::Operand>> q);
  void modify(llvm::SmallVector<Values> &scores, Value start);
  Value modified(Value x, const AttentionPoint &point);
  void weigh(Group &group, Values &scores);
  void accumulate(Groups &groups, llvm::ArrayRef<Values> weights, Value valuesAt);
  void finish(Groups &groups, Value partials);
  void storePair(mlir::ValueRange pair, Value row, Value stride, Value column, bool aligned);
  void storeResult(const Groups &groups);
};

} // namespace attune::codegen
#endif
