//===- Generations.h - Strategies that go generation by generation ----------------------------===//
//
// Proposes `size` children, waits for their outcomes, lets the strategy select, and starts again.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_STRATEGIES_GENERATIONS_H
#define ATTUNE_SEARCH_STRATEGIES_GENERATIONS_H

#include "attune/search/Strategy.h"

namespace attune::search {

class Generations : public Strategy {
public:
  Proposal ask(SearchContext &context) final;
  void tell(const Candidate &candidate, const Outcome &outcome) final;
  llvm::json::Value save() const final;
  bool load(const llvm::json::Value &state, const Space &space) final;

protected:
  /// Children of the next generation; the first one is random and of its own size.
  virtual unsigned firstSize() const = 0;
  virtual unsigned size() const = 0;
  virtual Proposal propose(SearchContext &context, unsigned child) = 0;
  /// Chooses the parents of the next generation among them and their children.
  virtual void select() = 0;

  std::vector<Member> parents, children;

private:
  unsigned generation = 0, asked = 0, told = 0;
};

} // namespace attune::search
#endif
