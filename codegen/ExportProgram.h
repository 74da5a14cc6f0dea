//===- ExportProgram.h - From a fused function to the host program ----------------------------===//
#ifndef ATTUNE_CODEGEN_EXPORTPROGRAM_H
#define ATTUNE_CODEGEN_EXPORTPROGRAM_H

#include "attune/codegen/Program.h"
#include "attune/codegen/cpu/Emitter.h"
#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace attune::codegen {

/// A kernel of the program and what its emitter asks for.
struct ProgramKernel {
  Program::Kernel info;
  llvm::SmallVector<HostExpr> scratch;
  llvm::SmallVector<InPlace> inPlace;
};

/// Exports `func`, in which `kernelOf` gives every kernel op its place in `kernels`. Index
/// arithmetic for scratch sizes is added to the function. A failure has emitted a diagnostic that
/// names the operator that the host program cannot express.
llvm::FailureOr<Program> exportProgram(mlir::func::FuncOp func,
                                       llvm::ArrayRef<ProgramKernel> kernels,
                                       const llvm::DenseMap<mlir::Operation *, int64_t> &kernelOf);

/// The name of an element type in metadata and signatures ("f32", "i64", "bool", …).
std::string dtypeName(mlir::Type type);

} // namespace attune::codegen
#endif
