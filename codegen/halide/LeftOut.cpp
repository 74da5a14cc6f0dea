#include "attune/codegen/halide/Emitter.h"

namespace attune::codegen {
namespace {

/// Stands in for the back end in a build without Halide.
class LeftOutEmitter final : public KernelEmitter {
public:
  llvm::StringRef name() const override { return "halide"; }
  llvm::StringRef backend() const override { return "halide"; }
  bool matches(KernelOp, const CpuTarget &) const override { return false; }
  llvm::FailureOr<EmittedKernel> emit(KernelOp op, mlir::ModuleOp, llvm::StringRef,
                                      const CpuTarget &) const override {
    return op.emitError("unsupported: the Halide back end is not built in (ATTUNE_HALIDE=OFF)");
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createHalideEmitter() { return std::make_unique<LeftOutEmitter>(); }

std::unique_ptr<KernelEmitter> createOpenClEmitter() { return std::make_unique<LeftOutEmitter>(); }

std::optional<size_t> countLaunches(KernelOp) { return std::nullopt; }

std::optional<HalideFit> fitHalide(KernelOp, const CpuTarget &) { return std::nullopt; }

} // namespace attune::codegen
