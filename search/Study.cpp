#include "attune/search/Study.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace attune::search {

using llvm::createStringError;
using llvm::Error;

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Study::elapsed() const { return before + now() - started; }

Outcome judged(const Space &space, const CostModel &model, const Candidate &candidate,
               Outcome outcome) {
  outcome.id = candidate.id;
  outcome.goals.clear();
  if (outcome.status != Status::Ok)
    return outcome;
  for (const Objective &objective : space.objectives) {
    double value;
    if (objective.metric.empty()) {
      value = candidate.cost.values[*findCost(model, objective.cost)];
    } else {
      auto metric = outcome.metrics.find(objective.metric);
      if (metric == outcome.metrics.end() || !std::isfinite(metric->second)) {
        outcome.status = Status::Failed;
        outcome.reason = "the metric `" + objective.metric + "` is " +
                         (metric == outcome.metrics.end() ? "missing" : "not a finite number");
        outcome.goals.clear();
        return outcome;
      }
      value = metric->second;
    }
    outcome.goals.push_back(objective.maximise ? -value : value);
  }
  return outcome;
}

Error Study::append(const llvm::json::Value &line, bool sync) {
  if (!journal)
    return Error::success();
  if (Error error = journal->append(line, sync))
    return createStringError(llvm::toString(std::move(error)) +
                             ". What was written before is safe: `--resume` goes on from there");
  return Error::success();
}

/// For every rung the value that the kept share of results reaches, of the outcomes told so far.
std::vector<std::optional<double>> Study::thresholdsNow() const {
  std::vector<std::optional<double>> thresholds;
  if (!space.earlyStop)
    return thresholds;
  bool maximise = llvm::any_of(space.objectives, [&](const Objective &objective) {
    return objective.metric == space.earlyStop->metric && objective.maximise;
  });
  for (const std::vector<double> &values : rungValues) {
    if (values.size() < space.earlyStop->after) {
      thresholds.push_back(std::nullopt);
      continue;
    }
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    if (maximise)
      std::reverse(sorted.begin(), sorted.end());
    auto kept = static_cast<size_t>(std::ceil(space.earlyStop->keep * sorted.size()));
    thresholds.push_back(sorted[std::min(kept, sorted.size()) - 1]);
  }
  return thresholds;
}

Error Study::enter(SearchContext &context, Proposal proposal) {
  Asked asked;
  asked.candidate = {context.nextId++,
                     space.canonical(proposal.genes),
                     proposal.parent,
                     std::move(proposal.origin),
                     {}};
  asked.candidate.cost = legality->judge(asked.candidate.genes).cost;
  asked.thresholds = thresholdsNow();
  uint64_t id = asked.candidate.id;
  std::string key = keyOf(asked.candidate.genes);
  auto written = journaledAsks.find(id);
  if (written != journaledAsks.end() && written->second.genes != asked.candidate.genes)
    return createStringError("the study cannot be resumed: candidate " + llvm::Twine(id) +
                             " is not the one in the journal (another version of attune, or "
                             "another cost model?)");
  if (written != journaledAsks.end()) {
    asked.thresholds = written->second.thresholds;
  } else {
    llvm::json::Object line{{"ask", static_cast<int64_t>(id)},
                            {"genes", llvm::json::Array(asked.candidate.genes)},
                            {"origin", asked.candidate.origin}};
    if (asked.candidate.parent >= 0)
      line["parent"] = asked.candidate.parent;
    if (!asked.candidate.cost.values.empty())
      line["cost"] = llvm::json::Array(asked.candidate.cost.values);
    if (!asked.thresholds.empty())
      line["thresholds"] = llvm::json::Array(asked.thresholds);
    if (Error error = append(std::move(line), /*sync=*/false))
      return error;
  }
  auto earlier = flyingByGenes.find(key);
  if (done.count(key) || earlier != flyingByGenes.end()) {
    ++result.repeated;
    asked.sameAs = earlier != flyingByGenes.end() ? earlier->second : id;
  } else {
    flyingByGenes[key] = id;
    if (!arrived.count(id))
      waiting.push_back(id);
  }
  context.asked.insert(std::move(key));
  flying.emplace(id, std::move(asked));
  return Error::success();
}

Error Study::fill(SearchContext &context) {
  // A strategy that only repeats itself has nothing left to say.
  constexpr uint64_t kMostRepeated = 1000;
  while (!noMore && flying.size() < space.window) {
    if (context.nextId - result.repeated >= space.evals) {
      result.end = StudyResult::End::Budget;
      noMore = true;
    } else if (space.seconds > 0 && elapsed() >= space.seconds) {
      result.end = StudyResult::End::Time;
      noMore = true;
    } else {
      Proposal proposal = strategy.ask(context);
      if (proposal.kind == Proposal::Kind::Wait) {
        if (flying.empty())
          return createStringError("the strategy waits for outcomes, and none is missing");
        return Error::success();
      }
      if (proposal.kind == Proposal::Kind::Failed)
        return createStringError("the strategy `" + space.strategy.name +
                                 "` cannot go on: " + proposal.origin);
      if (proposal.kind == Proposal::Kind::Done || result.repeated > kMostRepeated) {
        result.end = StudyResult::End::Exhausted;
        noMore = true;
      } else if (Error error = enter(context, std::move(proposal))) {
        return error;
      }
    }
  }
  return Error::success();
}

