#include "attune/search/ReportPlot.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"

#include <algorithm>

namespace attune::search {

std::string escapedHtml(llvm::StringRef text) {
  std::string result;
  llvm::raw_string_ostream os(result);
  llvm::printHTMLEscaped(text, os);
  return result;
}

namespace {

/// An axis: where values lie between two ends of the page.
struct Axis {
  double least, most, from, to;

  Axis(const std::vector<Mark> &marks, double Mark::*value, double from, double to)
      : least(marks[0].*value), most(least), from(from), to(to) {
    for (const Mark &mark : marks) {
      least = std::min(least, mark.*value);
      most = std::max(most, mark.*value);
    }
  }
  double operator()(double value) const {
    return from + (to - from) * (most > least ? (value - least) / (most - least) : 0.5);
  }
};

} // namespace

static void printCircle(llvm::raw_ostream &os, const Mark &mark, double x, double y) {
  static constexpr struct {
    int radius;
    const char *style;
  } kCircles[] = {{3, "point"}, {5, "front"}, {5, "measured"}};
  auto [radius, style] = kCircles[static_cast<unsigned>(mark.kind)];
  os << llvm::format("<circle cx='%.1f' cy='%.1f' r='%d' class='%s'>", x, y, radius, style)
     << "<title>" << escapedHtml(mark.title) << "</title></circle>\n";
}

void Plot::print(llvm::raw_ostream &os) const {
  if (marks.empty())
    return;
  Axis x(marks, &Mark::x, 70, 630), y(marks, &Mark::y, 290, 20);
  os << "<svg viewBox='0 0 650 340' role='img' aria-label='" << escapedHtml(yName) << " over "
     << escapedHtml(xName) << "'>\n<path class='axis' d='M70 20V290H630'/>\n";
  auto label = [&](double px, double py, llvm::StringRef anchor, llvm::StringRef text) {
    os << llvm::format("<text x='%.0f' y='%.0f' text-anchor='", px, py) << anchor << "'>"
       << escapedHtml(text) << "</text>\n";
  };
  auto number = [](double value) {
    std::string text;
    llvm::raw_string_ostream(text) << llvm::format("%.4g", value);
    return text;
  };
  label(66, 294, "end", number(y.least));
  label(66, 26, "end", number(y.most));
  label(70, 308, "start", number(x.least));
  label(630, 308, "end", number(x.most));
  label(350, 330, "middle", xName);
  label(76, 16, "start", yName);
  if (joined) {
    os << "<path class='line' d='";
    for (size_t i = 0; i < marks.size(); ++i)
      os << llvm::format("%s%.1f %.1f", i ? "L" : "M", x(marks[i].x), y(marks[i].y));
    os << "'/>\n";
  } else {
    for (const Mark &mark : marks)
      if (mark.from)
        os << llvm::format("<path class='change' d='M%.1f %.1fL%.1f %.1f'/>\n", x(mark.from->first),
                           y(mark.from->second), x(mark.x), y(mark.y));
    for (Mark::Kind kind : {Mark::Kind::Point, Mark::Kind::Front, Mark::Kind::Measured})
      for (const Mark &mark : marks)
        if (mark.kind == kind)
          printCircle(os, mark, x(mark.x), y(mark.y));
  }
  os << "</svg>\n";
}

} // namespace attune::search
