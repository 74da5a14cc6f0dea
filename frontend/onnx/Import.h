//===- Import.h - ONNX models to attune, linalg, tensor, arith and math -----------------------===//
//
// First stage of the flow: reads a model file and gives one `func.func @main` in a module.
//
// Arguments and results carry `attune.name` (the ONNX value name) and `attune.dims` (one dim symbol
// per axis, "" where static); an unsigned or otherwise ambiguous element type is named by
// `attune.dtype`. Locations are the ONNX node names. Every dynamic size is index arithmetic over
// the symbols, at the front of the function. Large constants are resources that refer to the
// mapped or parsed file; they live as long as the context.
//
// The user's errors come back as one message (node, operator, opset, found, accepted); those about
// something unsupported start with "unsupported:". No exception leaves this library.
//
//   attune::onnx::ImportOptions options;
//   options.fixedDims["seq"] = 128;
//   auto module = attune::onnx::importModel("model.onnx", context, options);
//   if (!module)
//     llvm::errs() << llvm::toString(module.takeError());
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_IMPORT_H
#define ATTUNE_FRONTEND_ONNX_IMPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"
#include <map>
#include <string>
#include <vector>

namespace attune::onnx {

struct ImportOptions {
  std::map<std::string, int64_t> fixedDims;                ///< dim symbol to size
  std::map<std::string, std::vector<int64_t>> fixedShapes; ///< input name to shape
  std::vector<std::string> functions;                      ///< models with function bodies to use
};

/// The context must have the dialects of `attune::registerAllDialects`.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
importModel(llvm::StringRef path, mlir::MLIRContext &context, const ImportOptions &options = {});

} // namespace attune::onnx
#endif
