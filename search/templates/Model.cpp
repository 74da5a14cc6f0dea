#include "attune/search/templates/Model.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::search {

using llvm::createStringError;

/// The compiler reads models from files.
llvm::Error compile(const Model &model, llvm::StringRef output, bool onlyPredict,
                    CompileReport *report) {
  CompileOptions options = model.options;
  options.onlyPredict = onlyPredict;
  if (onlyPredict)
    options.predict.emplace_back();
  if (model.onnx.empty())
    return compileModel(model.file, output, options, report);
  int file;
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune-block", "onnx", file, path))
    return createStringError("cannot make a temporary file: " + code.message());
  auto remove = llvm::scope_exit([&] { llvm::sys::fs::remove(path); });
  {
    llvm::raw_fd_ostream os(file, /*shouldClose=*/true);
    os << model.onnx;
    os.flush();
    if (os.has_error()) {
      std::string why = os.error().message();
      os.clear_error();
      return createStringError("cannot write " + path + ": " + why);
    }
  }
  return compileModel(path, output, options, report);
}

} // namespace attune::search
