//===- Permutation.h - Orders as a variable ---------------------------------------------------===//
//
// Genes of an order of n things: which of those that are left comes next, at every place. So every
// vector of genes within the choices is an order, and uniform genes are uniform orders; what works
// on orders (swaps, crossover) goes through the order itself.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_PERMUTATION_H
#define ATTUNE_SEARCH_PERMUTATION_H

#include "attune/search/Random.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <optional>

namespace attune::search::permutation {

using Order = llvm::SmallVector<int32_t>;

/// What stands at each place.
Order orderOf(llvm::ArrayRef<int32_t> genes);
/// None if something stands at two places, or nothing that there is.
std::optional<Order> genesOf(llvm::ArrayRef<int32_t> order);

/// Changes two places, at least two things being ordered.
void swapTwo(Rng &rng, llvm::MutableArrayRef<int32_t> genes);
/// Order crossover: a run of places as in `genes`, the others in the order of `other`.
void crossover(Rng &rng, llvm::MutableArrayRef<int32_t> genes, llvm::ArrayRef<int32_t> other);

} // namespace attune::search::permutation
#endif
