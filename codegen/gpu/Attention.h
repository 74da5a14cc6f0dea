//===- Attention.h - Which attention has a kernel of its own on a GPU -------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_ATTENTION_H
#define ATTUNE_CODEGEN_GPU_ATTENTION_H

#include "attune/dialect/Attune.h"

namespace attune::codegen {

/// Whether types, head sizes and weighting are those of the fused kernel; other attention becomes
/// products and a softmax before kernels are formed.
bool fusesOnGpu(AttentionOp op);

} // namespace attune::codegen
#endif
