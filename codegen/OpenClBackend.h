//===- OpenClBackend.h - Kernels for an OpenCL device -----------------------------------------===//
//
// `--target=opencl`: Halide (codegen/halide) makes every kernel; what it cannot take is an error,
// never work for the host.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_OPENCLBACKEND_H
#define ATTUNE_CODEGEN_OPENCLBACKEND_H

#include "attune/codegen/Backend.h"

namespace attune::codegen {

class OpenClBackend final : public TargetBackend {
public:
  /// `host`: of the code that launches.
  explicit OpenClBackend(CpuTarget host);

  llvm::StringRef emitterFor(KernelOp kernel) const override;
  llvm::StringRef backendOf(llvm::StringRef emitter) const override { return "halide"; }
  unsigned rank(llvm::StringRef emitter) const override { return emitter.empty(); }
  bool packsConstants() const override { return false; }
  bool sharesCaches() const override { return false; }
  /// If it saves a launch.
  bool prefersMerged(KernelOp merged, KernelOp producer, KernelOp consumer) const override;

  llvm::StringRef machine() const override { return "opencl"; }
  const CpuTarget &target() const override { return host; }
  EmitterList choose(KernelOp kernel, bool reference) const override { return {emitter.get()}; }
  llvm::SmallVector<Price> prices(KernelOp kernel) const override { return {}; }

private:
  CpuTarget host;
  std::unique_ptr<KernelEmitter> emitter;
};

} // namespace attune::codegen
#endif
