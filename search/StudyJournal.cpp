// What a study writes to its journal and how it goes on from there.
#include "attune/search/Study.h"
#include "attune/support/WriteFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <cmath>

namespace attune::search {

using llvm::createStringError;
using llvm::Error;

static llvm::StringRef statusName(Status status) {
  return status == Status::Ok ? "ok" : status == Status::Failed ? "failed" : "stopped";
}

llvm::json::Object toJson(const Outcome &outcome, double at) {
  llvm::json::Object metrics;
  for (const auto &[name, value] : outcome.metrics)
    if (std::isfinite(value)) // JSON has no other numbers
      metrics[name] = value;
  llvm::json::Object line{{"tell", static_cast<int64_t>(outcome.id)},
                          {"status", statusName(outcome.status)},
                          {"metrics", std::move(metrics)},
                          {"seconds", outcome.seconds},
                          {"at", at}};
  if (!outcome.reason.empty())
    line["reason"] = llvm::json::fixUTF8(outcome.reason);
  if (!outcome.rungs.empty())
    line["rungs"] = llvm::json::Array(outcome.rungs);
  return line;
}

std::optional<Outcome> outcomeOf(const llvm::json::Object &line) {
  Outcome outcome;
  std::optional<int64_t> id = line.getInteger("tell");
  std::optional<llvm::StringRef> status = line.getString("status");
  const llvm::json::Object *metrics = line.getObject("metrics");
  if (!id || !status || !metrics)
    return std::nullopt;
  outcome.id = *id;
  outcome.status = *status == "ok"        ? Status::Ok
                   : *status == "stopped" ? Status::Stopped
                                          : Status::Failed;
  for (const auto &[name, value] : *metrics)
    if (std::optional<double> number = value.getAsNumber())
      outcome.metrics[llvm::StringRef(name).str()] = *number;
  outcome.seconds = line.getNumber("seconds").value_or(0);
  outcome.reason = line.getString("reason").value_or("").str();
  if (const llvm::json::Array *rungs = line.getArray("rungs"))
    for (const llvm::json::Value &value : *rungs)
      outcome.rungs.push_back(value.getAsNumber().value_or(0));
  return outcome;
}

std::optional<Genes> genesOf(const llvm::json::Object &line) {
  const llvm::json::Array *list = line.getArray("genes");
  if (!list)
    return std::nullopt;
  Genes genes;
  for (const llvm::json::Value &gene : *list)
    genes.push_back(gene.getAsInteger().value_or(-1));
  return genes;
}

llvm::json::Object Study::header() const {
  llvm::json::Object strategyOptions;
  for (const auto &[name, value] : space.strategy.options)
    strategyOptions[name] = value;
  llvm::json::Array costs, objectives;
  for (const Objective &objective : space.objectives)
    objectives.push_back(llvm::json::Object{{"name", objective.name()},
                                            {"goal", objective.maximise ? "max" : "min"}});
  for (const CostName &name : model.names())
    costs.push_back(name.str());
  llvm::SmallString<128> folder(space.folder);
  (void)llvm::sys::fs::make_absolute(folder);
  return llvm::json::Object{{"attune-study", 1},
                            {"space", space.hash()},
                            {"seed", std::to_string(space.seed)},
                            {"strategy", space.strategy.name},
                            {"options", std::move(strategyOptions)},
                            {"evaluator", evaluator.identity()},
                            {"costs", std::move(costs)},
                            {"cost_model", model.identity()},
                            {"objectives", std::move(objectives)},
                            {"folder", llvm::json::fixUTF8(folder)},
                            {"text", options.spaceText}};
}

/// The header comes last: with it the study is one that can go on.
Error Study::begin() {
  for (const auto &[name, text] : options.files) {
    llvm::SmallString<128> path(options.folder);
    llvm::sys::path::append(path, name);
    if (Error error = writeFile(path, [&](llvm::raw_ostream &os) { os << text; }))
      return error;
  }
  return append(header(), /*sync=*/true);
}

Error Study::checkHeader(const llvm::json::Object &found) const {
  if (found.getInteger("attune-study") != 1)
    return createStringError("the journal is not of an attune-study of version 1");
  llvm::json::Object own = header();
  for (const char *key :
       {"space", "seed", "strategy", "options", "evaluator", "costs", "cost_model"}) {
    const llvm::json::Value *value = found.get(key);
    if (value && *value == *own.get(key))
      continue;
    std::string text;
    llvm::raw_string_ostream os(text);
    os << "the study in " << options.folder << " has another " << key << ": ";
    if (value)
      os << *value;
    else
      os << "none";
    os << ", here it is " << *own.get(key) << "; nothing was changed";
    if (llvm::StringRef(key) == "cost_model")
      os << ". Prices follow from the calibration, whose file ATTUNE_CALIBRATION names";
    return createStringError(text);
  }
  return Error::success();
}

Error Study::writeCheckpoint(const SearchContext &context) {
  llvm::json::Value state = strategy.save();
  if (state.getAsNull())
    return Error::success();
  return append(
      llvm::json::Object{
          {"checkpoint", static_cast<int64_t>(result.told)},
          {"next", static_cast<int64_t>(context.nextId)},
          {"first", static_cast<int64_t>(flying.empty() ? context.nextId : flying.begin()->first)},
          {"state", std::move(state)}},
      /*sync=*/false);
}

Error Study::replay(SearchContext &context, const JournalContent &content) {
  if (Error error = checkHeader(content.lines.front()))
    return error;
  const llvm::json::Object *checkpoint = nullptr;
  for (const llvm::json::Object &line : llvm::drop_begin(content.lines)) {
    if (std::optional<int64_t> id = line.getInteger("ask")) {
      std::optional<Genes> genes = genesOf(line);
      if (!genes || !space.contains(*genes))
        return createStringError("the journal is damaged: candidate " + llvm::Twine(*id) +
                                 " has no genes of this space");
      Written &written = journaledAsks[*id];
      written.genes = std::move(*genes);
      if (const llvm::json::Array *thresholds = line.getArray("thresholds"))
        for (const llvm::json::Value &value : *thresholds)
          written.thresholds.push_back(value.getAsNumber());
    } else if (line.get("tell")) {
      std::optional<Outcome> outcome = outcomeOf(line);
      if (!outcome)
        return createStringError("the journal is damaged: an outcome cannot be read");
      before = std::max(before, line.getNumber("at").value_or(0));
      arrived[outcome->id] = std::move(*outcome);
    } else if (line.get("checkpoint")) {
      checkpoint = &line;
    }
  }
  // Goals are not in the journal: they follow from metrics and costs.
  for (auto &[id, outcome] : arrived) {
    auto genes = journaledAsks.find(id);
    if (genes == journaledAsks.end())
      return createStringError("the journal is damaged: outcome " + llvm::Twine(id) +
                               " has no candidate");
    const Genes &known = genes->second.genes;
    Candidate candidate{id, known, -1, {}, legality->judge(known).cost};
    if (candidate.cost.values.size() != model.names().size())
      return createStringError("candidate " + llvm::Twine(id) + " of the journal has no price now");
    outcome = judged(space, model, candidate, std::move(outcome));
  }
  return checkpoint ? restore(context, *checkpoint) : Error::success();
}

/// Everything up to the checkpoint is as it was: told outcomes are noted, the strategy's state is
/// loaded, and what was in flight is in flight again.
Error Study::restore(SearchContext &context, const llvm::json::Object &checkpoint) {
  std::optional<int64_t> next = checkpoint.getInteger("next"),
                         first = checkpoint.getInteger("first");
  const llvm::json::Value *state = checkpoint.get("state");
  auto damaged = [] {
    return createStringError("the journal is damaged: a checkpoint cannot be read");
  };
  if (!next || !first || !state || !strategy.load(*state, space))
    return damaged();
  for (int64_t id = 0; id < *first; ++id) {
    auto genes = journaledAsks.find(id);
    if (genes == journaledAsks.end())
      return damaged();
    const Genes &known = genes->second.genes;
    std::string key = keyOf(known);
    Candidate candidate{static_cast<uint64_t>(id), known, -1, {}, legality->judge(known).cost};
    context.asked.insert(key);
    if (done.count(key)) {
      ++result.repeated;
      continue;
    }
    auto outcome = arrived.find(id);
    if (outcome == arrived.end())
      return damaged();
    note(outcome->second, candidate);
    done.emplace(std::move(key), std::move(outcome->second));
    arrived.erase(outcome);
  }
  context.nextId = *first;
  for (int64_t id = *first; id < *next; ++id) {
    if (!journaledAsks.count(id))
      return damaged();
    if (Error error = enter(context, Proposal::of(journaledAsks.at(id).genes, "resumed")))
      return error;
  }
  return Error::success();
}

} // namespace attune::search
