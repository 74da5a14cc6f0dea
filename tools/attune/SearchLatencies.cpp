// What a report says of latencies: parts of predictions, and measurements of finalists.
#include "attune/search/templates/TemplateCost.h"
#include "attune/tools/attune/Search.h"

#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {

using namespace attune::search;

llvm::Error addLatencies(Report &found) {
  if (found.space.templateName.empty())
    return llvm::Error::success();
  if (auto files = calibrationOf(found.folder, /*resumed=*/true); !files)
    return files.takeError();
  auto prices = TemplateCost::create(found.space);
  if (!prices)
    return prices.takeError();
  llvm::SmallString<128> path(found.folder);
  llvm::sys::path::append(path, MeasuredLatency::kFile);
  auto measured = MeasuredLatency::read(std::string(path), (*prices)->identity());
  if (!measured)
    return measured.takeError();

  // The best of the front at the threads of the space, and all that was measured.
  constexpr size_t kShown = 20;
  std::vector<ReportLatency> latencies;
  std::vector<Archive::Entry> front = found.front();
  for (const CostName &cost : (*prices)->names())
    if (cost.name == "latency_ms")
      for (size_t i = 0; i < std::min(front.size(), kShown); ++i)
        latencies.push_back({front[i].id, cost.threads});
  for (const MeasuredLatency::Point &point : measured->points()) {
    if (!found.find(point.id))
      continue;
    auto known = llvm::find_if(latencies, [&](const ReportLatency &latency) {
      return latency.id == point.id && latency.threads == point.threads;
    });
    if (known == latencies.end())
      known = latencies.insert(known, {point.id, point.threads});
    known->measuredMs = point.measuredMs;
  }
  for (ReportLatency &latency : latencies) {
    auto parts = (*prices)->partsMs(found.find(latency.id)->candidate.genes, latency.threads);
    if (!parts)
      return parts.takeError();
    latency.partsMs = std::move(*parts);
    for (const auto &[emitter, ms] : latency.partsMs)
      latency.predictedMs += ms;
  }
  found.latencies = std::move(latencies);
  return llvm::Error::success();
}

} // namespace attune::tools
