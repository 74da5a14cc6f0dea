#include "attune/codegen/OpenClBackend.h"

#include "attune/codegen/halide/Emitter.h"

namespace attune::codegen {

OpenClBackend::OpenClBackend(CpuTarget host)
    : host(std::move(host)), emitter(createOpenClEmitter()) {}

llvm::StringRef OpenClBackend::emitterFor(KernelOp kernel) const {
  return emitter->matches(kernel, host) ? emitter->name() : "";
}

bool OpenClBackend::prefersMerged(KernelOp merged, KernelOp producer, KernelOp consumer) const {
  std::optional<size_t> together = countLaunches(merged), first = countLaunches(producer),
                        then = countLaunches(consumer);
  return together && first && then && *together < *first + *then;
}

} // namespace attune::codegen
