// Costs, constraints, objectives, budget, strategy and evaluator of a space file.
#include "attune/search/SpaceReader.h"

#include <cmath>

namespace attune::search {

using llvm::Error;

Error SpaceReader::readClosedForm(const Node &node) {
  if (Error error = document.expectMap(node, "a cost", {"name", "expr"}))
    return error;
  std::string name;
  if (Error error = newName(node, "a cost", name))
    return error;
  auto text = document.required(node, "expr", "the cost `" + name + "`");
  if (!text)
    return text.takeError();
  auto form = expression(**text, "`expr`");
  if (!form)
    return form.takeError();
  if (form->isArray() || !form->isNumber())
    return document.error(**text, "a cost is one number; sum(...) makes one of an array");
  identity += "cost " + name + " " + form->text().str() + "\n";
  space.costs.push_back({name, std::move(*form)});
  return Error::success();
}

llvm::Expected<CostName> SpaceReader::readCostName(const Node &node) {
  CostName cost;
  auto name = document.text(*node.find("cost"), "`cost`");
  if (!name)
    return name.takeError();
  cost.name = *name;
  if (const Node *threads = node.find("threads")) {
    auto count = document.integer(*threads, "`threads`", 1, 1024);
    if (!count)
      return count.takeError();
    cost.threads = *count;
  }
  if (const Node *target = node.find("target"); target && target->text != "cpu")
    return document.error(*target, "unsupported: target `" + target->text + "`; accepted: cpu");
  return cost;
}

/// How many standard deviations hold with this probability (one side): the inverse of the normal
/// distribution by bisection.
static double deviations(double confidence) {
  double low = 0, high = 8;
  for (int i = 0; i < 60; ++i) {
    double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < confidence ? low : high) = middle;
  }
  return (low + high) / 2;
}

Error SpaceReader::readConstraint(const Node &node) {
  if (Error error = document.expectMap(
          node, "a constraint", {"cost", "le", "ge", "target", "threads", "confidence", "expr"}))
    return error;
  Constraint constraint;
  const Node *cost = node.find("cost"), *condition = node.find("expr");
  if (!cost == !condition)
    return document.error(node, "a constraint has either `cost` or `expr`");
  if (condition) {
    if (node.keys.size() > 1)
      return document.error(node, "a constraint with `expr` has no other key");
    auto parsed = expression(*condition, "`expr`");
    if (!parsed)
      return parsed.takeError();
    if (parsed->isArray() || !parsed->isTruth())
      return document.error(*condition, "a constraint is one condition; any(...) and all(...) make "
                                        "one of an array");
    constraint.expression = std::move(*parsed);
  } else {
    auto name = readCostName(node);
    if (!name)
      return name.takeError();
    constraint.cost = *name;
    for (auto [key, bound] : {std::pair("le", &constraint.atMost), {"ge", &constraint.atLeast}})
      if (const Node *limit = node.find(key)) {
        auto number = document.number(*limit, "a limit");
        if (!number)
          return number.takeError();
        *bound = *number;
      }
    if (!constraint.atMost && !constraint.atLeast)
      return document.error(node,
                            "a constraint on a cost has `le` (at most), `ge` (at least), or both");
    if (const Node *confidence = node.find("confidence")) {
      auto number = document.number(*confidence, "`confidence`");
      if (!number)
        return number.takeError();
      if (*number < 0.5 || *number >= 1)
        return document.error(*confidence, "`confidence` is a probability from 0.5 to below 1");
      constraint.z = deviations(*number);
    }
  }
  identity += "constraint " + constraint.text() + " " + spelled(constraint.z) + "\n";
  space.constraints.push_back(std::move(constraint));
  return Error::success();
}

