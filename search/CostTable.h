//===- CostTable.h - Costs as sums over choices, for training loops ---------------------------===//
//
// A cost that is asked for inside a training loop must be a small formula: a sum of one number per
// choice, which weights or probabilities of the choices can multiply. Variables that matter to each
// other (a number of heads and the kind of attention) share a unit; the elements of a repeat are
// units of their own, and what neighbours add to each other is looked at apart.
//
//   cost(candidate) = base + sum over units of delta[what the unit chose], inactive units left out
//
// and the same as an affine function of the choices of words and the values of numbers.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_COSTTABLE_H
#define ATTUNE_SEARCH_COSTTABLE_H

#include "attune/search/Cost.h"

#include "llvm/ADT/STLExtras.h"

namespace attune::search {

struct CostTableOptions {
  unsigned samples = 1000; ///< random candidates that the sums are held against
  uint64_t seed = 0;
};

class CostTable {
public:
  struct Choice {
    llvm::SmallVector<int32_t, 4> genes; ///< of the unit's variables, in order
    llvm::SmallVector<double, 6> deltas; ///< by cost
  };
  struct Unit {
    std::vector<unsigned> variables;
    unsigned element = 0;
    std::vector<Choice> choices;
  };
  /// What the choices of two neighbouring elements add besides their own.
  struct Transition {
    unsigned unit, from, next, to; ///< unit and its choice, the next unit and its choice
    llvm::SmallVector<double, 6> deltas;
  };
  struct Term {
    unsigned variable, element;
    int32_t choice;                            ///< of words; -1: times the value
    llvm::SmallVector<double, 6> coefficients; ///< by cost
  };
  struct Error {
    double most = 0, mean = 0; ///< relative
  };

  /// Fails if a candidate has no price, or the space has paths or orders.
  static llvm::Expected<CostTable> make(const Space &space, CostModel &model,
                                        const CostTableOptions &options = {});

  /// The sum for a candidate.
  llvm::SmallVector<double, 6> evaluate(llvm::ArrayRef<int32_t> genes) const;
  llvm::SmallVector<double, 6> evaluateAffine(llvm::ArrayRef<int32_t> genes) const;
  llvm::json::Object toJson() const;

  std::vector<std::string> costs;
  llvm::SmallVector<double, 6> base, intercept;
  std::vector<Unit> units;
  std::vector<Transition> transitions;
  std::vector<Term> terms;
  std::vector<Error> tableErrors, affineErrors; ///< by cost

private:
  explicit CostTable(const Space &space) : space(space) {}
  friend class CostTableBuilder;
  /// The variable's gene that an element has; one that is not repeated is its own element.
  static unsigned geneOf(const Variable &variable, unsigned element) {
    return variable.firstGene + (variable.repeated ? element : 0);
  }
  static void add(llvm::SmallVector<double, 6> &sum, llvm::ArrayRef<double> values,
                  double factor = 1) {
    for (auto [total, value] : llvm::zip_equal(sum, values))
      total += factor * value;
  }
  /// What a term's coefficients are multiplied with.
  double factorOf(const Term &term, llvm::ArrayRef<int32_t> genes,
                  const llvm::BitVector &active) const;
  /// Sets `terms` and `intercept` to what explains the costs of these candidates best.
  void fitAffine(llvm::ArrayRef<Genes> candidates,
                 llvm::ArrayRef<llvm::SmallVector<double, 6>> samples);
  const Space &space;
};

} // namespace attune::search
#endif
