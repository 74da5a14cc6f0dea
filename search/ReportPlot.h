//===- ReportPlot.h - Points on a page --------------------------------------------------------===//
//
// Inline SVG of `attune search report --html` (ReportHtml.cpp), whose style sheet has its classes.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_REPORTPLOT_H
#define ATTUNE_SEARCH_REPORTPLOT_H

#include "llvm/Support/raw_ostream.h"

#include <optional>
#include <string>
#include <vector>

namespace attune::search {

std::string escapedHtml(llvm::StringRef text);

struct Mark {
  enum class Kind { Point, Front, Measured }; ///< later ones are drawn above
  double x, y;
  Kind kind = Kind::Point;
  std::string title = "";
  std::optional<std::pair<double, double>> from = {}; ///< a line comes from here
};

/// A plot with axes whose ends are labelled.
class Plot {
public:
  Plot(std::string xName, std::string yName) : xName(std::move(xName)), yName(std::move(yName)) {}
  std::vector<Mark> marks;
  bool joined = false; ///< as one line

  /// Nothing without marks.
  void print(llvm::raw_ostream &os) const;

private:
  std::string xName, yName;
};

} // namespace attune::search
#endif
