// One static page: no scripts, nothing loaded from elsewhere.
#include "attune/search/Report.h"
#include "attune/search/ReportPlot.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <set>

namespace attune::search {
namespace {

constexpr llvm::StringRef kHead = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Search report</title><style>
:root { color-scheme: light dark; --ink: #222; --soft: #bbb; --strong: #0a62a8; --found: #b8500b; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --soft: #555; --strong: #6cb6ff; --found: #ffa657; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); }
svg { width: 100%; max-width: 650px; font-size: 12px; } svg text { fill: var(--ink); }
.axis { fill: none; stroke: var(--ink); } .line { fill: none; stroke: var(--strong); stroke-width: 2; }
.point { fill: var(--soft); } .front { fill: var(--strong); }
.measured { fill: none; stroke: var(--found); stroke-width: 2; } .change { stroke: var(--found); }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--soft); }
td:last-child, th:last-child { text-align: left; font-family: ui-monospace, monospace; font-size: 13px; }
.scroll { overflow-x: auto; }
</style></head><body>
)html";

/// The parts of the page, from the top.
class Page {
public:
  Page(const Report &report, llvm::raw_ostream &os)
      : report(report), os(os), best(report.front()), several(report.space.objectives.size() > 1) {}

  void print() {
    os << kHead;
    summary();
    points();
    history();
    candidates();
    std::set<unsigned> counts;
    for (const ReportLatency &latency : report.latencies)
      counts.insert(latency.threads);
    for (unsigned threads : counts)
      latencies(threads);
    os << "</body></html>\n";
  }

private:
  void summary() {
    os << "<h1>Search report</h1>\n<p>" << report.ok << " results, " << report.failed << " failed, "
       << report.stopped << " stopped early, " << report.pending << " not finished; strategy "
       << escapedHtml(report.strategy) << ", evaluator " << escapedHtml(report.evaluator)
       << ", seed " << escapedHtml(report.seed) << llvm::format(", %.1f s.", report.seconds);
    if (report.failed)
      os << " Last failure: " << escapedHtml(report.lastFailure) << ".";
    os << "</p>\n";
  }

  /// What was found; where an axis is a latency, also what was measured of it.
  void points() {
    const std::vector<Objective> &objectives = report.space.objectives;
    os << "<h2>" << (several ? "Front" : "Results") << "</h2>\n";
    Plot plot(several ? objectives[1].name() : "candidate", objectives[0].name());
    for (const ReportEntry &entry : report.entries) {
      if (!entry.outcome || entry.outcome->status != Status::Ok)
        continue;
      const Goals &goals = entry.outcome->goals;
      uint64_t id = entry.candidate.id;
      bool strong =
          llvm::any_of(best, [&](const Archive::Entry &member) { return member.id == id; });
      std::string title = std::to_string(id) + ": " + spelled(entry.candidate.genes);
      double x = several ? report.value(1, goals) : id, y = report.value(0, goals);
      plot.marks.push_back({x, y, strong ? Mark::Kind::Front : Mark::Kind::Point, title});
      for (const ReportLatency &latency : report.latencies) {
        if (latency.id != id || !latency.measuredMs)
          continue;
        auto isOf = [&](const Objective &objective) {
          return report.latencyThreads(objective) == latency.threads;
        };
        bool onX = several && isOf(objectives[1]), onY = isOf(objectives[0]);
        if (onX || onY)
          plot.marks.push_back({onX ? *latency.measuredMs : x, onY ? *latency.measuredMs : y,
                                Mark::Kind::Measured, title + ", measured", std::pair(x, y)});
      }
    }
    plot.print(os);
    if (llvm::any_of(plot.marks, [](const Mark &mark) { return mark.from.has_value(); }))
      os << "<p>Rings: where finalists lie by what was measured.</p>\n";
  }

  void history() {
    os << "<h2>History</h2>\n";
    Plot course("results", several ? "hypervolume" : "best " + report.space.objectives[0].name());
    course.joined = true;
    for (auto [i, value] : llvm::enumerate(report.history))
      course.marks.push_back({double(i + 1), value});
    course.print(os);
    if (!several || report.reference.empty())
      return;
    os << "<p>Measured from the worst values found:";
    for (size_t i = 0; i < report.reference.size(); ++i)
      os << " " << escapedHtml(report.space.objectives[i].name())
         << llvm::format(" %.4g", report.value(i, report.reference))
         << (i + 1 < report.reference.size() ? "," : ".");
    os << "</p>\n";
  }

  void candidates() {
    os << "<h2>Candidates</h2>\n<div class='scroll'><table><tr><th>id</th>";
    for (const Objective &objective : report.space.objectives)
      os << "<th>" << escapedHtml(objective.name()) << "</th>";
    for (const std::string &name : report.costs)
      os << "<th>" << escapedHtml(name) << "</th>";
    os << "<th>candidate</th></tr>\n";
    for (const Archive::Entry &entry : best) {
      os << "<tr><td>" << entry.id << "</td>";
      for (size_t i = 0; i < report.space.objectives.size(); ++i)
        number(report.value(i, entry.goals));
      const Candidate &candidate = report.find(entry.id)->candidate;
      for (size_t i = 0; i < report.costs.size(); ++i)
        number(i < candidate.cost.values.size() ? std::optional(candidate.cost.values[i])
                                                : std::nullopt);
      last(entry.genes);
    }
    os << "</table></div>\n";
  }

  /// What candidates take, by kinds of kernels, and took.
  void latencies(unsigned threads) {
    std::set<std::string> parts;
    for (const ReportLatency &latency : report.latencies)
      if (latency.threads == threads)
        for (const auto &[part, ms] : latency.partsMs)
          parts.insert(part);
    os << "<h2>Latency, " << threads << (threads == 1 ? " thread" : " threads")
       << "</h2>\n<div class='scroll'><table><tr><th>id</th><th>predicted ms</th>"
          "<th>measured ms</th><th>measured / predicted</th>";
    for (const std::string &part : parts)
      os << "<th>" << escapedHtml(part) << "</th>";
    os << "<th>candidate</th></tr>\n";
    for (const ReportLatency &latency : report.latencies) {
      const ReportEntry *entry = report.find(latency.id);
      if (latency.threads != threads || !entry)
        continue;
      os << "<tr><td>" << latency.id << "</td>";
      number(latency.predictedMs);
      number(latency.measuredMs);
      number(latency.measuredMs ? std::optional(*latency.measuredMs / latency.predictedMs)
                                : std::nullopt);
      for (const std::string &part : parts) {
        auto known = latency.partsMs.find(part);
        number(known == latency.partsMs.end() ? std::nullopt : std::optional(known->second));
      }
      last(entry->candidate.genes);
    }
    os << "</table></div>\n<p>Kernels of one kind together, as predicted, in ms.</p>\n";
  }

  std::string spelled(llvm::ArrayRef<int32_t> genes) const {
    return llvm::formatv("{0}", llvm::json::Value(report.space.toJson(genes))).str();
  }
  void number(std::optional<double> value) {
    os << "<td>";
    if (value)
      os << llvm::format("%.6g", *value);
    os << "</td>";
  }
  void last(llvm::ArrayRef<int32_t> genes) {
    os << "<td>" << escapedHtml(spelled(genes)) << "</td></tr>\n";
  }

  const Report &report;
  llvm::raw_ostream &os;
  const std::vector<Archive::Entry> best;
  const bool several;
};

} // namespace

void Report::printHtml(llvm::raw_ostream &os) const { Page(*this, os).print(); }

} // namespace attune::search
