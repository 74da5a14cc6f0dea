//===- Kernels.h - Emits every kernel of a function once --------------------------------------===//
#ifndef ATTUNE_CODEGEN_KERNELS_H
#define ATTUNE_CODEGEN_KERNELS_H

#include "attune/codegen/ExportProgram.h"
#include "attune/codegen/cpu/Target.h"
#include "mlir/IR/BuiltinOps.h"

namespace attune::codegen {

/// Structural hash of a kernel (ops, dtypes, static extents, layout of dims, target): equal kernels
/// become one function with weights as arguments; the key of caches and tuning.
std::string kernelHash(KernelOp op, const CpuTarget &target);

/// The CPU emitters, most special first; the last takes everything.
class CpuEmitters {
public:
  explicit CpuEmitters(bool onlyGeneric);
  const KernelEmitter &choose(KernelOp op, const CpuTarget &target) const;
  llvm::ArrayRef<std::unique_ptr<KernelEmitter>> all() const { return emitters; }

private:
  std::vector<std::unique_ptr<KernelEmitter>> emitters;
};

/// The kernels of `func`, emitted into a new module.
struct EmittedKernels {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::vector<ProgramKernel> kernels;
  std::vector<std::string> bitcode; ///< of kernels that other code generators made
  llvm::DenseMap<mlir::Operation *, int64_t> kernelOf;
};
/// By the first of the emitters that `choose` gives for each which succeeds; a failure of the last is
/// that of the compilation.
using EmitterList = llvm::SmallVector<const KernelEmitter *, 2>;
using ChooseEmitters = llvm::function_ref<EmitterList(KernelOp)>;
llvm::FailureOr<EmittedKernels> emitKernels(mlir::func::FuncOp func, ChooseEmitters choose,
                                            const CpuTarget &target);

} // namespace attune::codegen
#endif
