// Sampling from tiers of quality, after NAR, the neural architecture ranker (arXiv 2201.12725).
// Outcomes are cut into five tiers; where the best and the worst tier differ in how often they use
// the values of a gene, samples follow the best tier, elsewhere they are uniform; limits on costs
// are drawn from the best tier likewise. Part of the pool stays uniform. The published ranker is a
// transformer; here boosted trees rank the pool, so that nothing but this library is needed.
#include "attune/search/strategies/Ranked.h"

#include <cmath>

namespace attune::search {
namespace {

class Tiers final : public Ranked {
public:
  Tiers(const Space &space, const OptionValues &options)
      : Ranked(space, options), noise(options.at("noise")), divergence(options.at("divergence")) {}

private:
  static constexpr size_t kTiers = 5;

  void study(const std::vector<Member> &sorted, const RankTrees &) override {
    size_t size = std::max<size_t>(1, sorted.size() / kTiers);
    top.assign(sorted.begin(), sorted.begin() + size);
    llvm::ArrayRef<Member> low = llvm::ArrayRef(sorted).take_back(size);
    steered.assign(space.geneCount(), false);
    for (unsigned gene = 0; gene < space.geneCount(); ++gene) {
      std::vector<double> inTop = histogram(top, gene), inLow = histogram(low, gene);
      double distance = 0;
      for (size_t choice = 0; choice < inTop.size(); ++choice)
        distance += inLow[choice] * std::log(inLow[choice] / inTop[choice]);
      steered[gene] = distance > divergence;
    }
  }

  /// How often each choice is used; one more of each, so that none is impossible.
  std::vector<double> histogram(llvm::ArrayRef<Member> members, unsigned gene) const {
    std::vector<double> counts(space.choices(gene), 1);
    for (const Member &member : members)
      ++counts[member.genes[gene]];
    for (double &count : counts)
      count /= members.size() + space.choices(gene);
    return counts;
  }

  Genes draw(Rng &rng, SearchContext &context) override {
    Genes genes = space.sample(rng);
    if (rng.uniform() < noise)
      return genes;
    constexpr unsigned kTrials = 100;
    // Limits: one member of the best tier must not be exceeded in any cost.
    const Legality::Judgement limits = context.legality.judge(top[rng.below(top.size())].genes);
    for (unsigned trial = 0; trial < kTrials; ++trial) {
      for (const Variable &variable : space.variables) {
        const Genes &whole = top[rng.below(top.size())].genes;
        for (unsigned gene = variable.firstGene; gene < variable.firstGene + variable.geneCount;
             ++gene)
          if (steered[gene])
            genes[gene] = variable.path || variable.isOrder() ? whole[gene] : choose(rng, gene);
      }
      genes = space.canonical(genes);
      if (space.contains(genes) && within(context.legality.judge(genes), limits))
        return genes;
      genes = space.sample(rng);
    }
    return genes;
  }

  int32_t choose(Rng &rng, unsigned gene) const {
    // A member or, as often as one member is, any value.
    uint32_t index = rng.below(top.size() + 1);
    return index < top.size() ? top[index].genes[gene] : rng.below(space.choices(gene));
  }

  static bool within(const Legality::Judgement &found, const Legality::Judgement &limits) {
    for (size_t i = 0; i < found.cost.values.size() && i < limits.cost.values.size(); ++i)
      if (found.cost.values[i] > limits.cost.values[i])
        return false;
    return true;
  }

  double noise, divergence;
  std::vector<Member> top;
  std::vector<bool> steered; ///< by gene
};

} // namespace

std::unique_ptr<Strategy> createTiers(const Space &space, const OptionValues &options) {
  return std::make_unique<Tiers>(space, options);
}

} // namespace attune::search
