//===- Evaluator.h - Where outcomes come from -------------------------------------------------===//
//
// A study starts evaluations and waits for outcomes, in any order; it applies them in the order of
// ids. One thread: an evaluator that works in parallel does so in other processes. An error of
// `start` or `wait` ends the study (what is done is in the journal); a candidate that cannot be
// evaluated is an outcome with status Failed.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_EVALUATOR_H
#define ATTUNE_SEARCH_EVALUATOR_H

#include "attune/search/Candidate.h"
#include "attune/search/Table.h"

#include <deque>
#include <functional>

namespace attune::search {

struct Request {
  uint64_t id = 0;
  Genes genes;
  uint64_t seed = 0;
  /// For each rung of early stopping: the worst value that goes on; none: everything does.
  std::vector<std::optional<double>> thresholds = {};
};

class Evaluator {
public:
  virtual ~Evaluator() = default;
  /// Who evaluates, for the journal: a study is not resumed with another evaluator.
  virtual std::string identity() const = 0;
  /// How many evaluations can be started before one ends.
  virtual unsigned slots() const { return 1; }
  /// Whether outcomes are so cheap that they need not be safe on disk one by one.
  virtual bool cheap() const { return false; }
  virtual llvm::Error start(const Request &request) = 0;
  /// Blocks until something has ended, a signal came or some time has passed: may give nothing.
  virtual llvm::Expected<std::vector<Outcome>> wait() = 0;
};

/// Calls a function of this process.
class CallbackEvaluator : public Evaluator {
public:
  using Function = std::function<Outcome(const Request &)>;
  CallbackEvaluator(std::string name, Function function, bool isCheap = false)
      : name(std::move(name)), function(std::move(function)), isCheap(isCheap) {}
  std::string identity() const override { return name; }
  bool cheap() const override { return isCheap; }
  llvm::Error start(const Request &request) override;
  llvm::Expected<std::vector<Outcome>> wait() override;

private:
  std::string name;
  Function function;
  bool isCheap;
  std::deque<Request> started;
};

/// Looks results up.
class TableEvaluator final : public CallbackEvaluator {
public:
  explicit TableEvaluator(const Table &table);
};

/// The cost columns of a table.
class TableCost final : public CostModel {
public:
  explicit TableCost(const Table &table);
  llvm::ArrayRef<CostName> names() const override { return costNames; }
  llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) override;

private:
  const Table &table;
  std::vector<CostName> costNames;
};

/// Whether a value at a rung is too bad to go on.
bool isTooBad(const Space &space, double value, std::optional<double> threshold);

} // namespace attune::search
#endif
