//===- ShareCaches.h - Growing caches in whole buffers ----------------------------------------===//
//
// A decoder that takes `past` and gives `present = concat(past, new)` copies the whole past at
// every step, unless both are the front of one larger buffer. This pass lets the kernels around
// such a pair work on whole buffers, whose extent along the axis that grows (the capacity) only the
// run knows:
//
//   %present = attune.kernel ins(%past, %new) { yield concat(%past, %new) }
//   // becomes, with two more arguments of the function that stand for the caller's buffers:
//   %all = attune.kernel ins(%past_buffer, %new) {
//     %past = extract_slice %past_buffer [0] [past]
//     yield insert_slice concat(%past, %new) into empty [0] [past + new]
//   }
//   %present = extract_slice %all [0] [past + new]
//
// What lies behind the front is never read nor written. If both buffers are one, the past is
// already where it belongs and is not copied. Kernels that read `past` or `present` take the buffer
// as well.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_FUSE_SHARECACHES_H
#define ATTUNE_PASSES_FUSE_SHARECACHES_H

#include "attune/passes/fuse/KernelBackend.h"
#include "mlir/Pass/Pass.h"

namespace attune {

/// On an argument that stands for the buffer behind another argument, or behind a result: the
/// number of that input, of the output, the axis. An input's and an output's buffer with the same
/// numbers may be the same memory.
inline constexpr llvm::StringLiteral kInputBufferAttr = "attune.input_buffer";
inline constexpr llvm::StringLiteral kOutputBufferAttr = "attune.output_buffer";

/// Only pairs whose kernels keep their special emitters change. `backend` must outlive the pass.
std::unique_ptr<mlir::Pass> createShareCachesPass(const KernelBackend &backend);

} // namespace attune
#endif
