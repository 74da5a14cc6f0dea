#include "attune/runtime/Parallel.h"
#include "attune/runtime/Cpu.h"
#include "attune/runtime/ThreadPool.h"
#include <algorithm>
#include <atomic>
#include <mutex>

namespace attune::rt {
namespace {

/// The parallel_for whose task this thread runs: a nested call must stay on its worker number.
struct Current {
  const attune_ctx *ctx = nullptr;
  int64_t worker = 0;
};
thread_local Current current;

struct Loop {
  attune_ctx *ctx = nullptr;
  attune_task_fn fn = nullptr;
  void *const *buffers = nullptr;
  const int64_t *dims = nullptr;
  int64_t tasks = 0;
  uint32_t floatControl = 0;
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::mutex failure;
  int64_t failedTask = INT64_MAX;
  int32_t failed = 0;

  void work(int64_t worker) {
    Current outer = current;
    current = {ctx, worker};
    for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;)
      if (int32_t code = fn(ctx, buffers, dims, task, worker)) {
        std::lock_guard lock(failure);
        if (task < failedTask)
          failedTask = task, failed = code;
      }
    current = outer;
  }
};

int32_t runInline(attune_ctx *ctx, int64_t tasks, attune_task_fn fn, void *const *buffers,
                  const int64_t *dims, int64_t worker) {
  int32_t failed = 0;
  for (int64_t task = 0; task < tasks; ++task) {
    int32_t code = fn(ctx, buffers, dims, task, worker);
    failed = failed ? failed : code;
  }
  return failed;
}

int32_t parallelFor(attune_ctx *ctx, int64_t tasks, attune_task_fn fn, void *const *buffers,
                    const int64_t *dims) {
  if (ctx->threads == 1)
    return runInline(ctx, tasks, fn, buffers, dims, 0);
  if (current.ctx == ctx)
    return runInline(ctx, tasks, fn, buffers, dims, current.worker);
  if (tasks <= 1)
    return runInline(ctx, tasks, fn, buffers, dims, 0);

  Loop loop;
  loop.ctx = ctx, loop.fn = fn, loop.buffers = buffers, loop.dims = dims, loop.tasks = tasks;
  uint32_t count = uint32_t(std::min<int64_t>(ctx->threads, tasks));
  const attune_executor *executor = static_cast<Context *>(ctx)->executor;
  if (!executor) {
    poolRun(count, [](void *loop, uint32_t i) { static_cast<Loop *>(loop)->work(i); }, &loop);
  } else {
    loop.floatControl = floatControl();
    executor->run(
        executor->context, count,
        [](void *argument, uint32_t i) {
          auto *loop = static_cast<Loop *>(argument);
          uint32_t before = floatControl();
          setFloatControl(loop->floatControl);
          loop->work(i);
          setFloatControl(before);
        },
        &loop);
    loop.work(0); // what an executor left that called fewer jobs than it should
  }
  return loop.failed;
}

} // namespace

Context::Context(unsigned threads, const attune_executor *executor)
    : attune_ctx{sizeof(attune_ctx), threads, parallelFor}, executor(executor) {}

} // namespace attune::rt
