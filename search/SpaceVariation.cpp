// Drawing candidates: uniform samples, mutation, crossover.
#include "attune/search/Permutation.h"
#include "attune/search/Space.h"

#include <cmath>
#include <limits>

namespace attune::search {

Genes Space::sample(Rng &rng) const {
  Genes result(genes, 0);
  for (const Variable &variable : variables) {
    auto part =
        llvm::MutableArrayRef<int32_t>(result).slice(variable.firstGene, variable.geneCount);
    if (variable.path)
      variable.path->sample(rng, part);
    else
      for (auto [i, gene] : llvm::enumerate(part))
        gene = rng.below(geneChoices[variable.firstGene + i]);
  }
  return canonical(result);
}

void Space::mutateVariable(Rng &rng, const Variable &variable, unsigned gene,
                           Genes &candidate) const {
  auto part =
      llvm::MutableArrayRef<int32_t>(candidate).slice(variable.firstGene, variable.geneCount);
  if (variable.isOrder())
    return permutation::swapTwo(rng, part);
  if (!variable.path) {
    // One of the other choices.
    uint32_t step = 1 + rng.below(geneChoices[gene] - 1);
    candidate[gene] = (candidate[gene] + step) % geneChoices[gene];
    return;
  }
  llvm::SmallVector<int32_t> before(part.begin(), part.end());
  unsigned steps = variable.geneCount - 1;
  constexpr int kTrials = 8;
  for (int trial = 0; trial < kTrials && llvm::equal(before, part); ++trial) {
    unsigned from = rng.below(steps), to = from + 1 + rng.below(steps - from);
    variable.path->resample(rng, part, from, to);
  }
  while (llvm::equal(before, part)) // there are at least two paths
    variable.path->sample(rng, part);
}

void Space::settle(Rng &rng, Genes &candidate, const llvm::BitVector &before) const {
  llvm::SmallVector<double> decoded(values, std::numeric_limits<double>::quiet_NaN());
  llvm::BitVector active(genes);
  for (const Variable &variable : variables) {
    auto part =
        llvm::MutableArrayRef<int32_t>(candidate).slice(variable.firstGene, variable.geneCount);
    if (variable.path) {
      bool use = isActive(variable, 0, decoded);
      if (use && !before[variable.firstGene])
        variable.path->sample(rng, part);
      else if (!use)
        llvm::fill(part, 0);
    } else {
      for (unsigned i = 0; i < variable.elements; ++i) {
        bool use = isActive(variable, variable.isOrder() ? 0 : i, decoded);
        if (use && !before[variable.firstGene + i])
          part[i] = rng.below(geneChoices[variable.firstGene + i]);
        else if (!use)
          part[i] = 0;
      }
    }
    decodeVariable(variable, candidate, decoded, active);
  }
}

/// The genes that can be mutated: one per path or order, and no constants.
static llvm::SmallVector<unsigned> mutableGenes(const Space &space, const llvm::BitVector &active) {
  llvm::SmallVector<unsigned> result;
  for (unsigned gene : active.set_bits()) {
    const Variable &variable = space.variables[space.variableOf(gene)];
    bool useful = variable.path        ? gene == variable.firstGene && variable.path->count() > 1
                  : variable.isOrder() ? gene == variable.firstGene && variable.elements > 1
                                       : space.choices(gene) > 1;
    if (useful)
      result.push_back(gene);
  }
  return result;
}

Genes Space::mutate(Rng &rng, llvm::ArrayRef<int32_t> parent, double probability) const {
  llvm::SmallVector<double> decoded;
  llvm::BitVector active;
  decode(parent, decoded, active);
  Genes child(parent.begin(), parent.end());
  llvm::SmallVector<unsigned> candidates = mutableGenes(*this, active);
  if (candidates.empty())
    return child;
  bool changed = false;
  for (unsigned gene : candidates)
    if (rng.uniform() < probability) {
      mutateVariable(rng, variables[geneVariable[gene]], gene, child);
      changed = true;
    }
  if (!changed) {
    unsigned gene = candidates[rng.below(candidates.size())];
    mutateVariable(rng, variables[geneVariable[gene]], gene, child);
  }
  settle(rng, child, active);
  return child;
}

Genes Space::mutateOne(Rng &rng, llvm::ArrayRef<int32_t> parent) const {
  return mutate(rng, parent, 0);
}

Genes Space::crossover(Rng &rng, llvm::ArrayRef<int32_t> a, llvm::ArrayRef<int32_t> b) const {
  llvm::SmallVector<double> decoded;
  llvm::BitVector activeA, activeB;
  decode(a, decoded, activeA);
  decode(b, decoded, activeB);
  Genes child(a.begin(), a.end());
  llvm::BitVector known(genes);
  for (const Variable &variable : variables) {
    unsigned first = variable.firstGene;
    bool whole = variable.path || variable.isOrder();
    if (whole && activeA[first] && activeB[first]) {
      auto part = llvm::MutableArrayRef<int32_t>(child).slice(first, variable.geneCount);
      auto other = b.slice(first, variable.geneCount);
      if (variable.path)
        variable.path->crossover(rng, part, other);
      else
        permutation::crossover(rng, part, other);
      known.set(first, first + variable.geneCount);
      continue;
    }
    if (whole) {
      if (activeB[first])
        std::copy_n(b.begin() + first, variable.geneCount, child.begin() + first);
      if (activeA[first] || activeB[first])
        known.set(first, first + variable.geneCount);
      continue;
    }
    for (unsigned gene = first; gene < first + variable.geneCount; ++gene) {
      // A gene that only one parent uses is its; what neither knows is drawn if it comes to use.
      bool second = activeA[gene] && activeB[gene] ? rng.below(2) : activeB[gene];
      if (second)
        child[gene] = b[gene];
      if (activeA[gene] || activeB[gene])
        known.set(gene);
    }
  }
  settle(rng, child, known);
  return child;
}

} // namespace attune::search
