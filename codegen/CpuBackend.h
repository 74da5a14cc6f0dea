//===- CpuBackend.h - The MLIR CPU code generator behind KernelBackend ----------------------------===//
#ifndef ATTUNE_CODEGEN_CPUBACKEND_H
#define ATTUNE_CODEGEN_CPUBACKEND_H

#include "attune/codegen/Kernels.h"
#include "attune/passes/fuse/KernelBackend.h"

namespace attune::codegen {

class CpuBackend final : public KernelBackend {
public:
  explicit CpuBackend(CpuTarget target) : cpu(std::move(target)) {}

  llvm::StringRef name() const override { return "mlir"; }
  llvm::StringRef emitterFor(KernelOp kernel) const override {
    const KernelEmitter &emitter = special.choose(kernel, cpu);
    return &emitter == special.all().back().get() ? llvm::StringRef() : emitter.name();
  }

  unsigned rank(llvm::StringRef emitter) const override {
    unsigned position = 0;
    for (const auto &known : special.all()) {
      if (known->name() == emitter)
        break;
      ++position;
    }
    return position;
  }

  const CpuTarget &target() const { return cpu; }
  /// `reference`: only the fall-back that lowers everything by its reference lowering.
  const CpuEmitters &emitters(bool reference) const { return reference ? generic : special; }

private:
  CpuTarget cpu;
  CpuEmitters special{/*onlyGeneric=*/false};
  CpuEmitters generic{/*onlyGeneric=*/true};
};

} // namespace attune::codegen
#endif
