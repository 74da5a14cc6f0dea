//===- ChoiceFile.h - Which alternative each choice of a model is -----------------------------===//
//
// A JSON object of labels and names of alternatives, as `attune search` writes for a candidate:
//
//   {"/layer.0/MatMul_1": "linear", "/layer.1/MatMul_1": "softmax"}
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_CANONICALIZE_CHOICEFILE_H
#define ATTUNE_PASSES_CANONICALIZE_CHOICEFILE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace attune {

/// Label and alternative.
using Selection = std::pair<std::string, std::string>;

/// Errors name the file, what was found and what is accepted.
llvm::Expected<std::vector<Selection>> readChoiceFile(llvm::StringRef path);

} // namespace attune
#endif
