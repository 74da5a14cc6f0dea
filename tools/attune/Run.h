//===- Run.h - Shared by the commands that run a model ----------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_RUN_H
#define ATTUNE_TOOLS_ATTUNE_RUN_H

#include "attune/runtime/attune.hpp"
#include "attune/tools/attune/Commands.h"

namespace attune::tools {

/// The inputs that `--inputs` names, in the order of the signature. A spec is NAME=FILE or a folder
/// with one file per input: input_0.pb or input_0.npy, or the input's name with .pb or .npy; a
/// later spec overrides an earlier one.
llvm::Expected<std::vector<Tensor>> readInputs(const attune_signature &signature,
                                               llvm::ArrayRef<std::string> specs);

/// What the runtime has thrown, for `report`.
llvm::Error runtimeError(const Error &error);

} // namespace attune::tools
#endif
