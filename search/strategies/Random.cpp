// Uniform samples: the baseline of every claim.
#include "attune/search/Strategy.h"

namespace attune::search {
namespace {

class Random final : public Strategy {
public:
  Proposal ask(SearchContext &context) override {
    Rng rng = context.rng();
    return Proposal::of(context.acceptRandom(rng), "random");
  }
  void tell(const Candidate &, const Outcome &) override {}
  llvm::json::Value save() const override { return true; } // nothing to remember
  bool load(const llvm::json::Value &, const Space &) override { return true; }
};

} // namespace

std::unique_ptr<Strategy> createRandom(const Space &, const OptionValues &) {
  return std::make_unique<Random>();
}

} // namespace attune::search
