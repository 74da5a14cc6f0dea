//===- StepTimes.h - The time of every kernel call of a model
//------------------------------------===//
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
  /// Medians over all runs, seconds: by kernel call in the order of the program, and of a whole
  /// run.
  std::vector<double> medians() const;
  double total() const;
  const std::vector<attune_step> &lastSteps() const { return steps; }

private:
  const Session &session;
  std::vector<Tensor> inputs, outputs;
  std::vector<attune_step> steps;
  std::vector<std::vector<double>> samples; ///< by kernel call
  std::vector<double> totals;
};

/// The middle one; 0 for none.
double medianOf(std::vector<double> values);

} // namespace attune::tools
#endif
