#include "attune/tools/attune/SearchProgress.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <unistd.h>

namespace attune::tools {

using namespace attune::search;

ProgressLine::ProgressLine(const Space &space, bool forced)
    : space(space), terminal(::isatty(STDERR_FILENO)), shown(forced || terminal) {}

ProgressLine::~ProgressLine() {
  if (shown && terminal && last >= 0)
    llvm::errs() << "\r\033[K";
}

void ProgressLine::show(const Progress &progress) {
  if (!first)
    first = progress;
  auto seen = [&](llvm::ArrayRef<double> goals) {
    worst.resize(goals.size(), goals.empty() ? 0 : goals[0]);
    for (size_t i = 0; i < goals.size(); ++i)
      worst[i] = std::max(worst[i], goals[i]);
  };
  if (worst.empty())
    for (const Archive::Entry &entry : progress.archive->entries())
      seen(entry.goals);
  if (progress.outcome && progress.outcome->status == Status::Ok)
    seen(progress.outcome->goals);
  constexpr double kInterval = 0.2; // seconds
  if (!shown || (progress.seconds - last < kInterval && progress.told < progress.evals))
    return;
  last = progress.seconds;
  llvm::errs() << (terminal ? "\r\033[K" : "") << text(progress) << (terminal ? "" : "\n");
}

/// The hypervolume: how much of the box between the best and the worst values the front dominates.
std::string ProgressLine::share(const Archive &archive) const {
  std::vector<Goals> points;
  Goals best = worst;
  for (const Archive::Entry &entry : archive.entries()) {
    points.push_back(entry.goals);
    for (size_t i = 0; i < best.size(); ++i)
      best[i] = std::min(best[i], entry.goals[i]);
  }
  double box = 1;
  for (size_t i = 0; i < best.size(); ++i)
    box *= worst[i] - best[i];
  std::optional<double> volume = hypervolume(points, worst);
  std::string result;
  if (volume && box > 0)
    llvm::raw_string_ostream(result) << llvm::format(", hypervolume %.0f %%", 100 * *volume / box);
  return result;
}

std::string ProgressLine::text(const Progress &progress) const {
  std::string result;
  llvm::raw_string_ostream os(result);
  os << progress.told << " of " << progress.evals;
  if (progress.failed)
    os << ", " << progress.failed << " failed";
  if (progress.stopped)
    os << ", " << progress.stopped << " stopped";
  if (progress.refused)
    os << ", " << progress.refused << " refused by constraints";
  llvm::ArrayRef<Archive::Entry> kept = progress.archive->entries();
  if (!kept.empty()) {
    const auto &best = *llvm::min_element(
        kept, [](const auto &a, const auto &b) { return a.goals[0] < b.goals[0]; });
    const Objective &objective = space.objectives[0];
    os << ", best " << objective.name()
       << llvm::format(" %.5g", objective.maximise ? -best.goals[0] : best.goals[0]) << ", front "
       << kept.size();
    if (space.objectives.size() > 1)
      os << share(*progress.archive);
  }
  os << llvm::format(", %.0f s", progress.seconds);
  double passed = progress.seconds - first->seconds;
  if (progress.told > first->told && passed > 0) {
    double rate = (progress.told - first->told) / passed;
    os << llvm::format(rate < 10 ? ", %.2g/s" : ", %.0f/s", rate)
       << llvm::format(", %.0f s left", (progress.evals - progress.told) / rate);
  }
  return result;
}

} // namespace attune::tools
