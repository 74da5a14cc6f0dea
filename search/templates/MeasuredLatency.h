//===- MeasuredLatency.h - What measured finalists say of the others --------------------------===//
//
// A prediction of a candidate's latency is uncertain by what the residuals of the kernels' emitters
// are (codegen/cost/Residual.h), and those are the same for all candidates of a study. Candidates
// that were compiled and timed are therefore points of these residuals: from them the predictions
// of the candidates that were not follow, nearer to this machine and with a smaller deviation. They
// are kept beside the journal, in `finalists.json`. The search never reads them: its archive
// depends on its seed alone.
//
//   auto known = MeasuredLatency::read(path, cost.identity());
//   known->set({id, threads, *cost.predict(genes, threads), measuredMs});
//   MeasuredLatency::Expected other = known->expect(*cost.predict(otherGenes, threads), threads);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_MEASUREDLATENCY_H
#define ATTUNE_SEARCH_TEMPLATES_MEASUREDLATENCY_H

#include "llvm/Support/Error.h"

#include <map>
#include <string>
#include <vector>

namespace attune::search {

/// A latency by the cost oracle, and in what it may be wrong.
struct LatencyPrediction {
  double ms = 0;
  /// One standard deviation of what the kernels of an emitter take, as a part of `ms`. They are
  /// wrong together.
  std::map<std::string, double> deviations;

  /// Relative standard deviation, with that of the machine itself (codegen::kDrift).
  double sigma() const;
};

class MeasuredLatency {
public:
  static constexpr const char *kFile = "finalists.json"; ///< in the folder of a study

  struct Point {
    uint64_t id = 0; ///< of the candidate
    unsigned threads = 1;
    LatencyPrediction predicted; ///< before anything was measured
    double measuredMs = 0;
  };
  struct Expected {
    double ms, sigma;
  };

  /// The points in a file, none if there is no such file. Points of other prices
  /// (CostModel::identity) say nothing and are left out; the next `write` drops them.
  static llvm::Expected<MeasuredLatency> read(const std::string &path, const std::string &prices);
  /// Replaces the file, complete or not at all.
  llvm::Error write(const std::string &path) const;

  /// Adds a point, or measures that candidate again.
  void set(Point point);
  /// What a candidate will take, after what was measured on as many threads: the prediction itself
  /// where that is nothing.
  Expected expect(const LatencyPrediction &predicted, unsigned threads) const;

  const std::vector<Point> &points() const { return list; }

private:
  std::string prices;
  std::vector<Point> list;
};

} // namespace attune::search
#endif
