#include "attune/tools/attune/calibrate/Compiled.h"
#include "attune/support/WriteFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {

llvm::Expected<Temporary> Temporary::make(llvm::StringRef ending) {
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune", ending, path))
    return llvm::createStringError(code, "cannot create a temporary file: " + code.message());
  Temporary file;
  file.path = path.str().str();
  return file;
}

Temporary::~Temporary() {
  if (!path.empty())
    llvm::sys::fs::remove(path);
}

llvm::Expected<Compiled> Compiled::make(const Network &network, std::vector<CostRequest> predict,
                                        const std::string &backend) {
  auto model = Temporary::make("onnx"), artifact = Temporary::make("so");
  if (!model)
    return model.takeError();
  if (!artifact)
    return artifact.takeError();
  if (llvm::Error error =
          writeFile(model->path, [&](llvm::raw_ostream &os) { os << network.model; }))
    return std::move(error);
  CompileOptions options;
  options.predict = std::move(predict);
  options.backend = backend;
  options.jobs = 1; // several networks are compiled at a time
  Compiled compiled{std::move(*artifact), {}};
  if (llvm::Error error =
          compileModel(model->path, compiled.artifact.path, options, &compiled.report))
    return std::move(error);
  return compiled;
}

} // namespace attune::tools
