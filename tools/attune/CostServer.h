//===- CostServer.h - Many predictions by one process -----------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_COSTSERVER_H
#define ATTUNE_TOOLS_ATTUNE_COSTSERVER_H

#include "attune/codegen/Compiler.h"
#include "attune/tools/attune/EnergyChoice.h"

#include <iosfwd>

namespace attune::tools {

/// `attune cost --stdin`: one request per line, a JSON object, until the end of `in`; for each one
/// line, what `attune cost --json` prints or `{"error": ...}`, as soon as it is known. `options`,
/// `defaults` and `energy` are those of the command; a request gives its model and may give sizes
/// and threads.
void serveCosts(std::istream &in, llvm::raw_ostream &out, const CompileOptions &options,
                const CostRequest &defaults, const EnergyChoice &energy);

} // namespace attune::tools
#endif
