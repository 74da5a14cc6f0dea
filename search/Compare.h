//===- Compare.h - Strategies against each other, on a table ----------------------------------===//
//
// On a space of which every result is known, a search can be judged: how many evaluations it takes
// to the best members, what it holds when a budget is spent, how well its ranker orders what it has
// not seen. All in memory; the goal is the first objective, legal members count only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_COMPARE_H
#define ATTUNE_SEARCH_COMPARE_H

#include "attune/search/Setup.h"

namespace attune::search {

/// Every legal member with its first goal, the best first.
class Ranking {
public:
  static llvm::Expected<Ranking> create(const Space &space, Setup &setup);

  size_t size() const { return goals.size(); }
  /// 1 for the best; equal ones share the first of their places.
  size_t rankOf(double goal) const;
  /// The worst goal among the best `count`, and how many are no worse.
  double limitOf(size_t count) const;
  size_t noWorseThan(double goal) const;
  /// Of uniform draws without repetition: the number until one is among the best `count`, and the
  /// best rank of `budget` draws. Medians.
  double randomUntil(size_t count) const;
  double randomRank(size_t budget) const;

  std::vector<Genes> members; ///< in the order of `goals`
  std::vector<double> goals;  ///< ascending: lower is better
};

struct SearchTrial {
  uint64_t untilTop = 0;   ///< evaluations until one of the best was found
  bool found = false;      ///< else the search was given up after `untilTop`
  size_t rankInBudget = 0; ///< of the best when the budget was spent
};
/// One search with the strategy and seed of the space, given up after `most` evaluations.
llvm::Expected<SearchTrial> trySearch(const Space &space, Setup &setup, const Ranking &ranking,
                                      double limit, uint64_t budget, uint64_t most);

/// Kendall's tau-b between what boosted trees that have seen `samples` random members say, and the
/// goals of up to 2,000 members that they have not seen.
double rankerTau(const Space &space, const Ranking &ranking, unsigned samples, uint64_t seed);

} // namespace attune::search
#endif
