//===- BlockCost.h - What a part of a network adds to its cost
//----------------------------------===//
//
// The kernels that the compiler would make of a model, and its memory. Candidates are priced as
// sums of such parts (TemplateCost.h).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_BLOCKCOST_H
#define ATTUNE_SEARCH_TEMPLATES_BLOCKCOST_H

#include "attune/codegen/cost/Features.h"

namespace attune::search {

struct Model {
  std::string onnx; ///< serialised
  int64_t params = 0;
};

struct BlockCost {
  struct Kernel {
    codegen::KernelFeatures features;
    double calls = 1;
  };
  std::vector<Kernel> kernels;
  double flops = 0, storedBytes = 0, arenaBytes = 0, ioBytes = 0;
  int64_t params = 0;
};

/// Compiles the model up to its kernels.
llvm::Expected<BlockCost> costOf(const Model &model);

} // namespace attune::search
#endif
