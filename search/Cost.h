//===- Cost.h - What a candidate costs, without evaluating it ---------------------------------===//
//
// Constraints and cheap objectives ask a CostModel: closed forms of the space file, columns of a
// stored table, or a template that builds the candidate and asks the compiler's cost oracle. It is
// asked for every proposal, before anything is trained: 100,000 times in a search is ordinary.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_COST_H
#define ATTUNE_SEARCH_COST_H

#include "attune/search/Space.h"

namespace attune::search {

struct CostVector {
  llvm::SmallVector<double, 6> values; ///< in the order of CostModel::names()
  double sigma = 0; ///< relative standard deviation of the values that are estimates (see `exact`)
};

class CostModel {
public:
  virtual ~CostModel() = default;
  /// `latency_ms`, `params`, `flops`, `peak_mb`, `energy_mj`, or names of the space's own.
  virtual llvm::ArrayRef<CostName> names() const = 0;
  /// What the numbers stand on, for the journal: with other numbers a study cannot go on.
  virtual std::string identity() const { return ""; }
  /// Of canonical genes. An error means that this candidate has no price and is refused.
  virtual llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) = 0;
  /// The price of a candidate of which one gene is changed, as evolution asks; the same as that of
  /// the changed candidate.
  llvm::Expected<CostVector> delta(const Space &space, llvm::ArrayRef<int32_t> genes, unsigned gene,
                                   int32_t choice);
  /// Whether a value is counted, not estimated: then sigma does not apply to it.
  virtual bool exact(unsigned cost) const { return true; }
};

/// The closed forms of a space file.
class ClosedFormCost final : public CostModel {
public:
  explicit ClosedFormCost(const Space &space);
  llvm::ArrayRef<CostName> names() const override { return costNames; }
  llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) override;

private:
  const Space &space;
  std::vector<CostName> costNames;
};

/// Several models as one; of costs with the same name the first model's counts.
class CombinedCost final : public CostModel {
public:
  explicit CombinedCost(std::vector<CostModel *> models);
  llvm::ArrayRef<CostName> names() const override { return costNames; }
  std::string identity() const override;
  llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) override;
  bool exact(unsigned cost) const override;

private:
  std::vector<CostModel *> models;
  std::vector<std::pair<unsigned, unsigned>> sources; ///< (model, its cost)
  std::vector<CostName> costNames;
};

/// The position of a cost; threads count only where both say them.
std::optional<unsigned> findCost(const CostModel &model, const CostName &name);

} // namespace attune::search
#endif
