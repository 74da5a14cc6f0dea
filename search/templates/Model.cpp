#include "attune/search/templates/Model.h"
#include "attune/support/WriteFile.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::search {

using llvm::createStringError;

/// The compiler reads models from files.
llvm::Error compile(const Model &model, llvm::StringRef output, bool onlyPredict,
                    CompileReport *report) {
  if (!model.refused.empty())
    return createStringError(model.refused);
  CompileOptions options = model.options;
  options.onlyPredict = onlyPredict;
  if (onlyPredict)
    options.predict.emplace_back();
  if (model.onnx.empty())
    return compileModel(model.file, output, options, report);
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune-block", "onnx", path))
    return createStringError("cannot make a temporary file: " + code.message());
  auto remove = llvm::scope_exit([&] { llvm::sys::fs::remove(path); });
  if (llvm::Error error = writeFile(path, [&](llvm::raw_ostream &os) { os << model.onnx; }))
    return error;
  return compileModel(path, output, options, report);
}

} // namespace attune::search
