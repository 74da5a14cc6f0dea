//===- Setup.h - The parts that a space file asks for -----------------------------------------===//
//
// Makes the evaluator, the cost model and the strategy of a space file, and keeps them alive.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_SETUP_H
#define ATTUNE_SEARCH_SETUP_H

#include "attune/search/NasBench.h"
#include "attune/search/Strategy.h"

namespace attune::search {

struct SetupOptions {
  unsigned workers = 1;
  std::string logFolder; ///< for what workers write to standard error
  /// Makes the cost model of `template`; without it templates are refused.
  std::function<llvm::Expected<std::unique_ptr<CostModel>>(const Space &)> templateCost = {};
};

class Setup {
public:
  /// Errors name what the space file asks for and what there is.
  static llvm::Expected<std::unique_ptr<Setup>> create(const Space &space, SetupOptions options);

  CostModel &cost() { return *combined; }
  Evaluator &evaluator() { return *theEvaluator; }
  Strategy &strategy() { return *theStrategy; }
  /// Of the evaluators `table` and `synthetic`, else null.
  const Table *storedTable() const { return table ? &*table : nullptr; }

private:
  explicit Setup(const Space &space) : space(space) {}
  llvm::Error makeEvaluator(const SetupOptions &options);
  llvm::Error readTable();
  llvm::Error makeSynthetic();
  llvm::Error readBench();
  llvm::Error check(std::initializer_list<llvm::StringRef> accepted) const;
  llvm::Expected<double> number(llvm::StringRef name, double otherwise, double least,
                                double most) const;
  llvm::Expected<std::string> file() const;

  const Space &space;
  std::optional<Table> table;
  std::optional<NasBench101> bench;
  std::vector<std::unique_ptr<CostModel>> models;
  std::unique_ptr<CombinedCost> combined;
  std::unique_ptr<Evaluator> theEvaluator;
  std::unique_ptr<Strategy> theStrategy;
};

} // namespace attune::search
#endif
