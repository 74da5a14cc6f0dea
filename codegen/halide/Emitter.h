//===- Emitter.h - The Halide back end as an emitter of kernels -------------------------------===//
//
// Takes kernels whose regions are structured operators throughout (Support.h): translated to Halide
// Funcs, scheduled by rule (Plan.h), compiled to bitcode that is linked into the module of kernels
// and inlined there. Nothing of Halide is needed to run the result.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_EMITTER_H
#define ATTUNE_CODEGEN_HALIDE_EMITTER_H

#include "attune/codegen/cpu/Emitter.h"

#include <optional>

namespace attune::codegen {

/// Never null; where the back end was left out of the build, they take no kernel and say so.
std::unique_ptr<KernelEmitter> createHalideEmitter();

/// Kernels for an OpenCL device: the function of the kernel ABI runs on the host and launches, its
/// buffers are handles (runtime/kernel_abi.h).
std::unique_ptr<KernelEmitter> createOpenClEmitter();

/// How many launches a kernel takes on a device at least; nothing where it cannot be had.
std::optional<size_t> countLaunches(KernelOp op);

/// How the back end would compute a kernel.
struct HalideFit {
  bool fused = false; ///< all operators share blocks: no temporary is as large as a tensor
};
/// Nothing where it does not take the kernel.
std::optional<HalideFit> fitHalide(KernelOp op, const CpuTarget &target);

} // namespace attune::codegen
#endif
