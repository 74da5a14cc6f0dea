//===- BlockCost.h - What a part of a network adds to its cost --------------------------------===//
//
// The kernels that the compiler would make of a model, and its memory. Candidates are priced as
// sums of such parts (TemplateCost.h).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_BLOCKCOST_H
#define ATTUNE_SEARCH_TEMPLATES_BLOCKCOST_H

#include "attune/search/templates/Model.h"

namespace attune::search {

struct BlockCost {
  struct Kernel {
    codegen::KernelFeatures features;
    double calls = 1; ///< negative: no longer there
  };
  std::vector<Kernel> kernels;
  double flops = 0, storedBytes = 0, arenaBytes = 0, ioBytes = 0;
  int64_t params = 0;
};

/// Compiles the model up to its kernels.
llvm::Expected<BlockCost> costOf(const Model &model);

/// The same between other blocks: these exchange what a model of its own has from its caller.
/// `first`, `last`: of the network, whose inputs or results are the caller's.
BlockCost amongOthers(BlockCost block, bool first = false, bool last = false);

/// What `whole` has beyond `part`: kernels that are in both are in neither. Memory that is used
/// again by others (arena, inputs and outputs) is that of `whole`.
BlockCost operator-(BlockCost whole, const BlockCost &part);

} // namespace attune::search
#endif
