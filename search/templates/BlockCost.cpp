#include "attune/search/templates/BlockCost.h"
#include "attune/codegen/Compiler.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::search {

using llvm::createStringError;

/// The compiler reads models from files.
llvm::Expected<BlockCost> costOf(const Model &model) {
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
  CompileOptions options;
  options.onlyPredict = true;
  options.predict.emplace_back();
  CompileReport report;
  if (llvm::Error error = compileModel(path, "", options, &report))
    return std::move(error);
  BlockCost result;
  const ModelCost &cost = report.predictions.front();
  for (const ModelCost::Call &call : cost.calls)
    result.kernels.push_back({call.features});
  result.flops = cost.flops;
  result.storedBytes = cost.storedBytes;
  result.arenaBytes = cost.arenaBytes;
  result.ioBytes = cost.ioBytes;
  result.params = model.params;
  return result;
}

} // namespace attune::search
