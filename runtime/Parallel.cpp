#include "attune/runtime/Parallel.h"
#include "attune/runtime/Cpu.h"
#include "attune/runtime/ThreadPool.h"
#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

namespace attune::rt {
namespace {

/// The parallel_for whose task this thread runs: a nested call must stay on its worker number.
struct Current {
  const attune_ctx *ctx = nullptr;
  int64_t worker = 0;
};
thread_local Current current;

/// A range of units of work. Its owner takes from the front, others from the back.
class alignas(64) Share {
public:
  void set(uint64_t first, uint64_t last) {
    range.store(first << 32 | last, std::memory_order_relaxed);
  }
  std::optional<uint32_t> takeFirst() { return take(uint64_t(1) << 32, 0); }
  std::optional<uint32_t> takeLast() { return take(-uint64_t(1), -1); }

private:
  std::optional<uint32_t> take(uint64_t change, int32_t shift) {
    uint64_t seen = range.load(std::memory_order_relaxed);
    for (;;) {
      uint32_t first = seen >> 32, last = uint32_t(seen);
      if (first == last)
        return std::nullopt;
      if (range.compare_exchange_weak(seen, seen + change, std::memory_order_relaxed))
        return shift ? last + shift : first;
    }
  }
  std::atomic<uint64_t> range{0};
};

/// Tasks go to workers as contiguous ranges, the same for every loop of as many tasks, so that a
/// worker finds rows in its cache that it wrote in the loop before; who is done early takes from
/// the others.
struct Loop {
  static constexpr uint32_t kShares = 64;

  attune_ctx *ctx = nullptr;
  attune_task_fn fn = nullptr;
  void *const *buffers = nullptr;
  const int64_t *dims = nullptr;
  int64_t tasks = 0;
  int64_t unit = 1; ///< tasks that are taken together
  uint32_t floatControl = 0;
  uint32_t shareCount = 1;
  Share shares[kShares];
  alignas(64) std::mutex failure;
  int64_t failedTask = INT64_MAX;
  int32_t failed = 0;

  void divide(uint32_t workers) {
    unit = tasks / INT32_MAX + 1;
    uint64_t units = (tasks + unit - 1) / unit;
    shareCount = std::min(workers, kShares);
    for (uint64_t i = 0; i < shareCount; ++i)
      shares[i].set(units * i / shareCount, units * (i + 1) / shareCount);
  }

  void work(int64_t worker) {
    Current outer = current;
    current = {ctx, worker};
    uint32_t own = worker % shareCount;
    while (std::optional<uint32_t> number = shares[own].takeFirst())
      run(*number, worker);
    for (uint32_t i = 1; i < shareCount; ++i)
      while (std::optional<uint32_t> number = shares[(own + i) % shareCount].takeLast())
        run(*number, worker);
    current = outer;
  }

  void run(int64_t number, int64_t worker) {
    for (int64_t task = number * unit; task < std::min((number + 1) * unit, tasks); ++task)
      if (int32_t code = fn(ctx, buffers, dims, task, worker)) {
        std::lock_guard lock(failure);
        if (task < failedTask)
          failedTask = task, failed = code;
      }
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
  loop.divide(count);
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
    : attune_ctx{sizeof(attune_ctx), threads, parallelFor, nullptr}, executor(executor) {}

} // namespace attune::rt
