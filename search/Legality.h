//===- Legality.h - Hard constraints, before anything is evaluated ----------------------------===//
//
// Every proposal is judged here: conditions of the space, then limits on costs, with the margin
// that the confidence of a constraint demands. A candidate that breaks one is never evaluated.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_LEGALITY_H
#define ATTUNE_SEARCH_LEGALITY_H

#include "attune/search/Cost.h"

#include <unordered_map>

namespace attune::search {

class Legality {
public:
  struct Judgement {
    bool legal = false;
    double violation = 0; ///< sum over constraints, each relative to its limit
    CostVector cost;
    llvm::SmallVector<double, 4> violations; ///< by constraint
    llvm::SmallVector<double, 4> found;      ///< by constraint: the cost with its margin
  };

  /// Fails if a constraint or objective names a cost that no model knows.
  static llvm::Expected<Legality> create(const Space &space, CostModel &model);

  const Judgement &judge(llvm::ArrayRef<int32_t> genes);
  bool legal(llvm::ArrayRef<int32_t> genes) { return judge(genes).legal; }

  /// A legal candidate, found from random ones by changing one gene at a time. If there seems to be
  /// none, the error names the constraint that is hardest to meet and the best value found for it.
  llvm::Expected<Genes> findLegal(uint64_t seed);

  uint64_t judged = 0, refused = 0;
  const Space &space;
  CostModel &model;

private:
  Legality(const Space &space, CostModel &model) : space(space), model(model) {}
  void judgeCosts(Judgement &judgement) const;
  /// Lowers what `measure` gives, one gene at a time, until no change helps.
  Genes descend(Genes from, llvm::function_ref<double(const Judgement &)> measure);
  llvm::Error impossible(llvm::ArrayRef<Genes> starts, const Genes &best);

  std::vector<std::optional<unsigned>> costOf; ///< by constraint
  std::unordered_map<std::string, Judgement> memory;
};

/// Genes as a key of maps.
std::string keyOf(llvm::ArrayRef<int32_t> genes);

} // namespace attune::search
#endif
