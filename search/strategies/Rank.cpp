// Pairwise ranking with pruning of the space (Hu et al., "RankNAS: efficient neural architecture
// search by pairwise ranking", EMNLP 2021), the search of mFormer. A variable that the ranker
// hardly splits on keeps to values that good members use; half of the pool is drawn from the pruned
// space, half are changes of the best members so far.
#include "attune/search/strategies/Ranked.h"

namespace attune::search {
namespace {

class Rank final : public Ranked {
public:
  Rank(const Space &space, const OptionValues &options)
      : Ranked(space, options), prune(options.at("prune")) {}

private:
  void study(const std::vector<Member> &sorted, const RankTrees &trees) override {
    constexpr size_t kLeastBest = 5;
    size_t count = std::min(sorted.size(), std::max(kLeastBest, sorted.size() / 10));
    best.assign(sorted.begin(), sorted.begin() + count);
    std::vector<double> shares = trees.importance(features.size());
    std::vector<double> byVariable(space.variables.size(), 0);
    for (size_t feature = 0; feature < shares.size(); ++feature)
      byVariable[features.variableOf(feature)] += shares[feature];
    pruned.clear();
    for (double share : byVariable)
      pruned.push_back(share < prune);
  }

  Genes draw(Rng &rng, SearchContext &) override {
    const Genes &good = best[rng.below(best.size())].genes;
    if (rng.below(2)) {
      const Genes &other = best[rng.below(best.size())].genes;
      Genes genes = rng.below(2) ? space.crossover(rng, good, other) : good;
      return space.mutate(rng, genes, 1.0 / space.geneCount());
    }
    Genes genes = space.sample(rng);
    for (unsigned gene = 0; gene < genes.size(); ++gene)
      if (pruned[space.variableOf(gene)])
        genes[gene] = good[gene];
    genes = space.canonical(genes);
    return space.contains(genes) ? genes : space.sample(rng);
  }

  double prune;
  std::vector<Member> best;
  std::vector<bool> pruned; ///< by variable
};

} // namespace

std::unique_ptr<Strategy> createRank(const Space &space, const OptionValues &options) {
  return std::make_unique<Rank>(space, options);
}

} // namespace attune::search
