//===- Tune.h - Alternatives measured on this machine -----------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_TUNE_H
#define ATTUNE_TOOLS_ATTUNE_TUNE_H

#include "attune/codegen/Compiler.h"

namespace attune::tools {

struct TuneOptions {
  int64_t alternatives = 3; ///< of each decision, the cheapest by price
  unsigned threads = 1;
  bool progress = false; ///< a line on the terminal
};

/// `attune compile --tune`: measures the alternatives of every decision of `model` that matters and
/// adds the fastest to the tuning of this machine, which the compilation that follows reads. Only
/// where all sizes are known is there something to measure. Gives the number of decisions measured.
llvm::Expected<unsigned> tune(llvm::StringRef model, CompileOptions options,
                              const TuneOptions &how);

} // namespace attune::tools
#endif
