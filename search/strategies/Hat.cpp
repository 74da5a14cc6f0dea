// The evolution of HAT (Wang et al., "HAT: hardware-aware transformers", ACL 2020), which mFormer
// and ShiftAddNAS use too: the best stay as parents, a fixed number of children comes from mutation
// and from crossover, and what breaks a limit is refused before it is evaluated. First objective
// only.
#include "attune/search/strategies/Generations.h"

namespace attune::search {
namespace {

class Hat final : public Generations {
public:
  explicit Hat(const OptionValues &options)
      : keep(options.at("parents")), mutants(options.at("mutants")),
        crossovers(options.at("crossovers")), mutation(options.at("mutation")) {
    if (mutants + crossovers == 0)
      mutants = 1;
  }

private:
  unsigned firstSize() const override { return keep + mutants + crossovers; }
  unsigned size() const override { return mutants + crossovers; }

  Proposal propose(SearchContext &context, unsigned child) override {
    Rng rng = context.rng();
    int64_t first = -1;
    bool mutant = child < mutants;
    auto draw = [&](Rng &rng) {
      const Member &a = parents[rng.below(parents.size())];
      first = a.id;
      if (mutant)
        return context.space.mutate(rng, a.genes, mutation);
      const Member &b = parents[rng.below(parents.size())];
      return context.space.crossover(rng, a.genes, b.genes);
    };
    std::optional<Genes> genes = context.accept(rng, draw);
    return Proposal::of(std::move(genes), mutant ? "mutation" : "crossover", first);
  }

  void select() override {
    parents.insert(parents.end(), children.begin(), children.end());
    sortByFirstGoal(parents);
    if (parents.size() > keep)
      parents.resize(keep);
  }

  unsigned keep, mutants, crossovers;
  double mutation;
};

} // namespace

std::unique_ptr<Strategy> createHat(const Space &, const OptionValues &options) {
  return std::make_unique<Hat>(options);
}

} // namespace attune::search
