//===- SearchProgress.h - One line that says how a search goes --------------------------------===//
//
// On a terminal the line replaces itself; elsewhere it is shown only where that is asked for, one
// line each time.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_SEARCHPROGRESS_H
#define ATTUNE_TOOLS_ATTUNE_SEARCHPROGRESS_H

#include "attune/search/Study.h"

namespace attune::tools {

class ProgressLine {
public:
  ProgressLine(const search::Space &space, bool forced);
  ~ProgressLine();
  /// After every result.
  void show(const search::Progress &progress);

private:
  std::string text(const search::Progress &progress) const;
  std::string share(const search::Archive &archive) const;

  const search::Space &space;
  bool terminal, shown;
  double last = -1;
  std::optional<search::Progress> first; ///< what this run began with, after a resume
  search::Goals worst;                   ///< of all results that came by
};

} // namespace attune::tools
#endif
