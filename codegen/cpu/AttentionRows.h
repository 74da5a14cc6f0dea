//===- AttentionRows.h - The row form of the attention kernel: what its two files share -------===//
//
// AttentionRows.cpp cuts the work, starts rows and stores results; AttentionRowBlock.cpp computes
// one block of keys. Rows of one kv head go in tiles, so that keys and values are loaded once for
// several of them (grouped queries). A block has two phases, keys then values; each fetches what
// the next one reads, line by line, so that memory is busy all the time.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ATTENTIONROWS_H
#define ATTUNE_CODEGEN_CPU_ATTENTIONROWS_H

#include "attune/codegen/cpu/AttentionForms.h"

namespace attune::codegen {

inline constexpr int64_t kRowBlock = 64; ///< keys per block: K and V of one stay in L1

struct RowForm::Layout {
  int64_t query, output, scores; // within one row
  int64_t max, sum, factor;
  int64_t lo, hi; // i64
  int64_t row;
};

struct RowForm::Row {
  mlir::Value b, h, n, kvHead;
  mlir::Value state;
};

/// Rows of one (b, kv head) that share what is loaded of keys [lo, hi), those that any of them may
/// see; the last row may be there more than once.
struct RowForm::Tile {
  mlir::Value b, kvHead, lo, hi;
  Values states;
};

} // namespace attune::codegen
#endif
