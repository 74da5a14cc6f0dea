//===- Lower.h - From kernel functions to the LLVM dialect and to files -----------------------===//
//
// The steps of emission that code for CPUs (Emit.h) and for GPUs (gpu/Emit.h) share. What fails
// here is our bug: the emitters made IR that does not lower.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_LOWER_H
#define ATTUNE_CODEGEN_CPU_LOWER_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/Pass.h"
#include "llvm/Support/CodeGen.h"
#include "llvm/Support/Error.h"

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace attune::codegen {

llvm::Error internalError(const llvm::Twine &what, llvm::StringRef details);

/// Collects the messages of everything that fails while it lives.
class Messages {
public:
  explicit Messages(mlir::MLIRContext *context);
  std::string text;

private:
  mlir::ScopedDiagnosticHandler handler;
};

/// Lowers func, scf, arith, math, vector and memref in `module` to the LLVM dialect, in place.
/// `expandMath` runs first, on what it replaces of the math dialect; `lowerRest` on what no generic
/// conversion knows. `subject` names the functions in errors.
llvm::Error lowerFunctions(mlir::ModuleOp module, std::unique_ptr<mlir::Pass> expandMath,
                           std::unique_ptr<mlir::Pass> lowerRest, llvm::StringRef subject);

/// Object code or assembly of an optimised module.
llvm::Expected<llvm::SmallVector<char>> emitFile(llvm::Module &module, llvm::TargetMachine &machine,
                                                 llvm::CodeGenFileType type);

} // namespace attune::codegen
#endif
