//===- Residency.h - Where the data of a model stays from call to call ------------------------===//
//
// All that the price of a kernel depends on of the bytes that its model touches: prices of equal
// residency are equal, so they can be kept.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_RESIDENCY_H
#define ATTUNE_CODEGEN_COST_RESIDENCY_H

namespace attune::codegen {

constexpr unsigned kResidencies = 96;

/// A class of byte counts that are nearly the same to the caches; below kResidencies.
unsigned residency(double resident);

} // namespace attune::codegen
#endif
