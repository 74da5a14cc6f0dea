//===- Model.h - The network of a candidate, for the compiler ---------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_MODEL_H
#define ATTUNE_SEARCH_TEMPLATES_MODEL_H

#include "attune/codegen/Compiler.h"

namespace attune::search {

struct Model {
  std::string onnx;            ///< serialised; empty: that of `file`
  std::string file = {};       ///< a model of the user
  CompileOptions options = {}; ///< what becomes of its choices, its sizes
  int64_t params = 0;
  std::string refused = {}; ///< why there is no such model; then nothing else counts
};

/// As compileModel; `onlyPredict` generates no code and prices one call.
llvm::Error compile(const Model &model, llvm::StringRef output, bool onlyPredict = false,
                    CompileReport *report = nullptr);

} // namespace attune::search
#endif
