//===- Trees.h - Small gradient-boosted trees -------------------------------------------------===//
//
// Trees boosted on pairs: of two rows the better one shall score higher (logistic loss, as RankNAS
// ranks architectures: Hu et al., 2021). For some hundred rows of small whole numbers, which is
// what a search has; fits and scores are the same on every machine.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TREES_H
#define ATTUNE_SEARCH_TREES_H

#include "attune/search/Space.h"
#include "attune/support/BoostedTree.h"

namespace attune::search {

/// Genes as features: one per choice of a categorical gene, one per gene with an order, coordinates
/// of paths; -1 for what is inactive.
class Features {
public:
  explicit Features(const Space &space);
  using Row = BoostedTree::Row;
  Row row(llvm::ArrayRef<int32_t> genes) const;
  size_t size() const { return variables.size(); }
  unsigned variableOf(unsigned feature) const { return variables[feature]; }

private:
  const Space &space;
  std::vector<unsigned> variables; ///< of every feature
};

class RankTrees {
public:
  struct Options {
    unsigned trees = 100;
    double rate = 0.1;
  };
  /// `goals`: lower is better.
  static RankTrees fit(llvm::ArrayRef<Features::Row> rows, llvm::ArrayRef<double> goals,
                       Options options, Rng rng);
  /// Higher is better.
  double score(llvm::ArrayRef<int16_t> row) const;
  /// The share of every feature in what the splits gained.
  std::vector<double> importance(size_t features) const;

private:
  std::vector<BoostedTree> trees;
};

} // namespace attune::search
#endif