Error Study::startWaiting() {
  while (!waiting.empty() && evaluating < evaluator.slots()) {
    const Asked &asked = flying.at(waiting.front());
    waiting.pop_front();
    if (Error error = evaluator.start(
            {asked.candidate.id, asked.candidate.genes, space.seed, asked.thresholds}))
      return error;
    ++evaluating;
  }
  return Error::success();
}

Error Study::receive() {
  auto outcomes = evaluator.wait();
  if (!outcomes)
    return outcomes.takeError();
  for (Outcome &raw : *outcomes) {
    --evaluating;
    Outcome outcome = judged(space, model, flying.at(raw.id).candidate, std::move(raw));
    if (Error error = append(toJson(outcome, elapsed()), /*sync=*/!evaluator.cheap()))
      return error;
    arrived[outcome.id] = std::move(outcome);
  }
  return Error::success();
}

void Study::note(const Outcome &outcome, const Candidate &candidate) {
  ++result.told;
  result.ok += outcome.status == Status::Ok;
  result.stopped += outcome.status == Status::Stopped;
  if (outcome.status == Status::Failed) {
    ++result.failed;
    result.lastFailure = outcome.reason;
  }
  rungValues.resize(space.earlyStop ? space.earlyStop->rungs.size() : 0);
  for (size_t rung = 0; rung < outcome.rungs.size() && rung < rungValues.size(); ++rung)
    rungValues[rung].push_back(outcome.rungs[rung]);
  if (outcome.status == Status::Ok)
    result.archive.add({outcome.id, candidate.genes, outcome.goals});
}

Error Study::apply() {
  while (!flying.empty()) {
    auto first = flying.begin();
    const Asked &asked = first->second;
    std::string key = keyOf(asked.candidate.genes);
    Outcome outcome;
    if (asked.sameAs) {
      outcome = done.at(key);
      outcome.id = asked.candidate.id;
      outcome.rungs.clear();
    } else if (auto found = arrived.find(first->first); found != arrived.end()) {
      outcome = std::move(found->second);
      arrived.erase(found);
      flyingByGenes.erase(key);
      note(outcome, asked.candidate);
      done.emplace(std::move(key), outcome);
    } else {
      return Error::success();
    }
    strategy.tell(asked.candidate, outcome);
    flying.erase(first);
    if (options.onProgress)
      options.onProgress({result.told, space.evals, result.failed, result.stopped,
                          legality->refused, elapsed(), &result.archive, &outcome});
    // One at a time: the next candidate is asked with exactly this many outcomes told.
    return Error::success();
  }
  return Error::success();
}

llvm::Expected<StudyResult> Study::run() {
  started = now();
  Goals epsilon;
  for (const Objective &objective : space.objectives)
    epsilon.push_back(objective.epsilon);
  result.archive = Archive(epsilon);
  auto created = Legality::create(space, model);
  if (!created)
    return created.takeError();
  legality.emplace(std::move(*created));
  auto legalSeed = legality->findLegal(space.seed);
  if (!legalSeed)
    return legalSeed.takeError();

  SearchContext context(space, *legality, space.seed, *legalSeed);
  JournalContent content;
  if (!options.folder.empty()) {
    auto opened =
        options.resume ? Journal::open(options.folder, content) : Journal::create(options.folder);
    if (!opened)
      return opened.takeError();
    journal.emplace(std::move(*opened));
    if (content.lines.empty()) {
      if (Error error = begin())
        return std::move(error);
    } else if (Error error = replay(context, content)) {
      return std::move(error);
    }
  }

  while (true) {
    if (options.interrupted && options.interrupted()) {
      result.end = StudyResult::End::Interrupted;
      break;
    }
    if (Error error = fill(context))
      return std::move(error);
    if (flying.empty())
      break;
    if (Error error = startWaiting())
      return std::move(error);
    uint64_t oldest = flying.begin()->first;
    bool known = flying.begin()->second.sameAs || arrived.count(oldest);
    if (!known) {
      if (Error error = receive())
        return std::move(error);
      continue;
    }
    uint64_t told = result.told;
    if (Error error = apply())
      return std::move(error);
    if (result.told > told && result.told % options.checkpointEvery == 0)
      if (Error error = writeCheckpoint(context))
        return std::move(error);
  }
  if (journal)
    if (Error error = journal->sync())
      return std::move(error);
  result.judged = legality->judged;
  result.refused = legality->refused;
  result.seconds = elapsed();
  return std::move(result);
}

} // namespace attune::search
