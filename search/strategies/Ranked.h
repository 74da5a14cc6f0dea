//===- Ranked.h - Strategies with a learned ranker --------------------------------------------===//
//
// Random candidates first; then, batch by batch: fit the ranker on all outcomes so far, draw a pool
// of new legal candidates as the strategy says, and queue those that rank best. A fit uses the
// outcomes that are told, it does not wait for those that are missing.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_STRATEGIES_RANKED_H
#define ATTUNE_SEARCH_STRATEGIES_RANKED_H

#include "attune/search/Strategy.h"
#include "attune/search/Trees.h"

namespace attune::search {

class Ranked : public Strategy {
public:
  Ranked(const Space &space, const OptionValues &options);
  Proposal ask(SearchContext &context) final;
  void tell(const Candidate &candidate, const Outcome &outcome) final;
  llvm::json::Value save() const final;
  bool load(const llvm::json::Value &state, const Space &space) final;

protected:
  /// Learns what it needs for a pool from the data (sorted, the best first) and the fitted trees.
  virtual void study(const std::vector<Member> &sorted, const RankTrees &trees) = 0;
  /// One member of the pool; may be illegal or known.
  virtual Genes draw(Rng &rng, SearchContext &context) = 0;

  const Space &space;
  Features features;

private:
  void refill(SearchContext &context);

  unsigned initial, batch, pool, trees;
  std::vector<Member> data, queue; ///< queue: genes only, the next one last
};

} // namespace attune::search
#endif
