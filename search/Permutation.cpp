#include "attune/search/Permutation.h"

#include "llvm/ADT/STLExtras.h"

#include <numeric>

namespace attune::search::permutation {

Order orderOf(llvm::ArrayRef<int32_t> genes) {
  Order left(genes.size()), order;
  std::iota(left.begin(), left.end(), 0);
  for (int32_t gene : genes) {
    order.push_back(left[gene]);
    left.erase(left.begin() + gene);
  }
  return order;
}

std::optional<Order> genesOf(llvm::ArrayRef<int32_t> order) {
  Order left(order.size()), genes;
  std::iota(left.begin(), left.end(), 0);
  for (int32_t thing : order) {
    auto *found = llvm::find(left, thing);
    if (found == left.end())
      return std::nullopt;
    genes.push_back(found - left.begin());
    left.erase(found);
  }
  return genes;
}

static void write(llvm::ArrayRef<int32_t> order, llvm::MutableArrayRef<int32_t> genes) {
  llvm::copy(*genesOf(order), genes.begin());
}

void swapTwo(Rng &rng, llvm::MutableArrayRef<int32_t> genes) {
  Order order = orderOf(genes);
  uint32_t a = rng.below(order.size()), b = rng.below(order.size() - 1);
  std::swap(order[a], order[b < a ? b : b + 1]);
  write(order, genes);
}

void crossover(Rng &rng, llvm::MutableArrayRef<int32_t> genes, llvm::ArrayRef<int32_t> other) {
  Order mine = orderOf(genes), theirs = orderOf(other);
  uint32_t from = rng.below(mine.size()), to = from + 1 + rng.below(mine.size() - from);
  llvm::ArrayRef<int32_t> kept = llvm::ArrayRef(mine).slice(from, to - from);
  llvm::erase_if(theirs, [&](int32_t thing) { return llvm::is_contained(kept, thing); });
  Order child(theirs.begin(), theirs.begin() + from);
  child.append(kept.begin(), kept.end());
  child.append(theirs.begin() + from, theirs.end());
  write(child, genes);
}

} // namespace attune::search::permutation
