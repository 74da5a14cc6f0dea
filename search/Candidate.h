//===- Candidate.h - What is asked, and what comes back ---------------------------------------===//
#ifndef ATTUNE_SEARCH_CANDIDATE_H
#define ATTUNE_SEARCH_CANDIDATE_H

#include "attune/search/Cost.h"

#include <map>

namespace attune::search {

/// Values to be minimised, one per objective.
using Goals = llvm::SmallVector<double, 4>;

struct Candidate {
  uint64_t id = 0; ///< candidates are numbered as they are asked
  Genes genes;     ///< canonical
  int64_t parent = -1;
  std::string origin; ///< how it came about: random, mutation, crossover, ...
  CostVector cost;
};

enum class Status {
  Ok,
  Failed, ///< no usable result: crash, time out, a metric missing or not finite
  Stopped ///< given up at a rung, before its time
};

struct Outcome {
  uint64_t id = 0;
  Status status = Status::Failed;
  std::string reason; ///< why it failed
  std::map<std::string, double> metrics;
  std::vector<double> rungs; ///< the early-stopping metric at the rungs that were reached
  double seconds = 0;
  Goals goals; ///< only if Ok
};

} // namespace attune::search
#endif
