//===- Prepare.h - Operators that have no kernel of their own on a GPU ------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_PREPARE_H
#define ATTUNE_CODEGEN_GPU_PREPARE_H

#include "mlir/Pass/Pass.h"

namespace attune::codegen {

/// In front of fusion: attention becomes its reference lowering, so that its products and its
/// softmax are kernels that have emitters. Without it one kernel would hold all of it, as loops.
/// Where values have 16 bits, so have the exponentials that they are multiplied by; maxima and sums
/// are f32.
std::unique_ptr<mlir::Pass> createPrepareForGpuPass();

} // namespace attune::codegen
#endif
