//===- Backend.h - The code generators of a target --------------------------------------------===//
//
// What compilation asks of `--target` beyond what fusion asks (KernelBackend.h): who emits a
// kernel, for which host, at what price.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_BACKEND_H
#define ATTUNE_CODEGEN_BACKEND_H

#include "attune/codegen/Kernels.h"
#include "attune/passes/fuse/KernelBackend.h"
#include "mlir/Pass/PassManager.h"

namespace attune::codegen {

class TargetBackend : public KernelBackend {
public:
  void getDependentDialects(mlir::DialectRegistry &registry) const override {
    registerAllDialects(registry);
  }
  /// `--target`, as artifacts name it.
  virtual llvm::StringRef machine() const = 0;
  /// The CPU of the kernels, or of the host code around them.
  virtual const CpuTarget &target() const = 0;
  /// The emitters of a kernel that the fuse stage formed, the best first. `reference`: the
  /// fall-back that lowers everything by its reference lowering.
  virtual EmitterList choose(KernelOp kernel, bool reference) const = 0;

  /// What a kernel would take by one of the emitters that could make it.
  struct Price {
    llvm::StringRef backend, emitter;
    double seconds;
  };
  /// All that were considered for a kernel, the chosen one first; none where there is no price.
  virtual llvm::SmallVector<Price> prices(KernelOp kernel) const = 0;
  /// The emitter of that name; null where kernels have no predictions.
  virtual const KernelEmitter *named(llvm::StringRef emitter) const { return nullptr; }
  /// Adds what has to happen to the host function in front of fusion.
  virtual void prepare(mlir::OpPassManager &pm) const {}
  /// Completes the module of all kernels, before it is lowered: code for a device becomes data of
  /// it. That code, as text; empty where there is none.
  virtual llvm::Expected<std::string> finish(mlir::ModuleOp kernels) const { return std::string(); }
};

} // namespace attune::codegen
#endif
