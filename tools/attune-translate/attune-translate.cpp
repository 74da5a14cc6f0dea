#include "attune/dialect/Attune.h"
#include "attune/frontend/onnx/Import.h"
#include "attune/support/WriteFile.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/WithColor.h"

#include <csignal>

namespace cl = llvm::cl;

static cl::OptionCategory category("attune-translate options");
static cl::opt<std::string> input("import-onnx", cl::desc("ONNX model to import"),
                                  cl::value_desc("model.onnx"), cl::Required, cl::cat(category));
static cl::opt<std::string> output("o", cl::desc("Output file"), cl::value_desc("file"),
                                   cl::init("-"), cl::cat(category));
static cl::list<std::string> dims("dim", cl::desc("Fix a dim symbol"), cl::value_desc("seq=128"),
                                  cl::cat(category));
static cl::list<std::string> shapes("shape", cl::desc("Fix the shape of an input"),
                                    cl::value_desc("x=1x128"), cl::cat(category));
static cl::list<std::string> functions("functions", cl::desc("Model with function bodies to use"),
                                       cl::value_desc("f.onnx"), cl::cat(category));
static cl::opt<bool> full("full", cl::desc("Print constants of any size"), cl::cat(category));
static cl::opt<bool> debugInfo("locations", cl::desc("Print node names as locations"),
                               cl::cat(category));

static int usage(const llvm::Twine &message) {
  llvm::WithColor::error(llvm::errs(), "attune-translate") << message << "\n";
  return 2;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  std::signal(SIGXFSZ, SIG_IGN); // an error where the file is written
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv, "Imports a model and prints its IR\n");

  attune::onnx::ImportOptions options;
  options.functions.assign(functions.begin(), functions.end());
  for (const std::string &text : dims) {
    auto [name, size] = llvm::StringRef(text).split('=');
    if (name.empty() || size.getAsInteger(10, options.fixedDims[name.str()]))
      return usage("--dim=" + text + "; accepted: name=size");
  }
  for (const std::string &text : shapes) {
    auto [name, sizes] = llvm::StringRef(text).rsplit('=');
    auto &shape = options.fixedShapes[name.str()];
    llvm::SmallVector<llvm::StringRef> parts;
    sizes.split(parts, 'x', -1, /*KeepEmpty=*/false);
    for (llvm::StringRef part : parts)
      if (part.getAsInteger(10, shape.emplace_back()))
        return usage("--shape=" + text + "; accepted: name=1x128");
  }

  mlir::DialectRegistry registry;
  attune::registerAllDialects(registry);
  mlir::MLIRContext context(registry);
  context.loadAllAvailableDialects();
  auto module = attune::onnx::importModel(input, context, options);
  if (!module) {
    llvm::Error error = module.takeError();
    bool ours = false;
    std::string message;
    llvm::handleAllErrors(std::move(error), [&](const llvm::StringError &e) {
      ours = e.convertToErrorCode() == std::errc::state_not_recoverable;
      message = e.getMessage();
    });
    llvm::WithColor::error(llvm::errs(), "attune-translate") << message << "\n";
    return ours ? 3 : 1;
  }
  mlir::OpPrintingFlags flags;
  if (!full) {
    flags.elideLargeElementsAttrs(64);
    // 0: the text of a resource is not even made.
    flags.elideLargeResourceString(0);
  }
  flags.enableDebugInfo(debugInfo, /*prettyForm=*/debugInfo);
  if (llvm::Error error =
          attune::writeFile(output, [&](llvm::raw_ostream &os) { (*module)->print(os, flags); })) {
    llvm::WithColor::error(llvm::errs(), "attune-translate")
        << llvm::toString(std::move(error)) << "\n";
    return 1;
  }
  return 0;
}
