#include "attune/frontend/onnx/Import.h"
namespace attune::onnx { llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>> importModel(llvm::StringRef, mlir::MLIRContext &, const ImportOptions &) { return llvm::createStringError("no front end"); } }
