//===- LinearAttentionLayout.h - Scratch of the linear attention forms ------------------------===//
//
// Internal to codegen/cpu/LinearAttention*.cpp.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_LINEARATTENTIONLAYOUT_H
#define ATTUNE_CODEGEN_CPU_LINEARATTENTIONLAYOUT_H

#include "attune/codegen/cpu/LinearAttentionForms.h"

namespace attune::codegen {

/// Offsets in floats, all multiples of 16.
struct ChunkForm::Layout {
  int64_t state;   ///< S: panels [value panel][feature][width], then Z [feature]
  int64_t impulse; ///< P of momentum, as S
  int64_t queries; ///< [row][feature]
  int64_t keys;    ///< [key panel][feature][width]
  int64_t weighed; ///< the same with the weights of positions in the new state
  int64_t values;  ///< [value panel][position][width]
  int64_t weights; ///< one row tile of weights, `weightStride` apart
  int64_t outputs; ///< [value panel][row][width], quadratic form
  int64_t sums;    ///< momentum, see momentumTables; or coefficients of the pair at hand
  int64_t powers;
  int64_t high, low; ///< cumulative gates
  int64_t rowScale;  ///< [row]
  int64_t rowSums;   ///< [row][lane]: sums of weights
  int64_t factors;   ///< [row]: 1 / denominator
  int64_t total;
  static int64_t weightStride(const LinearTile &tile) { return tile.chunk + 32; }
  static int64_t tableFloats(const LinearTile &tile) { return 2 * tile.chunk + 64; }
};

/// Positions that the state in cache is passed over for at once, and vectors of a group of columns:
/// their product of accumulators fits 16 registers with what they need.
constexpr int64_t kSteps = 4, kVectors = 2;

/// Offsets in floats of the worker's scratch; rows of features end in a vector of slack.
struct ScanForm::Layout {
  int64_t state;        ///< [group][feature][column]
  int64_t norm;         ///< [step + 1][feature], the first before the block
  int64_t key;          ///< [step][feature]
  int64_t ahead;        ///< keys times the gates after them
  int64_t coefficients; ///< keys or queries times the gates up to them
  int64_t query;
  int64_t gate;   ///< [step][feature]; of the block in [kSteps]
  int64_t change; ///< [step][group][column]
  int64_t total;
};

} // namespace attune::codegen
#endif