Error SpaceReader::readObjective(const Node &node) {
  if (Error error = document.expectMap(node, "an objective",
                                       {"metric", "cost", "goal", "target", "threads", "epsilon"}))
    return error;
  Objective objective;
  const Node *metric = node.find("metric"), *cost = node.find("cost"), *goal = node.find("goal");
  if (!metric == !cost)
    return document.error(node, "an objective has either `metric` (of the evaluator) or `cost`");
  if (metric) {
    auto name = document.text(*metric, "`metric`");
    if (!name)
      return name.takeError();
    if (name->empty())
      return document.error(*metric, "`metric` is empty");
    objective.metric = *name;
  } else {
    auto name = readCostName(node);
    if (!name)
      return name.takeError();
    objective.cost = *name;
  }
  if (!goal || (goal->text != "min" && goal->text != "max"))
    return document.error(goal ? *goal : node, "an objective has `goal`: min or max");
  objective.maximise = goal->text == "max";
  if (const Node *epsilon = node.find("epsilon")) {
    auto size = document.number(*epsilon, "`epsilon`");
    if (!size)
      return size.takeError();
    if (*size < 0)
      return document.error(*epsilon, "`epsilon` is at least 0");
    objective.epsilon = *size;
  }
  for (const Objective &other : space.objectives)
    if (other.name() == objective.name())
      return document.error(node, "the objective `" + objective.name() + "` is given twice");
  if (space.objectives.size() == 4)
    return document.error(node, "more than 4 objectives");
  identity +=
      "objective " + objective.name() + " " + goal->text + " " + spelled(objective.epsilon) + "\n";
  space.objectives.push_back(objective);
  return Error::success();
}

Error SpaceReader::readBudget(const Node &node) {
  if (Error error = document.expectMap(node, "`budget`", {"evals", "seconds"}))
    return error;
  if (const Node *evals = node.find("evals")) {
    auto count = document.integer(*evals, "`evals`", 1, INT64_C(1) << 40);
    if (!count)
      return count.takeError();
    space.evals = *count;
  }
  if (const Node *seconds = node.find("seconds")) {
    auto limit = document.number(*seconds, "`seconds`");
    if (!limit)
      return limit.takeError();
    if (*limit <= 0)
      return document.error(*seconds, "`seconds` is above 0");
    space.seconds = *limit;
  }
  return Error::success();
}

Error SpaceReader::readEarlyStop(const Node &node) {
  if (Error error = document.expectMap(node, "`early_stop`", {"metric", "rungs", "keep", "after"}))
    return error;
  EarlyStop stop;
  auto metric = document.required(node, "metric", "`early_stop`");
  if (!metric)
    return metric.takeError();
  const Objective *objective = nullptr;
  for (const Objective &candidate : space.objectives)
    if (candidate.metric == (*metric)->text && !candidate.metric.empty())
      objective = &candidate;
  if (!objective)
    return document.error(**metric, "`metric` of `early_stop` is a metric among the objectives");
  stop.metric = objective->metric;
  auto rungs = document.required(node, "rungs", "`early_stop`");
  if (!rungs)
    return rungs.takeError();
  if (Error error = document.expectList(**rungs, "`rungs`"))
    return error;
  for (const Node &item : (*rungs)->items) {
    auto step = document.number(item, "a rung");
    if (!step)
      return step.takeError();
    if (!stop.rungs.empty() && *step <= stop.rungs.back())
      return document.error(item, "`rungs` go upwards");
    stop.rungs.push_back(*step);
  }
  if (const Node *keep = node.find("keep")) {
    auto share = document.number(*keep, "`keep`");
    if (!share)
      return share.takeError();
    if (*share <= 0 || *share >= 1)
      return document.error(*keep, "`keep` is a share between 0 and 1");
    stop.keep = *share;
  }
  if (const Node *after = node.find("after")) {
    auto count = document.integer(*after, "`after`", 1, 1 << 20);
    if (!count)
      return count.takeError();
    stop.after = *count;
  }
  identity += "early_stop " + stop.metric;
  for (double rung : stop.rungs)
    identity += " " + spelled(rung);
  identity += " " + spelled(stop.keep) + " " + std::to_string(stop.after) + "\n";
  space.earlyStop = stop;
  return Error::success();
}

Error SpaceReader::readSpec(const Node &node, llvm::StringRef what, Spec &spec) {
  if (node.kind == Node::Kind::Scalar) {
    spec.name = node.text;
    return Error::success();
  }
  if (node.kind != Node::Kind::Map)
    return document.error(node, what + " is a name, or a map with `name` and its options");
  auto name = document.required(node, "name", what);
  if (!name)
    return name.takeError();
  spec.name = (*name)->text;
  for (size_t i = 0; i < node.items.size(); ++i) {
    if (node.keys[i].text == "command") {
      if (Error error = document.expectList(node.items[i], "`command`"))
        return error;
      for (const Node &word : node.items[i].items) {
        auto text = document.text(word, "a word of `command`");
        if (!text)
          return text.takeError();
        spec.command.push_back(*text);
      }
      continue;
    }
    auto text = document.text(node.items[i], "an option");
    if (!text)
      return text.takeError();
    if (node.keys[i].text != "name")
      spec.options[node.keys[i].text] = *text;
  }
  return Error::success();
}

} // namespace attune::search
