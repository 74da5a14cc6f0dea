//===- Residency.h - Where the data of a model stays from call to call ------------------------===//
//
// All that the price of a kernel depends on of the bytes that its model touches: prices of equal
// residency are equal, so they can be kept.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_RESIDENCY_H
#define ATTUNE_CODEGEN_COST_RESIDENCY_H

#include "attune/codegen/cost/Machine.h"

namespace attune::codegen {

constexpr unsigned kResidencies = 4;

/// Which of the levels between the cores and memory hold so many bytes; below kResidencies.
unsigned residency(const Machine &machine, double resident, unsigned threads);

} // namespace attune::codegen
#endif
