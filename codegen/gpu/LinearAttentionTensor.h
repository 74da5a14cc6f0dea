//===- LinearAttentionTensor.h - Blocks of linear attention on tensor cores -------------------===//
//
// Internal to codegen/gpu/LinearAttention*.cpp. A warp has 16 queries of a chunk and some tiles of
// 16 features of S; f32 sums stay in registers, and S goes through shared memory, rounded to 16
// bits, to be multiplied by queries. For f16 it is scaled by a power of two so that neither large
// nor small states leave the range.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_LINEARATTENTIONTENSOR_H
#define ATTUNE_CODEGEN_GPU_LINEARATTENTIONTENSOR_H

#include "attune/codegen/gpu/Fragments.h"
#include "attune/codegen/gpu/LinearAttention.h"

namespace attune::codegen {

class LinearTensorBlock final : public LinearBlock {
public:
  /// Columns of the tile of Z, of which the first one counts.
  static constexpr int64_t kNormColumns = 8;

  LinearTensorBlock(const LinearAttentionMatch &match, const LinearBlockShape &shape,
                    DeviceBuilder &kb, const KernelArgs &args, Value shared);
  void states(const LinearBlockTask &task) override;
  void outputs(const LinearBlockTask &task) override;

private:
  /// Warps of a block.
  static constexpr int64_t kWarps = 4;

  Fragments fragments;
  int64_t tiles, across, perTile; ///< tiles of features of a warp; fragments along columns; with Z
  TileLayout stateLayout;
  Value lane, warp, inEight, low, high, row, pair;
  Value stateAt, normAt, mostAt;

  bool scales() const { return shape.element.isF16(); }
  Values zeros(int64_t fragments) { return Values(4 * fragments, kb.constF(0)); }
  Value mul(Value x, Value y) { return mlir::arith::MulFOp::create(kb.b, kb.loc, x, y); }
  Value plus(Value x, Value y) { return mlir::arith::AddFOp::create(kb.b, kb.loc, x, y); }
  /// The row that the lane names in the group of eight rows number `eight`, behind `start`.
  Value eights(Value eight, int64_t start);
  /// The first feature of a warp's tile.
  Value featuresOf(int64_t tile) { return kb.mul(kb.add(warp, tile * kWarps), 16); }
  /// Whole steps of 16 features that are not all padding.
  int64_t depth() const { return (shape.features + 15) / 16 * 16; }
  /// Chunk by chunk, the next one on its way: `body(position, place, sums)`. `before` runs while
  /// nobody reads the state.
  Values overChunks(const LinearBlockTask &task, Values sums,
                    llvm::function_ref<Values(Value, Value, Values)> body,
                    llvm::function_ref<void(Values)> before = {});

  // Products (LinearAttentionProducts.cpp).

  /// 16 keys of the chunk at a time.
  Values overKeys(Values sums, llvm::function_ref<Values(Value keys, Values sums)> body);
  /// The address of a chunk of 16 bytes, in a row behind `first`, a multiple of 16.
  Value chunkAt(Value place, Tile tile, Value first, Value row, Value chunk);
  /// Fragments of 16 values for all columns, and of ones for the sum of weights.
  llvm::SmallVector<Values> valuesOf(Value place, Value keys);
  /// sums + features of 16 keys, transposed, * values.
  void addProducts(Value place, Value keys, llvm::ArrayRef<Values> columns, Values &sums);
  /// Two 16-bit floats in a register times two of f32.
  Value weighPair(Value both, Value by);
  /// What is left of the state behind the chunk, without its keys.
  void scaleState(Values &sums);
  /// What is left of the state at the warp's queries.
  void scaleRows(Values &out);
  void multiply(mlir::ValueRange a, llvm::ArrayRef<Values> columns, Values &sums,
                int64_t firstFragment = 0);
  Values queriesOf(Value place, int64_t k);
  /// Queries times the state that shared memory holds.
  Values readState(Value place, Value back);
  /// out + weights of 16 keys for the warp's queries * values.
  Values weighValues(Value place, Value keys, llvm::ArrayRef<Values> columns, Values out);
  Values packedWeights(mlir::ValueRange weights);
  /// Whether an infinity or NaN is among the warp's fragments: its exponent is all ones, and one
  /// more reaches the sign.
  Value hasNonFinite(llvm::ArrayRef<Values> columns);
  /// The same for weights that are known, key by key: earlier queries see nothing of a key.
  Values weighOneByOne(mlir::ValueRange weights, llvm::ArrayRef<Values> columns, Values out);
  /// Two floats in a register of 16-bit ones.
  Value packed(Value x, Value y);
  Value narrow(Value x, Value y);

  // The state (LinearAttentionState.cpp).

  /// Calls `body(number of the first of two neighbours, feature, column in the slab or null)`.
  void overState(llvm::function_ref<void(int64_t, Value, Value)> body);
  /// States in memory have neighbouring columns in aligned pairs.
  bool storesPairs() const { return shape.valueDim % 2 == 0 && shape.slotFloats() % 2 == 0; }
  Values initial(const LinearBlockTask &task);
  void storeAll(const LinearBlockTask &task, bool isFinal, mlir::ValueRange sums);
  /// Every warp's largest magnitude of a number, for the next scale: beside an infinity, others
  /// keep their digits.
  void noteLargest(mlir::ValueRange sums);
  /// A power of two that brings the largest element of the state near 2^10, and its inverse.
  std::pair<Value, Value> scale();
  /// Puts the state into shared memory; what results are to be multiplied by, or null.
  Value publish(mlir::ValueRange sums);

  /// Results of the warp's queries of a chunk, from their sums, to memory.
  void finishRows(const LinearBlockTask &task, Value position, Value place, Values out);
};

} // namespace attune::codegen
#endif
