//===- Count.h - What the schedule of a region comes to ---------------------------------------===//
//
// The cost model's view of a Halide kernel: how many instructions its loops take as they are
// planned, with the remainders of tiles and vectors, what neighbouring blocks compute twice, and
// what runs one element after the other.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_COUNT_H
#define ATTUNE_CODEGEN_HALIDE_COUNT_H

#include "attune/codegen/halide/Plan.h"

namespace attune::codegen::halide {

struct Counted {
  double instructions = 0; ///< of vectors, in units of a multiply-add
  double tasks = 1;        ///< of the root with the most of them
};

/// Nothing where a size of the region is not static.
std::optional<Counted> countInstructions(const Region &region, const Plan &plan);

} // namespace attune::codegen::halide
#endif
