//===- CpuBackend.h - The code generators for the CPU behind KernelBackend --------------------===//
//
// Two of them: MLIR (codegen/cpu) and Halide (codegen/halide). Which one a kernel gets is decided
// here and nowhere else: the fuse stage asks while it merges kernels, code generation when it emits
// them.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPUBACKEND_H
#define ATTUNE_CODEGEN_CPUBACKEND_H

#include "attune/codegen/Backend.h"
#include "attune/codegen/cost/Decisions.h"
#include "attune/codegen/cost/Oracle.h"

namespace attune::codegen {

/// `--backend`. Auto takes Halide where the oracle prices its kernel below that of MLIR's emitter.
enum class BackendKind { Auto, Mlir, Halide };

class CpuBackend final : public TargetBackend {
public:
  /// Without an oracle, the machine is a typical one. `decisions`: what was measured, and where
  /// choices between merged kernels are recorded; may be null.
  explicit CpuBackend(CpuTarget target, BackendKind kind = BackendKind::Mlir,
                      std::shared_ptr<const CostOracle> oracle = nullptr,
                      Decisions *decisions = nullptr);

  llvm::StringRef emitterFor(KernelOp kernel) const override;
  llvm::StringRef backendOf(llvm::StringRef emitter) const override;
  unsigned rank(llvm::StringRef emitter) const override;
  bool prefersMerged(KernelOp merged, KernelOp producer, KernelOp consumer) const override;
  bool packsConstants() const override { return kind != BackendKind::Halide; }
  int64_t filterPanel(const FilterUse &use) const override;

  llvm::StringRef machine() const override { return "cpu"; }
  const CpuTarget &target() const override { return cpu; }
  /// Several, as Halide may find only while it compiles that a kernel is beyond it.
  EmitterList choose(KernelOp kernel, bool reference) const override;
  llvm::SmallVector<Price> prices(KernelOp kernel) const override;
  const KernelEmitter *named(llvm::StringRef emitter) const override;

private:
  CpuTarget cpu;
  BackendKind kind;
  std::shared_ptr<const CostOracle> oracle;
  Decisions *decisions;
  CpuEmitters special{/*onlyGeneric=*/false};
  CpuEmitters generic{/*onlyGeneric=*/true};
  std::unique_ptr<KernelEmitter> halide;

  const KernelEmitter &choose(KernelOp kernel) const;
  /// `mlir`: the emitter of this code generator, null if it is ruled out.
  llvm::SmallVector<Price> prices(KernelOp kernel, const KernelEmitter *mlir) const;
  /// Whether Halide gets to the end with a kernel: what was merged for it has no other good
  /// emitter.
  bool compiles(KernelOp kernel) const;
  Decision decisionOf(llvm::StringRef kind, KernelOp kernel) const;
  double seconds(KernelOp kernel, const KernelEmitter &emitter) const;
};

} // namespace attune::codegen
#endif
