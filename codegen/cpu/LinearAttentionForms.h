//===- LinearAttentionForms.h - The loop forms of the linear attention kernel -----------------===//
//
// Internal to codegen/cpu/LinearAttention*.cpp; see LinearAttention.h for what the forms are.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_LINEARATTENTIONFORMS_H
#define ATTUNE_CODEGEN_CPU_LINEARATTENTIONFORMS_H

#include "attune/codegen/cpu/AttentionVector.h"
#include "attune/codegen/cpu/LinearAttention.h"

namespace attune::codegen {

/// Register tile and chunk of the tiled forms.
struct LinearTile {
  int64_t rows, vectors, chunk;
  static LinearTile of(const CpuTarget &target);
  int64_t width(int64_t lanes) const { return vectors * lanes; }
  /// Rows of a chunk in whole tiles.
  int64_t paddedRows() const { return (chunk + rows - 1) / rows * rows; }
};

/// What all forms share inside one function.
struct LinearContext {
  using Value = mlir::Value;
  KernelBuilder &kb;
  const LinearAttentionSpec &spec;
  const LinearAttentionValues &values;

  /// Address of element `index` (missing ones: 0).
  Value at(const AttentionTensor &tensor, llvm::ArrayRef<Value> index) const;
  Value number(const AttentionTensor &tensor, llvm::ArrayRef<Value> index) const; ///< as f32
  /// Query heads per kv head.
  Value group() const;
  /// `count` (at most one vector's lanes) neighbours along an axis of stride `stride`; others are
  /// 0.
  Value loadRow(const AttentionTensor &tensor, Value address, Value stride, int64_t first,
                int64_t count) const;
  void storeRow(Value vector, const AttentionTensor &tensor, Value address, Value stride,
                int64_t first, int64_t count) const;
  /// Vector v of a group of `columns` value columns from `first` on.
  Value loadColumns(const AttentionTensor &tensor, Value row, Value first, int64_t columns,
                    int64_t v) const;
  void storeColumns(Value x, const AttentionTensor &tensor, Value row, Value first, int64_t columns,
                    int64_t v) const;
  /// Calls `body(first, count)` for the vectors that cover [0, extent).
  void forVectors(int64_t extent, llvm::function_ref<void(int64_t, int64_t)> body) const;
  /// dst[(r, d)] = map(row of D) * pos[r, position], F elements and less than one vector more.
  void features(const AttentionTensor &tensor, Value address,
                const std::function<Value(KernelBuilder &, Value)> &map, const AttentionTensor &pos,
                Value position, Value factor, Value dst) const;
  /// 1 / denominator of query `i` given the sum of its weights (f32).
  Value factor(Value sum, Value i) const;
  Value sumOf(Value vector) const;
};

/// The tiled forms; one object per function.
class ChunkForm {
public:
  using Value = mlir::Value;
  ChunkForm(const LinearContext &context, Value scratch);
  static int64_t scratchFloats(const LinearAttentionSpec &spec, const CpuTarget &target);
  /// Floats of S and Z as `state` holds them.
  static int64_t stateFloats(const LinearAttentionSpec &spec, const CpuTarget &target);

  /// All positions of a kv head, chunk by chunk.
  void causal(Value b, Value kvHead);
  /// S and Z of keys [first, end), written to `to`.
  void keyState(Value b, Value kvHead, Value first, Value end, Value to);
  /// Adds `parts` states that lie one after the other to the first and applies the state map.
  void mergeStates(Value states, Value parts);
  /// Queries [first, end) of head h read the state at `from`.
  void readState(Value b, Value h, Value first, Value end, Value from);
  /// One chunk of queries against all keys.
  void quadratic(Value b, Value h, Value first);

private:
  enum class Keys { None, Diagonal, All };
  /// Chunk of queries and chunk of keys at hand.
  struct Pair {
    Value b, h, query, queries, key, keys; ///< first position and number
    Keys kind;
    Value hasState;          ///< i1: S is not zero; null: S takes no part
    bool accumulate = false; ///< rows go to `outputs`, sums to `sums`, and are finished later
  };
  void packQueries(Value b, Value h, Value first, Value count);
  void packKeys(Value b, Value kvHead, Value first, Value count);
  void packValues(Value b, Value kvHead, Value first, Value count);
  void gates(Value b, Value kvHead, Value first, Value count);
  void momentumTables();
  void packCoefficients(const Pair &pair);
  void loadState(Value b, Value kvHead);
  void storeState(Value b, Value kvHead);
  void clearState(Value at);
  void updateState(Value count);
  void updateGated(Value count);
  void updateMomentum(Value count);
  void updateNorm(Value keys, Value count, Value norm,
                  llvm::function_ref<Value(Value z, Value f)> scale);
  void addProducts(Value keys, Value count, Value matrix,
                   llvm::function_ref<void(Values &acc, Value offset)> scale);
  void weighKeys(Value count, llvm::function_ref<Value(Value j)> weight);

