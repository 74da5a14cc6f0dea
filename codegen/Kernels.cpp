#include "attune/codegen/Kernels.h"

#include "attune/dialect/Locations.h"
#include "mlir/IR/AsmState.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;

namespace attune::codegen {

std::string kernelHash(KernelOp op, const CpuTarget &target) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << target.cpu << target.features;
  for (int64_t dim : op.getInputDims())
    os << ' ' << dim;
  for (Value dim : op.getResultDims())
    os << ' ' << llvm::find(op.getDims(), dim) - op.getDims().begin();
  AsmState state(op, OpPrintingFlags().useLocalScope().printGenericOpForm());
  op.getBody().front().print(os, state);
  auto hash = llvm::xxh3_128bits(llvm::arrayRefFromStringRef(text));
  return llvm::utohexstr(hash.high64, true, 16) + llvm::utohexstr(hash.low64, true, 16);
}

CpuEmitters::CpuEmitters(bool onlyGeneric) {
  if (!onlyGeneric) {
    emitters.push_back(createDftEmitter());
    emitters.push_back(createEmaEmitter());
    emitters.push_back(createTruncatedEmaEmitter());
    emitters.push_back(createToeplitzEmitter());
    emitters.push_back(createGemmEmitter());
    emitters.push_back(createConvEmitter());
    emitters.push_back(createAttentionEmitter());
    emitters.push_back(createLinearAttentionEmitter());
    emitters.push_back(createMapMixEmitter());
    emitters.push_back(createRowwiseEmitter());
  }
  emitters.push_back(createLoopsEmitter());
}

const KernelEmitter &CpuEmitters::choose(KernelOp op, const CpuTarget &target) const {
  for (const auto &emitter : ArrayRef(emitters).drop_back())
    if (emitter->matches(op, target))
      return *emitter;
  return *emitters.back();
}

/// `used` is the emitter that made the kernel.
static FailureOr<EmittedKernel> emitFirst(const EmitterList &emitters, KernelOp op, ModuleOp module,
                                          StringRef symbol, const CpuTarget &target,
                                          const KernelEmitter *&used) {
  for (const KernelEmitter *emitter : ArrayRef(emitters).drop_back()) {
    ScopedDiagnosticHandler quiet(op.getContext(), [](Diagnostic &) { return success(); });
    FailureOr<EmittedKernel> emitted = emitter->emit(op, module, symbol, target);
    used = emitter;
    if (succeeded(emitted))
      return emitted;
  }
  used = emitters.back();
  return used->emit(op, module, symbol, target);
}

FailureOr<EmittedKernels> emitKernels(func::FuncOp func, ChooseEmitters choose,
                                      const CpuTarget &target) {
  EmittedKernels result;
  result.module = ModuleOp::create(func.getLoc());
  llvm::StringMap<int64_t> byHash;
  for (KernelOp op : func.getOps<KernelOp>()) {
    std::string hash = kernelHash(op, target);
    auto [it, fresh] = byHash.try_emplace(hash, result.kernels.size());
    result.kernelOf[op] = it->second;
    if (!fresh) {
      collectNodeNames(op.getLoc(), result.kernels[it->second].info.nodes);
      continue;
    }
    std::string symbol = ("attune_k" + llvm::Twine(result.kernels.size())).str();
    const KernelEmitter *emitter = nullptr;
    FailureOr<EmittedKernel> emitted =
        emitFirst(choose(op), op, *result.module, symbol, target, emitter);
    if (failed(emitted))
      return failure();
    ProgramKernel kernel;
    kernel.info.symbol = symbol;
    kernel.info.name = op.getKernelName().value_or(symbol).str();
    kernel.info.emitter = emitter->name().str();
    kernel.info.backend = emitter->backend().str();
    kernel.info.hash = hash;
    collectNodeNames(op.getLoc(), kernel.info.nodes);
    kernel.scratch = std::move(emitted->scratch);
    kernel.inPlace = std::move(emitted->inPlace);
    if (!emitted->bitcode.empty())
      result.bitcode.push_back(std::move(emitted->bitcode));
    result.kernels.push_back(std::move(kernel));
  }
  return result;
}

} // namespace attune::codegen
