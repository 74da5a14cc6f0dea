#include "attune/search/Evaluator.h"

namespace attune::search {

llvm::Error CallbackEvaluator::start(const Request &request) {
  started.push_back(request);
  return llvm::Error::success();
}

llvm::Expected<std::vector<Outcome>> CallbackEvaluator::wait() {
  std::vector<Outcome> outcomes;
  if (started.empty())
    return outcomes;
  outcomes.push_back(function(started.front()));
  outcomes.back().id = started.front().id;
  started.pop_front();
  return outcomes;
}

static Outcome look(const Table &table, const Request &request) {
  Outcome outcome;
  const TableRow *row = table.find(request.genes);
  if (!row) {
    outcome.reason = "the table has no such candidate";
    return outcome;
  }
  outcome.status = Status::Ok;
  outcome.seconds = row->seconds;
  for (size_t i = 0; i < table.metrics.size(); ++i)
    outcome.metrics[table.metrics[i]] = Table::mean(row->metrics[i]);
  return outcome;
}

TableEvaluator::TableEvaluator(const Table &table)
    : CallbackEvaluator(
          "table", [&table](const Request &request) { return look(table, request); },
          /*isCheap=*/true) {}

TableCost::TableCost(const Table &table) : table(table) {
  for (const std::string &name : table.costs)
    costNames.push_back({name});
}

llvm::Expected<CostVector> TableCost::estimate(llvm::ArrayRef<int32_t> genes) {
  if (costNames.empty())
    return CostVector();
  const TableRow *row = table.find(genes);
  if (!row)
    return llvm::createStringError("the table has no such candidate");
  CostVector cost;
  cost.values.assign(row->costs.begin(), row->costs.end());
  return cost;
}

bool isTooBad(const Space &space, double value, std::optional<double> threshold) {
  if (!threshold)
    return false;
  for (const Objective &objective : space.objectives)
    if (objective.metric == space.earlyStop->metric && objective.maximise)
      return !(value >= *threshold);
  return !(value <= *threshold);
}

} // namespace attune::search
