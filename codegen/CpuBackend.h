//===- CpuBackend.h - The code generators for the CPU behind KernelBackend --------------------===//
//
// Two of them: MLIR (codegen/cpu) and Halide (codegen/halide). Which one a kernel gets is decided
// here and nowhere else: the fuse stage asks while it merges kernels, code generation when it emits
// them.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPUBACKEND_H
#define ATTUNE_CODEGEN_CPUBACKEND_H

#include "attune/codegen/Kernels.h"
#include "attune/codegen/cost/Oracle.h"
#include "attune/passes/fuse/KernelBackend.h"

namespace attune::codegen {

/// `--backend`. Auto takes Halide where its kernel is predicted to be faster than MLIR's, with a
/// margin.
enum class BackendKind { Auto, Mlir, Halide };

class CpuBackend final : public KernelBackend {
public:
  explicit CpuBackend(CpuTarget target, BackendKind kind = BackendKind::Mlir);

  llvm::StringRef emitterFor(KernelOp kernel) const override;
  llvm::StringRef backendOf(llvm::StringRef emitter) const override;
  unsigned rank(llvm::StringRef emitter) const override;
  bool prefersMerged(KernelOp merged, KernelOp producer, KernelOp consumer) const override;
  bool packsConstants() const override { return kind != BackendKind::Halide; }

  const CpuTarget &target() const { return cpu; }
  /// The emitters of a kernel that the fuse stage formed, the best first: Halide may find only
  /// while it compiles that a kernel is beyond it. `reference`: the fall-back that lowers
  /// everything by its reference lowering.
  EmitterList choose(KernelOp kernel, bool reference) const;

  /// What a kernel would take by one of the emitters that could make it.
  struct Price {
    llvm::StringRef backend, emitter;
    double seconds;
  };
  /// All that were considered for a kernel, the chosen one first.
  llvm::SmallVector<Price> prices(KernelOp kernel) const;

private:
  CpuTarget cpu;
  BackendKind kind;
  RooflineOracle oracle{cpu};
  CpuEmitters special{/*onlyGeneric=*/false};
  CpuEmitters generic{/*onlyGeneric=*/true};
  std::unique_ptr<KernelEmitter> halide;

  const KernelEmitter &choose(KernelOp kernel) const;
  /// Whether Halide gets to the end with a kernel: what was merged for it has no other good emitter.
  bool compiles(KernelOp kernel) const;
  double seconds(KernelOp kernel, llvm::StringRef emitter) const;
};

} // namespace attune::codegen
#endif
