//===- ThreadPool.h - The process's worker threads --------------------------------------------===//
//
// Behind `parallel_for` of kernel_abi.h. One pool per process, made on first use, grown to what the
// largest session asks for, never destroyed; a forked child makes its own.
//
// A call offers its job to workers that are free, takes part itself and, when no task is left,
// takes back the offers that nobody has picked up yet: a worker that the system does not schedule
// costs nothing. Workers that are busy for another call are left alone. Workers look for the next
// job actively for a few milliseconds while an inference runs, then sleep in a futex.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_THREADPOOL_H
#define ATTUNE_RUNTIME_THREADPOOL_H

#include <cstdint>

namespace attune::rt {

/// Runs job(argument, i) for i = 0 and possibly for further i below `count`, each at most once and
/// on a thread of its own; returns when all have returned. The job itself shares out the work.
void poolRun(unsigned count, void (*job)(void *argument, uint32_t i), void *argument);

/// While one lives, workers expect more jobs soon.
class PoolActive {
public:
  PoolActive();
  ~PoolActive();
  PoolActive(const PoolActive &) = delete;
};

} // namespace attune::rt
#endif
