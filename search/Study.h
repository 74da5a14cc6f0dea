//===- Study.h - One search from the first candidate to the last ------------------------------===//
//
// Puts the parts together: asks the strategy, refuses what breaks a constraint before anything is
// evaluated, evaluates, applies outcomes in the order of ids, keeps the Pareto archive, and writes
// all of it to the journal. A study that is killed at any moment and resumed ends with the archive
// it would have had; so does one with more workers. (A limit in seconds is the exception: where it
// strikes depends on the machine.)
//
//   auto strategy = makeStrategy(space.strategy, space);
//   auto result = Study(space, cost, evaluator, **strategy, {.folder = "study"}).run();
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_STUDY_H
#define ATTUNE_SEARCH_STUDY_H

#include "attune/search/Evaluator.h"
#include "attune/search/Journal.h"
#include "attune/search/Pareto.h"
#include "attune/search/Strategy.h"

namespace attune::search {

struct Progress {
  uint64_t told = 0, evals = 0, failed = 0, stopped = 0;
  uint64_t refused = 0; ///< proposals that broke a constraint
  double seconds = 0;
  const Archive *archive = nullptr;
  const Outcome *outcome = nullptr; ///< the last
};

struct StudyOptions {
  std::string folder; ///< empty: nothing is written
  bool resume = false;
  std::string spaceText = {}; ///< kept in the journal, so that reports need no other file
  std::map<std::string, std::string> files = {}; ///< kept beside the journal of a new study
  unsigned checkpointEvery = 64;
  std::function<void(const Progress &)> onProgress = {};
  std::function<bool()> interrupted = {};
};

struct StudyResult {
  Archive archive;
  uint64_t told = 0, ok = 0, failed = 0, stopped = 0, repeated = 0;
  uint64_t judged = 0, refused = 0; ///< proposals that constraints looked at
  double seconds = 0;
  enum class End { Budget, Time, Exhausted, Interrupted } end = End::Budget;
  std::string lastFailure;
};

/// The outcome with its goals; Failed if a metric is missing or not finite.
Outcome judged(const Space &space, const CostModel &model, const Candidate &candidate,
               Outcome outcome);

/// Lines of the journal.
llvm::json::Object toJson(const Outcome &outcome, double at);
std::optional<Outcome> outcomeOf(const llvm::json::Object &line);
std::optional<Genes> genesOf(const llvm::json::Object &line);

class Study {
public:
  Study(const Space &space, CostModel &model, Evaluator &evaluator, Strategy &strategy,
        StudyOptions options)
      : space(space), model(model), evaluator(evaluator), strategy(strategy),
        options(std::move(options)) {}

  llvm::Expected<StudyResult> run();

private:
  struct Asked {
    Candidate candidate;
    std::vector<std::optional<double>> thresholds;
    std::optional<uint64_t> sameAs; ///< an earlier candidate with the same genes
  };

  /// What the journal has of a candidate.
  struct Written {
    Genes genes;
    std::vector<std::optional<double>> thresholds;
  };

  llvm::Error begin();
  llvm::json::Object header() const;
  llvm::Error checkHeader(const llvm::json::Object &found) const;
  llvm::Error replay(SearchContext &context, const JournalContent &content);
  llvm::Error restore(SearchContext &context, const llvm::json::Object &checkpoint);
  llvm::Error fill(SearchContext &context);
  llvm::Error enter(SearchContext &context, Proposal proposal);
  llvm::Error startWaiting();
  llvm::Error receive();
  llvm::Error apply();
  llvm::Error writeCheckpoint(const SearchContext &context);
  std::vector<std::optional<double>> thresholdsNow() const;
  llvm::Error append(const llvm::json::Value &line, bool sync);
  double elapsed() const;
  void note(const Outcome &outcome, const Candidate &candidate);

  const Space &space;
  CostModel &model;
  Evaluator &evaluator;
  Strategy &strategy;
  StudyOptions options;

  std::optional<Journal> journal;
  std::optional<Legality> legality;
  std::map<uint64_t, Asked> flying;              ///< asked, not told
  std::deque<uint64_t> waiting;                  ///< asked, not started
  std::map<uint64_t, Outcome> arrived;           ///< evaluated, not told
  std::unordered_map<std::string, Outcome> done; ///< told, by genes
  std::unordered_map<std::string, uint64_t> flyingByGenes;
  std::map<uint64_t, Written> journaledAsks;
  unsigned evaluating = 0;
  bool noMore = false;
  std::vector<std::vector<double>> rungValues; ///< of told outcomes, by rung
  double before = 0;                           ///< seconds of earlier runs
  double started = 0;
  StudyResult result;
};

} // namespace attune::search
#endif
