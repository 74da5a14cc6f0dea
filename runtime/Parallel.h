//===- Parallel.h - `parallel_for` of the kernel ABI ------------------------------------------===//
#ifndef ATTUNE_RUNTIME_PARALLEL_H
#define ATTUNE_RUNTIME_PARALLEL_H

#include "attune/runtime/attune.h"
#include "attune/runtime/kernel_abi.h"

namespace attune::rt {

class Stream;

/// What the kernels of one running call see; one per arena.
struct Context : attune_ctx {
  const attune_executor *executor; ///< null: the process's pool
  Stream *stream = nullptr;        ///< of the device, if there is one
  uint32_t step = 0;               ///< of the call, that runs

  Context(unsigned threads, const attune_executor *executor);
};

} // namespace attune::rt
#endif
