#include "attune/frontend/onnx/Import.h"

#include "attune/frontend/onnx/Importer.h"
#include "mlir/IR/Verifier.h"

namespace attune::onnx {

llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
importModel(llvm::StringRef path, mlir::MLIRContext &context, const ImportOptions &options) {
  std::string message;
  try {
    LoadedModel loaded = loadModel(path.str(), options);
    Importer importer(context, loaded);
    mlir::OwningOpRef<mlir::ModuleOp> module = importer.run(loaded.model.graph().name());
    std::string details;
    mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
      if (details.empty())
        details = diagnostic.str();
      return mlir::success();
    });
    if (mlir::succeeded(mlir::verify(*module)))
      return module;
    return llvm::createStringError(std::make_error_code(std::errc::state_not_recoverable),
                                   "internal error, please report: the importer built invalid IR "
                                   "for " +
                                       path.str() + ": " + details);
  } catch (const ImportError &error) {
    message = error.what();
  } catch (const std::exception &error) {
    message = "cannot import " + path.str() + ": " + error.what();
  }
  return llvm::createStringError(std::make_error_code(std::errc::invalid_argument), message);
}

} // namespace attune::onnx
