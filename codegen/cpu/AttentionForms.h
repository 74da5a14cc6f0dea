//===- AttentionForms.h - The two loop forms of the attention kernel --------------------------===//
//
// Internal to codegen/cpu/Attention*.cpp; see Attention.h for what the forms are.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ATTENTIONFORMS_H
#define ATTUNE_CODEGEN_CPU_ATTENTIONFORMS_H

#include "attune/codegen/cpu/AttentionVector.h"

namespace attune::codegen {

/// What both forms share inside one function.
struct AttentionContext {
  KernelBuilder &kb;
  const AttentionSpec &spec;
  const AttentionValues &values;

  bool softmax() const { return spec.weighting == Weighting::Softmax; }
  /// Logits are wanted for every key, so that no block may be skipped.
  bool allKeys() const { return bool(values.logits); }
  bool masked() const { return spec.mask || (allKeys() && values.keyLength); }

  mlir::Value at(const AttentionTensor &tensor, mlir::Value b, mlir::Value h, mlir::Value row,
                 mlir::Value column) const;
  mlir::Value kvHead(mlir::Value h) const;
  mlir::Value queryOffset(mlir::Value b) const; ///< null: 0
  /// Keys that take part in batch b.
  mlir::Value keyLength(mlir::Value b) const;
  KeyRange range(mlir::Value b, mlir::Value h, mlir::Value first, mlir::Value last,
                 mlir::Value keys) const;
  /// Mask at a point including the key length where the key loop does not end there: i1, vector of
  /// i1.
  mlir::Value allowed(const AttentionPoint &point, mlir::Value keys) const;
  /// What a disallowed score becomes.
  mlir::Value disallowed() const;
  /// Factor of an output row: `sum` is the denominator so far (scalar or vector).
  mlir::Value factor(mlir::Value sum) const;
  /// O * factor, 0 for rows that are empty.
  mlir::Value scaled(mlir::Value output, mlir::Value factor) const;
};

/// Lanes are queries; one object per function.
class PanelForm {
public:
  using Value = mlir::Value;
  /// `scratch` is this worker's, 64-byte aligned.
  PanelForm(const AttentionContext &context, const AttentionTile &tile, Value scratch);
  static int64_t scratchFloats(const AttentionSpec &spec, const AttentionTile &tile, int64_t lanes);
  /// Queries [first, first + count) of (b, h), in panels of `vectors` registers.
  void run(Value b, Value h, Value first, Value count, int64_t vectors);

private:
  struct Panel;
  struct Layout;
  static Layout layoutOf(const AttentionSpec &spec, const AttentionTile &tile, int64_t lanes);
  void start(const Panel &panel);
  void block(const Panel &panel, Value keyBlock, Value keyEnd);
  void finish(const Panel &panel);
  void scores(const Panel &panel, Value lo, Value count, Value keyAddress);
  void modify(const Panel &panel, Value lo, Value count, bool score, bool mask, bool max);
  Values loadTables(const Panel &panel, Value lo, Value count, bool score, bool mask);
  Value allAllowed(const Panel &panel, Value lo, Value count);
  void countAll(const Panel &panel, Value count);
  void weights(const Panel &panel, Value count);
  void accumulate(const Panel &panel, Value count, Value valueAddress);
  void pack(const AttentionTensor &tensor, Value h, int64_t columns, Value lo, Value hi, Value to);

  const AttentionContext &ctx;
  KernelBuilder &kb;
  const AttentionSpec &spec;
  const AttentionValues &values;
  AttentionTile tile;
  Value scratch;
  // Of the task being built.
  Value b, h, keyHead, offset, keys;
  int64_t vectors = 0, width = 0;
};

/// Lanes are keys (scores) and value columns (outputs); one object per function.
class RowForm {
public:
  using Value = mlir::Value;
  RowForm(const AttentionContext &context, Value scratch, Value partials);
  /// Whether the form is generated at all: it reads keys and values by whole vectors.
  static bool supports(const AttentionSpec &spec, const AttentionValues &values);
  /// Whether it is the faster one for this number of queries (i1).
  static Value applies(KernelBuilder &kb, const AttentionValues &values);
  static int64_t scratchFloats(const AttentionSpec &spec, int64_t lanes);
  /// Floats of the partial results of all tasks.
  static int64_t partialFloats(const AttentionSpec &spec, int64_t lanes);

  /// Chunks that the keys of a head are cut into.
  Value chunks();
  /// Task `chunk` of (b, kv head); writes results if there is one chunk, else partial ones.
  void run(Value b, Value kvHead, Value chunk);
  /// Merges the partial results of (b, h).
  void merge(Value b, Value h);

private:
  struct Row;
  struct Tile;
  struct Layout;
  static Layout layoutOf(const AttentionSpec &spec, int64_t lanes);
  void start(const Row &row, Value chunk);
  void limit(const Row &row, Value blockLo, Value blockHi);
  KeyRange rangeOf(const Row &row);
  Tile tileOf(Value b, Value kvHead, Value first, Value last, int64_t rows);
  void fetch(const AttentionTensor &tensor, Value address, Value row, Value column);
  void dots(const Tile &tile, Value blockLo);
  void weights(const Row &row, Value blockLo, Value blockHi);
  Value scores(const Row &row, Value place, Value lo, Value hi);
  void accumulate(const Tile &tile, Value blockLo);
  Value loadIndex(Value state, int64_t at);
  void storeIndex(Value index, Value state, int64_t at);
  void store(Value b, Value h, Value n, Value output, Value max, Value sum);
  Value partial(Value b, Value h, Value n, Value chunk);
  Value sumOf(Value vector);
  Value sumsOf(llvm::ArrayRef<Value> vectors);
  Value maxOf(Value vector);
  Value expScalar(Value x);

  const AttentionContext &ctx;
  KernelBuilder &kb;
  const AttentionSpec &spec;
  const AttentionValues &values;
  Value scratch, partials;
  Value offset, keys; ///< of the batch element at hand
};

} // namespace attune::codegen
#endif
