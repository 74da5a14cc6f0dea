//===- Report.h - What a study found, from its journal ----------------------------------------===//
//
// Reads `study.jsonl`, also of a study that still runs, and shows it: text, one static HTML page
// (front, history, candidates), or CSV with everything. Needs no other file. What else is known of
// latencies (parts of a prediction, measurements of finalists) is for the caller to add.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_REPORT_H
#define ATTUNE_SEARCH_REPORT_H

#include "attune/search/Pareto.h"

namespace attune::search {

struct ReportEntry {
  Candidate candidate;
  std::optional<Outcome> outcome;
};

/// What a candidate takes on a number of threads.
struct ReportLatency {
  uint64_t id = 0;
  unsigned threads = 1;
  double predictedMs = 0;
  std::optional<double> measuredMs = {};      ///< compiled and timed
  std::map<std::string, double> partsMs = {}; ///< of the prediction, by emitter of kernels
};

struct Report {
  Space space;
  std::string folder, strategy, evaluator, seed;
  std::vector<std::string> costs;
  std::vector<ReportEntry> entries; ///< by id; what was asked
  Archive archive;
  uint64_t ok = 0, failed = 0, stopped = 0, pending = 0;
  double seconds = 0;
  std::string lastFailure;
  Goals reference; ///< the worst of every goal: where hypervolumes are measured from
  /// After each result: the hypervolume, or for one objective the best value.
  std::vector<double> history;
  std::vector<ReportLatency> latencies; ///< empty unless the caller knows any

  static llvm::Expected<Report> read(llvm::StringRef folder);

  /// The value of an objective as users think of it.
  double value(size_t objective, llvm::ArrayRef<double> goals) const;
  /// Entries of the archive, the best in the first objective first.
  std::vector<Archive::Entry> front() const;
  /// Null if nothing of this id was asked.
  const ReportEntry *find(uint64_t id) const;
  /// Threads of the latency that an objective is; nothing for other objectives.
  std::optional<unsigned> latencyThreads(const Objective &objective) const;

  void printText(llvm::raw_ostream &os, size_t most) const;
  void printHtml(llvm::raw_ostream &os) const;
  void printCsv(llvm::raw_ostream &os) const;
};

} // namespace attune::search
#endif
