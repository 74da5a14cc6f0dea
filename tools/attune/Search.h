//===- Search.h - The parts of `attune search` ------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_SEARCH_H
#define ATTUNE_TOOLS_ATTUNE_SEARCH_H

#include "attune/search/Report.h"
#include "attune/tools/attune/Commands.h"

namespace attune::tools {

/// By which a study of a template prices candidates. A new one: the files that it keeps beside its
/// journal. One that goes on: makes its own calibration that of this process, and says so where the
/// machine has another one now.
llvm::Expected<std::map<std::string, std::string>> calibrationOf(llvm::StringRef study,
                                                                 bool resumed);

/// Adds predictions and the measurements that `finalists` left; nothing for spaces without a
/// template. After an error there are none.
llvm::Error addLatencies(search::Report &found);

int searchReport(Args args);
int searchBuild(Args args);
int searchCompare(Args args);
int searchCosts(Args args);
int searchExport(Args args);
int searchFinalists(Args args);
int searchSpace(Args args);
int searchTable(Args args);

} // namespace attune::tools
#endif
