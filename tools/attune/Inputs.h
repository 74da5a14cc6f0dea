//===- Inputs.h - Made-up inputs for bench and check ------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_INPUTS_H
#define ATTUNE_TOOLS_ATTUNE_INPUTS_H

#include "attune/runtime/attune.hpp"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <map>

namespace attune::tools {

/// Sizes of a model's inputs: `shapes` by input name, `dims` by symbol. A symbol that neither gives
/// is 1 for the first axis of an input and 128 for others.
struct InputSizes {
  llvm::StringMap<std::vector<int64_t>> shapes;
  llvm::StringMap<int64_t> dims;
};

/// Seeded inputs for every port: floats are uniform in [-1, 1); integers are 0 or 1 (valid as an
/// index of any axis of two or more); ports whose name contains `mask` are ones.
llvm::Expected<std::vector<Tensor>> makeInputs(const Session &session, const InputSizes &sizes,
                                               uint64_t seed = 0);

/// The extents chosen for each input, e.g. "input_ids 1x128".
std::string describeInputs(const Session &session, const std::vector<Tensor> &inputs);

} // namespace attune::tools
#endif
