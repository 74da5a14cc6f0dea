// NSGA-II (Deb et al., 2002): several objectives at once. Parents win tournaments by front, then by
// crowding; the best of parents and children survive.
#include "attune/search/Pareto.h"
#include "attune/search/strategies/Generations.h"

#include <numeric>

namespace attune::search {
namespace {

class Nsga2 final : public Generations {
public:
  Nsga2(const Space &space, const OptionValues &options)
      : count(options.at("population")), crossover(options.at("crossover")),
        mutation(options.at("mutation")) {
    if (mutation == 0)
      mutation = 1.0 / space.geneCount();
  }

private:
  unsigned firstSize() const override { return count; }
  unsigned size() const override { return count; }

  static void sortByRank(std::vector<Member> &members) {
    std::vector<Goals> goals;
    for (const Member &member : members)
      goals.push_back(member.goals);
    std::vector<unsigned> fronts = frontOf(goals), order(members.size());
    std::vector<double> distance = crowding(goals, fronts);
    std::iota(order.begin(), order.end(), 0);
    llvm::sort(order, [&](unsigned a, unsigned b) {
      return std::tuple(fronts[a], -distance[a], a) < std::tuple(fronts[b], -distance[b], b);
    });
    std::vector<Member> sorted;
    for (unsigned i : order)
      sorted.push_back(std::move(members[i]));
    members = std::move(sorted);
  }

  Proposal propose(SearchContext &context, unsigned) override {
    Rng rng = context.rng();
    int64_t first = -1;
    bool crossed = false;
    auto draw = [&](Rng &rng) {
      // Parents are sorted, so the smaller place wins.
      auto tournament = [&]() -> const Member & {
        uint32_t a = rng.below(parents.size()), b = rng.below(parents.size());
        return parents[std::min(a, b)];
      };
      const Member &a = tournament();
      first = a.id;
      crossed = rng.uniform() < crossover;
      Genes genes = crossed ? context.space.crossover(rng, a.genes, tournament().genes) : a.genes;
      return context.space.mutate(rng, genes, mutation);
    };
    std::optional<Genes> child = context.accept(rng, draw);
    return Proposal::of(std::move(child), crossed ? "crossover" : "mutation", first);
  }

  void select() override {
    parents.insert(parents.end(), children.begin(), children.end());
    sortByRank(parents);
    if (parents.size() > count)
      parents.resize(count);
  }

  unsigned count;
  double crossover, mutation;
};

} // namespace

std::unique_ptr<Strategy> createNsga2(const Space &space, const OptionValues &options) {
  return std::make_unique<Nsga2>(space, options);
}

} // namespace attune::search
