//===- Attention.h - Emits a fused online-softmax attention kernel ----------------------------===//
//
// The raw layer below the attention emitter: one kernel function of the ABI from a description of
// operands that are already pointers and strides. K and V are read in place.
//
// Two forms are generated; the kernel picks one by the number of queries.
//  - Panels: the lanes of a vector are neighbouring queries: S^T = K Q^T, then O^T = V^T P^T. One
//    panel of queries is transposed into scratch; scores of one block of keys stay in cache.
//  - Rows (few queries, as in decoding): the lanes are neighbouring keys or values; keys are split
//    into chunks whose partial results (m, l, O) a second parallel loop merges.
// Tasks are (batch, head, block of queries) or (batch, kv head, chunk of keys). Both are functions
// of the shapes alone, so that any number of threads gives the same bits.
//
// Semantics as attune.attention: x = scale * q.k + s0; x = score(x); a key is allowed if
// mask(b, h, i, j) and j < kv_len[b]; -inf counts as not allowed. Arithmetic is f32; f16 and bf16
// operands are converted as they are loaded.
//
//   AttentionSpec spec;
//   spec.headDim = spec.valueDim = 64;
//   spec.values = [](KernelBuilder &kb, const KernelArgs &args) { AttentionValues v; ...; return v;
//   }; AttentionScratch scratch = emitAttention(kb, module, "k0", spec, /*scratchBuffer=*/4);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ATTENTION_H
#define ATTUNE_CODEGEN_CPU_ATTENTION_H

#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/KernelBuilder.h"
#include "attune/dialect/Attune.h"

#include <array>
#include <functional>
#include <optional>

namespace attune::codegen {

/// Element [w, x, y, z] lies at base + offset + w*strides[0] + ... in elements. Absent: null base.
struct AttentionTensor {
  mlir::Value base, offset;
  std::array<mlir::Value, 4> strides;
  mlir::Type element;
  explicit operator bool() const { return bool(base); }
};

/// Operands of the kernel as values of the function being built. Constant strides should be
/// constants: contiguous axes are found by their stride of 1, broadcast ones by 0.
struct AttentionValues {
  mlir::Value batch, heads, kvHeads, queries, keys;      ///< heads is a multiple of kvHeads
  AttentionTensor query, key;                            ///< [b, h, n, d], [b, kv head, m, d]
  AttentionTensor value, result;                         ///< [b, kv head, m, e], [b, h, n, e]
  AttentionTensor scores, logits;                        ///< [b, h, n, m]
  AttentionTensor lse;                                   ///< [b, h, n, 0]
  mlir::Value scale;                                     ///< f32; null: 1
  std::function<mlir::Value(mlir::Value b)> queryOffset; ///< index; empty: 0
  std::function<mlir::Value(mlir::Value b)> keyLength;   ///< index; empty: keys
  std::function<mlir::Value(mlir::Value h)> sink;        ///< f32
};

/// Where a vector of scores lies: lane l is query (n + l, i + l) or, if lanesAreKeys, key
/// (m + l, j + l); the other coordinates are the same in all lanes. Lanes from `valid` on hold no
/// element: memory must not be read for them.
struct AttentionPoint {
  mlir::Value b, h, i, j, n, m;
  mlir::Value valid;
  int64_t lanes;
  bool lanesAreKeys;
  /// Elements of the tables at this place (vectors of f32), null for those that were not read.
  Values tables = {};
};

/// Numbers for pairs of query and key that a region reads. The panel form transposes a block of
/// them first, so that lanes (queries) need no gather.
struct AttentionTable {
  bool score, mask; ///< the regions that read it
  /// Address of the element of the pair at `point`, elements between queries; keys are neighbours.
  struct Place {
    mlir::Value address, rowStride;
    mlir::Type element; ///< i8: 0 or 1
  };
  std::function<Place(KernelBuilder &, const AttentionPoint &point)> place;
};

/// Keys [lo, hi) may be allowed for some of the queries at hand; [fullLo, fullHi) are for all.
struct KeyRange {
  mlir::Value lo, hi, fullLo, fullHi;
};

/// Register tile and block sizes of the panel form.
struct AttentionTile {
  int64_t vectors;   ///< registers per row of a tile: a panel is vectors * lanes queries wide
  int64_t keyRows;   ///< rows of the S^T tile
  int64_t valueRows; ///< rows of the O^T tile
  int64_t keys;      ///< keys per block, a multiple of keyRows
  int64_t panels;    ///< most panels per task
  static AttentionTile choose(const CpuTarget &target, int64_t headDim, int64_t valueDim);
};

struct AttentionSpec {
  int64_t headDim = 0; ///< 0: scores only, no query and key
  int64_t valueDim = 0;
  Weighting weighting = Weighting::Softmax;
  double eps = 0;
  EpsMode epsMode = EpsMode::Add;
  EmptyRow emptyRow = EmptyRow::Zero;
  std::optional<AttentionTile> tile; ///< default: AttentionTile::choose

  std::function<AttentionValues(KernelBuilder &, const KernelArgs &)> values;
  /// New scores (vector of f32) of vector x; empty: unchanged.
  std::function<mlir::Value(KernelBuilder &, const AttentionPoint &, mlir::Value x)> score;
  /// i1 or vector of i1; empty: all allowed.
  std::function<mlir::Value(KernelBuilder &, const AttentionPoint &)> mask;
  llvm::SmallVector<AttentionTable> tables;
  /// Whether `mask` is the same for all queries of a head, as masks of padding are: blocks of keys
  /// that are all allowed are then found before they are multiplied.
  bool maskOfKeys = false;
  /// What is known of `mask` for queries with positions [first, last] and keys [0, keys); empty:
  /// nothing.
  std::function<KeyRange(KernelBuilder &, mlir::Value b, mlir::Value h, mlir::Value first,
                         mlir::Value last, mlir::Value keys)>
      range;
  /// Result of the task function (i32 error code) once its body is built; empty: 0.
  std::function<mlir::Value(KernelBuilder &)> status;
};

/// How this many queries of a head are cut; `seen` gives the keys in front of which a panel of
/// queries stands.
KernelPlan attentionPlan(const AttentionTile &tile, const CpuTarget &target, int64_t heads,
                         int64_t kvHeads, int64_t queries, int64_t keys,
                         llvm::function_ref<int64_t(int64_t first, int64_t last)> seen);

/// Bytes of the one scratch buffer.
struct AttentionScratch {
  int64_t perWorker = 0, shared = 0;
};
/// By sizes, tile and number of tables of `spec`.
AttentionScratch attentionScratch(const AttentionSpec &spec, const CpuTarget &target);

/// Adds kernel `symbol` and its task functions to `module`. `scratchBuffer` is the number of the
/// scratch buffer among the kernel's buffers.
AttentionScratch emitAttention(KernelBuilder &kb, mlir::ModuleOp module, llvm::StringRef symbol,
                               const AttentionSpec &spec, int64_t scratchBuffer);

} // namespace attune::codegen
#endif
