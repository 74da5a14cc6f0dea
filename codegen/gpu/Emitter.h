//===- Emitter.h - From an attune.kernel to device functions ----------------------------------===//
//
// The emitters of `--target=cuda`, each a KernelEmitter (codegen/cpu/Emitter.h) that knows its GPU.
// `emit` adds device functions and a host function that launches them, through Launches. The last
// one, `loops`, takes whatever has a reference lowering and instructions.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_EMITTER_H
#define ATTUNE_CODEGEN_GPU_EMITTER_H

#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/gpu/Target.h"

namespace attune::codegen {

std::unique_ptr<KernelEmitter> createGpuAttentionEmitter(const GpuTarget &gpu);
std::unique_ptr<KernelEmitter> createGpuGemmEmitter(const GpuTarget &gpu);
std::unique_ptr<KernelEmitter> createGpuLinearAttentionEmitter(const GpuTarget &gpu);
std::unique_ptr<KernelEmitter> createGpuMapMixEmitter(const GpuTarget &gpu);
std::unique_ptr<KernelEmitter> createGpuRowwiseEmitter(const GpuTarget &gpu);
std::unique_ptr<KernelEmitter> createGpuLoopsEmitter(const GpuTarget &gpu);

} // namespace attune::codegen
#endif
