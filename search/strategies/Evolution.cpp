// Regularised evolution (Real et al., "Regularized evolution for image classifier architecture
// search", AAAI 2019): the best of a random few is mutated in one gene; the oldest member dies. It
// follows the first objective; the others are limited by constraints.
#include "attune/search/Strategy.h"

namespace attune::search {
namespace {

class Evolution final : public Strategy {
public:
  explicit Evolution(const OptionValues &options)
      : size(options.at("population")), sample(options.at("sample")) {}

  Proposal ask(SearchContext &context) override {
    Rng rng = context.rng();
    // Members are missing at first, or where evaluations failed.
    if (context.nextId < size || members.empty())
      return Proposal::of(context.acceptRandom(rng), "random");
    const Member *parent = nullptr;
    auto mutate = [&](Rng &rng) {
      parent = nullptr;
      for (unsigned i = 0; i < sample; ++i) {
        const Member &member = members[rng.below(members.size())];
        if (!parent || member.goals[0] < parent->goals[0])
          parent = &member;
      }
      return context.space.mutateOne(rng, parent->genes);
    };
    std::optional<Genes> child = context.accept(rng, mutate);
    return Proposal::of(std::move(child), "mutation", parent->id);
  }

  void tell(const Candidate &candidate, const Outcome &outcome) override {
    if (outcome.status != Status::Ok)
      return;
    members.push_back({candidate.id, candidate.genes, outcome.goals});
    if (members.size() > size)
      members.erase(members.begin());
  }

  llvm::json::Value save() const override { return toJson(members); }
  bool load(const llvm::json::Value &state, const Space &space) override {
    return fromJson(&state, space, space.objectives.size(), members);
  }

private:
  unsigned size, sample;
  std::vector<Member> members; ///< oldest first
};

} // namespace

std::unique_ptr<Strategy> createEvolution(const Space &, const OptionValues &options) {
  return std::make_unique<Evolution>(options);
}

} // namespace attune::search
