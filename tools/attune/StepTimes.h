//===- StepTimes.h - The time of every kernel call of a model ---------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_STEPTIMES_H
#define ATTUNE_TOOLS_ATTUNE_STEPTIMES_H

#include "attune/runtime/attune.hpp"

#include <vector>

namespace attune::tools {

/// Runs a session with the same inputs again and again and keeps the time of every kernel call.
class StepTimes {
public:
  StepTimes(const Session &session, std::vector<Tensor> inputs);

  /// One run; its seconds.
  double run();
  size_t runs() const { return totals.size(); }
  /// Seconds of the kernel calls in the order of the program, each the one that this part of its
  /// runs stayed below.
  std::vector<double> quantiles(double part) const;
  /// The median of a whole run, seconds.
  double total() const;
  const std::vector<attune_step> &lastSteps() const { return steps; }

private:
  const Session &session;
  std::vector<Tensor> inputs, outputs;
  std::vector<attune_step> steps;
  std::vector<std::vector<double>> samples; ///< by kernel call
  std::vector<double> totals;
};

/// The value that `part` of them lie below; 0 for none.
double quantileOf(std::vector<double> values, double part);
inline double medianOf(std::vector<double> values) { return quantileOf(std::move(values), 0.5); }

} // namespace attune::tools
#endif
