#include "attune/tools/attune/StepTimes.h"

#include <algorithm>

namespace attune::tools {

double quantileOf(std::vector<double> values, double part) {
  if (values.empty())
    return 0;
  auto place = values.begin() + static_cast<size_t>(part * values.size());
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

StepTimes::StepTimes(const Session &session, std::vector<Tensor> given)
    : session(session), inputs(std::move(given)), outputs(session.run(inputs)),
      steps(session.signature().step_count) {}

double StepTimes::run() {
  attune_profile profile{};
  profile.size = sizeof profile;
  profile.step_size = sizeof(attune_step);
  profile.step_capacity = steps.size();
  profile.steps = steps.data();
  session.runInto(inputs, outputs, &profile);
  size_t call = 0;
  for (const attune_step &step : steps) {
    if (step.kind != ATTUNE_STEP_KERNEL)
      continue;
    if (call == samples.size())
      samples.emplace_back();
    samples[call++].push_back((step.stop_ns - step.start_ns) * 1e-9);
  }
  totals.push_back(profile.total_ns * 1e-9);
  return totals.back();
}

std::vector<double> StepTimes::quantiles(double part) const {
  std::vector<double> list;
  for (const std::vector<double> &times : samples)
    list.push_back(quantileOf(times, part));
  return list;
}

double StepTimes::total() const { return medianOf(totals); }

} // namespace attune::tools
