//===- CudaBackend.h - Kernels for NVIDIA GPUs ------------------------------------------------===//
//
// `--target=cuda`: MLIR (codegen/gpu) makes every kernel; what it cannot take is an error, never
// work for the host.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CUDABACKEND_H
#define ATTUNE_CODEGEN_CUDABACKEND_H

#include "attune/codegen/Backend.h"
#include "attune/codegen/gpu/Target.h"

namespace attune::codegen {

class CudaBackend final : public TargetBackend {
public:
  /// `host`: of the code that launches.
  CudaBackend(CpuTarget host, GpuTarget gpu);

  llvm::StringRef emitterFor(KernelOp kernel) const override;
  llvm::StringRef backendOf(llvm::StringRef emitter) const override { return "mlir"; }
  unsigned rank(llvm::StringRef emitter) const override;
  bool packsConstants() const override { return false; }

  llvm::StringRef machine() const override { return "cuda"; }
  const CpuTarget &target() const override { return host; }
  EmitterList choose(KernelOp kernel, bool reference) const override;
  llvm::SmallVector<Price> prices(KernelOp kernel) const override { return {}; }
  void prepare(mlir::OpPassManager &pm) const override;
  llvm::Expected<std::string> finish(mlir::ModuleOp kernels) const override;

private:
  CpuTarget host;
  GpuTarget gpu;
  std::vector<std::unique_ptr<KernelEmitter>> emitters; ///< most special first; the last takes all
};

} // namespace attune::codegen
#endif
