#include "attune/codegen/CudaBackend.h"

#include "attune/codegen/gpu/Emit.h"
#include "attune/codegen/gpu/Emitter.h"
#include "attune/codegen/gpu/Launches.h"
#include "attune/codegen/gpu/Prepare.h"
#include "attune/passes/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace attune::codegen {

CudaBackend::CudaBackend(CpuTarget host, GpuTarget target)
    : host(std::move(host)), gpu(std::move(target)) {
  emitters.push_back(createGpuAttentionEmitter(gpu));
  emitters.push_back(createGpuGemmEmitter(gpu));
  emitters.push_back(createGpuLinearAttentionEmitter(gpu));
  emitters.push_back(createGpuMapMixEmitter(gpu));
  emitters.push_back(createGpuRowwiseEmitter(gpu));
  emitters.push_back(createGpuLoopsEmitter(gpu));
}

EmitterList CudaBackend::choose(KernelOp kernel, bool reference) const {
  if (!reference)
    for (const auto &emitter : ArrayRef(emitters).drop_back())
      if (emitter->matches(kernel, host))
        return {emitter.get()};
  return {emitters.back().get()};
}

StringRef CudaBackend::emitterFor(KernelOp kernel) const {
  const KernelEmitter *emitter = choose(kernel, /*reference=*/false).front();
  return emitter == emitters.back().get() ? "" : emitter->name();
}

unsigned CudaBackend::rank(StringRef emitter) const {
  auto known = llvm::find_if(emitters, [&](const auto &e) { return e->name() == emitter; });
  return known - emitters.begin();
}

void CudaBackend::prepare(OpPassManager &pm) const {
  pm.addNestedPass<func::FuncOp>(createPrepareForGpuPass());
  pm.addNestedPass<func::FuncOp>(createFormContractions());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

llvm::Expected<std::string> CudaBackend::finish(ModuleOp kernels) const {
  return embedDeviceCode(kernels, [&](ModuleOp device) { return emitPtx(device, gpu); });
}

} // namespace attune::codegen
