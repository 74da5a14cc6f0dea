//===- Search.h - The parts of `attune search` ------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_SEARCH_H
#define ATTUNE_TOOLS_ATTUNE_SEARCH_H

#include "attune/search/Report.h"
#include "attune/tools/attune/Commands.h"

namespace attune::tools {

int searchReport(Args args);
int searchBuild(Args args);
int searchCompare(Args args);
int searchExport(Args args);
int searchFinalists(Args args);
int searchSpace(Args args);
int searchTable(Args args);

} // namespace attune::tools
#endif