  void outputs(const Pair &pair);
  void scores(const Pair &pair, Value row);
  Value weigh(const Pair &pair, Value row, int64_t r, Value j, Value x);
  Values inter(const Pair &pair, Value row, Value panel);
  Values product(const Pair &pair, Value row, Value panel, Values acc);
  void denominators(const Pair &pair, Value row);
  void finishTile(const Pair &pair, Value row, Value panel, int64_t columns, Values acc);
  void forValuePanels(llvm::function_ref<void(Value panel, int64_t columns)> body);

  Value place(int64_t offset) const;
  Value normPlace(Value state) const;
  int64_t valuePanels() const { return (spec.valueDim + width - 1) / width; }
  Value queryRow(Value row) const;

  const LinearContext &ctx;
  KernelBuilder &kb;
  const LinearAttentionSpec &spec;
  const LinearAttentionValues &values;
  LinearTile tile;
  int64_t lanes, width, padded, features;
  Value scratch;
  Value state; ///< where S and Z of the head at hand lie
  struct Layout;
  static Layout layoutOf(const LinearAttentionSpec &spec, const CpuTarget &target);
};

/// The recurrence of sum, gated and delta updates, a few positions at a time; one object per
/// function. Inside such a block positions meet by dot products of features, so that the state is
/// passed over once per block and use.
class ScanForm {
public:
  using Value = mlir::Value;
  ScanForm(const LinearContext &context, Value scratch);
  static int64_t scratchFloats(const LinearAttentionSpec &spec, const CpuTarget &target);
  /// Groups of value columns of a head: any range of them may be a task of its own.
  static int64_t groups(const LinearAttentionSpec &spec, const CpuTarget &target);
  void run(Value b, Value kvHead, Value groupFirst, Value groupEnd);

private:
  struct Layout;
  struct Block {
    Value b, kvHead, first, groupFirst, groupEnd;
    int64_t steps;
    bool direct = false; ///< the state stays in the kernel's operands
    Values gates, upTo;  ///< gates per head of each step, and their products up to it
  };
  /// Columns of a group for every feature.
  struct Rows {
    Value first, stride;
  };
  static Layout layoutOf(const LinearAttentionSpec &spec, const CpuTarget &target);
  static int64_t rowFloats(const LinearAttentionSpec &spec, const CpuTarget &target);
  void start(Block &block);
  void pairsOf(Block &block, int64_t rows, bool withSelf, Values &pairs);
  void changes(Block &block);
  void results(Block &block, Value h);
  void update(Block &block);
  void copyState(const Block &block, bool toScratch);
  Values read(const Block &block, int64_t coefficients, Value group);

  Value place(int64_t offset) const;
  Rows source(const Block &block, Value group) const;
  Rows target(const Block &block, Value group) const;
  Rows memory(const Block &block, const AttentionTensor &state, Value group) const;
  bool isDirect() const;
  Value changeOf(Value group, int64_t s, int64_t v) const;
  Value mul(Value x, Value y) const;
  Value loadFeatures(Value address, int64_t first, int64_t count) const;
  Value dot(Value x, Value y) const;
  void product(Value x, Value y, Value to) const;

  const LinearContext &ctx;
  KernelBuilder &kb;
  const LinearAttentionSpec &spec;
  const LinearAttentionValues &values;
  int64_t lanes, columns, features; ///< columns of a group
  int64_t row, allColumns;          ///< floats between rows of features, of values
  Value scratch;
};

/// The recurrence of momentum updates; one object per function.
class MomentumForm {
public:
  using Value = mlir::Value;
  MomentumForm(const LinearContext &context, Value scratch);
  static int64_t scratchFloats(const LinearAttentionSpec &spec, const CpuTarget &target);
  void run(Value b, Value kvHead);

private:
  struct Layout;
  static Layout layoutOf(const LinearAttentionSpec &spec, const CpuTarget &target);
  Value update(Value mu, Value step);
  Value adaptiveMu(Value impulse);
  void updateNorm(Value mu, Value step);
  void writeRow(Value b, Value h, Value t);
  void copy(int64_t from, int64_t to, int64_t floats);
  Value place(int64_t offset) const;
  Value mul(Value x, Value y) const;

  const LinearContext &ctx;
  KernelBuilder &kb;
  const LinearAttentionSpec &spec;
  const LinearAttentionValues &values;
  int64_t lanes, columns, features;
  Value scratch;
};

} // namespace attune::codegen
#endif
