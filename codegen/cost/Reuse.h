//===- Reuse.h - How much was touched since the same memory was -------------------------------===//
//
// A buffer is in a cache if what was touched since its memory was touched last fits into it. The
// host program says when that was: it names the memory of every buffer, weights and scratch too,
// and runs again and again.
//
//   setReuse(program, scalars, calls);   // BufferUse::distance of every kernel call
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_REUSE_H
#define ATTUNE_CODEGEN_COST_REUSE_H

#include "attune/codegen/Program.h"
#include "attune/codegen/cost/Features.h"

namespace attune::codegen {

/// `calls`: of the program's kernel steps, in order; buffers of a step are inputs, results,
/// scratch. `scalars`: the sizes of the call. The memory plan must be there.
void setReuse(const Program &program, llvm::ArrayRef<int64_t> scalars,
              llvm::ArrayRef<KernelFeatures *> calls);

} // namespace attune::codegen
#endif
