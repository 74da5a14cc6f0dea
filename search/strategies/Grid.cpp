// Every member of a space in the order of its numbers; the last variable changes fastest.
#include "attune/search/Strategy.h"

namespace attune::search {
namespace {

class Grid final : public Strategy {
public:
  explicit Grid(const Space &space) : space(space) {}

  Proposal ask(SearchContext &context) override {
    constexpr double kMost = 9007199254740992.0; // numbers are exact below
    for (; next < std::min(space.size(), kMost); ++next) {
      Genes genes = space.canonical(space.fromIndex(next));
      if (!context.seen(genes) && context.legal(genes)) {
        ++next;
        return Proposal::of(genes, "grid");
      }
    }
    return Proposal::done();
  }
  void tell(const Candidate &, const Outcome &) override {}
  llvm::json::Value save() const override { return static_cast<int64_t>(next); }
  bool load(const llvm::json::Value &state, const Space &) override {
    next = state.getAsInteger().value_or(-1);
    return state.getAsInteger().has_value();
  }

private:
  const Space &space;
  uint64_t next = 0;
};

} // namespace

std::unique_ptr<Strategy> createGrid(const Space &space, const OptionValues &) {
  return std::make_unique<Grid>(space);
}

} // namespace attune::search
