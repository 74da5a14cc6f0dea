//===- UserFile.h - What is kept about a machine in the user's cache folder -------------------===//
#ifndef ATTUNE_CODEGEN_COST_USERFILE_H
#define ATTUNE_CODEGEN_COST_USERFILE_H

#include "attune/codegen/cpu/Target.h"
#include "llvm/Support/JSON.h"

namespace attune::codegen {

/// `<cache>/attune/<kind>/<cpu>-<vector bits>.json`; "" without a home folder.
std::string userFile(llvm::StringRef kind, const CpuTarget &target);

/// Replaces a file, complete or not at all; makes its folder.
llvm::Error writeJson(const std::string &path, const llvm::json::Value &value);

} // namespace attune::codegen
#endif
