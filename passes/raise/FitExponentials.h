//===- FitExponentials.h - Constant kernels as sums of exponentials ---------------------------===//
//
// Exports with fixed weights hold the taps of a moving average instead of its decays. Prony's
// method finds decays and weights with `k[t] = sum_n weight_n decay_n^t` again; the result counts
// only if it reproduces every tap to rounding, so what is no sum of exponentials is not taken for
// one.
//
//   if (auto taps = constantTaps(builder, loc, elements, sizes, kernel, channel, position))
//     if (std::optional<ExponentialFit> fit = fitExponentials(*taps))
//       ... fit->decay: [channels, states], each value as it is in the kernel's type
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_FITEXPONENTIALS_H
#define ATTUNE_PASSES_RAISE_FITEXPONENTIALS_H

#include "attune/passes/raise/Match.h"

namespace attune {

/// Row by row [channels, count], in f32 if `isSingle`, else in f64.
struct ConstantTaps {
  int64_t channels, count;
  bool isSingle;
  std::vector<double> values;
};

/// A kernel's values for all values of two free indices with constant extents, if its elements are
/// constants. Makes constants in front of the builder's insertion point, left for dead-code
/// elimination.
std::optional<ConstantTaps> constantTaps(mlir::OpBuilder &builder, mlir::Location loc,
                                         Elements &elements, Sizes &sizes, mlir::Value kernel,
                                         mlir::Value channel, mlir::Value position);

struct ExponentialFit {
  int64_t states;
  /// Row by row [channels, states], rounded to the type of the taps.
  std::vector<double> decay, weight;
  /// What follows the last tap is 0 to rounding, too.
  bool vanishes;
};

/// Null unless every channel has at most 16 decays in [-1, 1], a third as many as taps, whose sum
/// is within 8 units of rounding of the channel's largest tap everywhere.
std::optional<ExponentialFit> fitExponentials(const ConstantTaps &taps);

} // namespace attune
#endif
