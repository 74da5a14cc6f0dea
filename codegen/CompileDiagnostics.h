//===- CompileDiagnostics.h - What a compilation says -----------------------------------------===//
//
// Errors of passes become one error of the compilation; remarks are kept for its report.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COMPILEDIAGNOSTICS_H
#define ATTUNE_CODEGEN_COMPILEDIAGNOSTICS_H

#include "attune/codegen/Compiler.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Remarks.h"

namespace attune {

/// Collects the diagnostics of a compilation into one message.
class CompileDiagnostics {
public:
  explicit CompileDiagnostics(mlir::MLIRContext &context);
  /// Whatever goes wrong after import is not the user's fault, unless the message says so.
  llvm::Error take(llvm::StringRef stage);

private:
  std::string text;
  mlir::ScopedDiagnosticHandler handler;
};

/// Has all remarks of `context` appended to `remarks`.
void collectRemarks(mlir::MLIRContext &context, std::vector<CompileRemark> &remarks);

} // namespace attune
#endif
