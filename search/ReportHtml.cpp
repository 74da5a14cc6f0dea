// One static page: no scripts, nothing loaded from elsewhere.
#include "attune/search/Document.h"
#include "attune/search/Report.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

namespace attune::search {
namespace {

std::string escaped(llvm::StringRef text) {
  std::string result;
  llvm::raw_string_ostream os(result);
  llvm::printHTMLEscaped(text, os);
  return result;
}

struct Mark {
  double x, y;
  bool strong;
  std::string title;
};

/// A plot with axes whose ends are labelled.
class Plot {
public:
  Plot(std::string xName, std::string yName) : xName(std::move(xName)), yName(std::move(yName)) {}
  std::vector<Mark> marks;
  bool joined = false; ///< as one line

  void print(llvm::raw_ostream &os) const {
    if (marks.empty())
      return;
    double left = marks[0].x, right = left, low = marks[0].y, high = low;
    for (const Mark &mark : marks) {
      left = std::min(left, mark.x);
      right = std::max(right, mark.x);
      low = std::min(low, mark.y);
      high = std::max(high, mark.y);
    }
    auto x = [&](double value) {
      return 70 + 560 * (right > left ? (value - left) / (right - left) : 0.5);
    };
    auto y = [&](double value) {
      return 290 - 270 * (high > low ? (value - low) / (high - low) : 0.5);
    };
    os << "<svg viewBox='0 0 650 340' role='img' aria-label='" << escaped(yName) << " over "
       << escaped(xName) << "'>\n<path class='axis' d='M70 20V290H630'/>\n";
    auto label = [&](double px, double py, llvm::StringRef anchor, llvm::StringRef text) {
      os << llvm::format("<text x='%.0f' y='%.0f' text-anchor='", px, py) << anchor << "'>"
         << escaped(text) << "</text>\n";
    };
    auto number = [](double value) {
      std::string text;
      llvm::raw_string_ostream(text) << llvm::format("%.4g", value);
      return text;
    };
    label(66, 294, "end", number(low));
    label(66, 26, "end", number(high));
    label(70, 308, "start", number(left));
    label(630, 308, "end", number(right));
    label(350, 330, "middle", xName);
    label(76, 16, "start", yName);
    if (joined) {
      os << "<path class='line' d='";
      for (size_t i = 0; i < marks.size(); ++i)
        os << llvm::format("%s%.1f %.1f", i ? "L" : "M", x(marks[i].x), y(marks[i].y));
      os << "'/>\n";
    } else {
      for (bool strong : {false, true})
        for (const Mark &mark : marks)
          if (mark.strong == strong)
            os << llvm::format("<circle cx='%.1f' cy='%.1f' r='%d' class='%s'>", x(mark.x),
                               y(mark.y), strong ? 5 : 3, strong ? "front" : "point")
               << "<title>" << escaped(mark.title) << "</title></circle>\n";
    }
    os << "</svg>\n";
  }

private:
  std::string xName, yName;
};

constexpr llvm::StringRef kHead = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Search report</title><style>
:root { color-scheme: light dark; --ink: #222; --soft: #bbb; --strong: #0a62a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --soft: #555; --strong: #6cb6ff; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); }
svg { width: 100%; max-width: 650px; font-size: 12px; } svg text { fill: var(--ink); }
.axis { fill: none; stroke: var(--ink); } .line { fill: none; stroke: var(--strong); stroke-width: 2; }
.point { fill: var(--soft); } .front { fill: var(--strong); }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--soft); }
td:last-child, th:last-child { text-align: left; font-family: ui-monospace, monospace; font-size: 13px; }
.scroll { overflow-x: auto; }
</style></head><body>
)html";

} // namespace

void Report::printHtml(llvm::raw_ostream &os) const {
  std::vector<Archive::Entry> best = front();
  os << kHead << "<h1>Search report</h1>\n<p>" << ok << " results, " << failed << " failed, "
     << stopped << " stopped early, " << pending << " not finished; strategy " << escaped(strategy)
     << ", evaluator " << escaped(evaluator) << ", seed " << escaped(seed)
     << llvm::format(", %.1f s.", seconds);
  if (failed)
    os << " Last failure: " << escaped(lastFailure) << ".";
  os << "</p>\n";

  bool several = space.objectives.size() > 1;
  os << "<h2>" << (several ? "Front" : "Results") << "</h2>\n";
  Plot points(several ? space.objectives[1].name() : "candidate", space.objectives[0].name());
  for (const ReportEntry &entry : entries) {
    if (!entry.outcome || entry.outcome->status != Status::Ok)
      continue;
    const Goals &goals = entry.outcome->goals;
    bool strong = llvm::any_of(
        best, [&](const Archive::Entry &member) { return member.id == entry.candidate.id; });
    points.marks.push_back(
        {several ? value(1, goals) : entry.candidate.id, value(0, goals), strong,
         std::to_string(entry.candidate.id) + ": " +
             llvm::formatv("{0}", llvm::json::Value(space.toJson(entry.candidate.genes))).str()});
  }
  points.print(os);

  os << "<h2>History</h2>\n";
  Plot course("results", several ? "hypervolume" : "best " + space.objectives[0].name());
  course.joined = true;
  for (size_t i = 0; i < history.size(); ++i)
    course.marks.push_back({double(i + 1), history[i], false, ""});
  course.print(os);
  if (several && !reference.empty()) {
    os << "<p>Measured from the worst values found:";
    for (size_t i = 0; i < reference.size(); ++i)
      os << " " << escaped(space.objectives[i].name()) << llvm::format(" %.4g", value(i, reference))
         << (i + 1 < reference.size() ? "," : ".");
    os << "</p>\n";
  }

  os << "<h2>Candidates</h2>\n<div class='scroll'><table><tr><th>id</th>";
  for (const Objective &objective : space.objectives)
    os << "<th>" << escaped(objective.name()) << "</th>";
  for (const std::string &name : costs)
    os << "<th>" << escaped(name) << "</th>";
  os << "<th>candidate</th></tr>\n";
  for (const Archive::Entry &entry : best) {
    os << "<tr><td>" << entry.id << "</td>";
    for (size_t i = 0; i < space.objectives.size(); ++i)
      os << "<td>" << llvm::format("%.6g", value(i, entry.goals)) << "</td>";
    auto asked = llvm::find_if(
        entries, [&](const ReportEntry &candidate) { return candidate.candidate.id == entry.id; });
    for (size_t i = 0; i < costs.size(); ++i) {
      os << "<td>";
      if (i < asked->candidate.cost.values.size())
        os << llvm::format("%.6g", asked->candidate.cost.values[i]);
      os << "</td>";
    }
    os << "<td>"
       << escaped(llvm::formatv("{0}", llvm::json::Value(space.toJson(entry.genes))).str())
       << "</td></tr>\n";
  }
  os << "</table></div>\n</body></html>\n";
}

} // namespace attune::search
