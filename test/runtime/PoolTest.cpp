// The thread pool and parallel_for, without an artifact; for ThreadSanitizer above all.
#include "attune/runtime/Cpu.h"
#include "attune/runtime/Parallel.h"
#include "attune/runtime/ThreadPool.h"
#include <atomic>
#include <chrono>
#include <ctime>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace attune::rt;

namespace {

/// buffers: int per task, int per worker. Every task runs once, no worker number twice at once.
int32_t countTask(attune_ctx *ctx, void *const *buffers, const int64_t *dims, int64_t task,
                  int64_t worker) {
  static_cast<int *>(buffers[0])[task] += 1;
  int &busy = static_cast<int *>(buffers[1])[worker * 32]; // plain: a race if shared
  busy += 1;
  for (volatile int64_t i = 0; i < dims[0]; i = i + 1)
    ;
  busy -= 1;
  return busy == 0 ? 0 : 99;
}

void runCount(attune_ctx &ctx, int64_t tasks, int64_t work) {
  std::vector<int> done(tasks), busy(ctx.threads * 32);
  void *buffers[] = {done.data(), busy.data()};
  ASSERT_EQ(ctx.parallel_for(&ctx, tasks, countTask, buffers, &work), 0);
  ASSERT_EQ(done, std::vector<int>(tasks, 1));
}

TEST(Pool, RunsEveryTaskOnce) {
  for (unsigned threads : {1, 2, 3, 7}) {
    Context ctx(threads, nullptr);
    for (int64_t tasks : {0, 1, 2, 3, 100, 1000})
      runCount(ctx, tasks, 50);
    for (int i = 0; i < 2000; ++i)
      runCount(ctx, 1 + i % 5, i % 100);
  }
}

TEST(Pool, GrowsToWhatACallerAsksFor) {
  // Tasks that wait for each other need a thread each.
  auto meet = [](attune_ctx *, void *const *buffers, const int64_t *dims, int64_t,
                 int64_t) -> int32_t {
    auto &arrived = *static_cast<std::atomic<int64_t> *>(buffers[0]);
    ++arrived;
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (arrived < dims[0]) {
      if (std::chrono::steady_clock::now() > deadline)
        return 1;
      std::this_thread::yield();
    }
    return 0;
  };
  for (int64_t threads : {2, 9, 5}) {
    std::atomic<int64_t> arrived{0};
    void *buffers[] = {&arrived};
    Context ctx(unsigned(threads), nullptr);
    EXPECT_EQ(ctx.parallel_for(&ctx, threads, meet, buffers, &threads), 0) << threads;
  }
}

TEST(Pool, WakesAfterSleep) {
  Context ctx(3, nullptr);
  for (int i = 0; i < 10; ++i) {
    runCount(ctx, 20, 1000);
    std::this_thread::sleep_for(std::chrono::milliseconds(6));
  }
}

TEST(Pool, WorkersMayRunWhereTheCallerMay) {
  auto same = [](attune_ctx *, void *const *buffers, const int64_t *, int64_t, int64_t) -> int32_t {
    cpu_set_t mine;
    sched_getaffinity(0, sizeof(mine), &mine);
    return CPU_EQUAL(&mine, static_cast<cpu_set_t *>(buffers[0])) ? 0 : 1;
  };
  cpu_set_t callers;
  ASSERT_EQ(sched_getaffinity(0, sizeof(callers), &callers), 0);
  void *buffers[] = {&callers};
  Context ctx(3, nullptr);
  for (int i = 0; i < 300; ++i) {
    // Now and then workers are started, woken or missed, and moved.
    EXPECT_EQ(ctx.parallel_for(&ctx, 3, same, buffers, nullptr), 0);
    runCount(ctx, 2, 20000);
    if (i % 100 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(6));
  }
}

TEST(Pool, SeveralCallersAtOnce) {
  std::vector<std::thread> callers;
  for (int id = 0; id < 4; ++id)
    callers.emplace_back([id] {
      PoolActive active;
      Context ctx(1 + id, nullptr);
      for (int i = 0; i < 300; ++i)
        runCount(ctx, 1 + i % 17, 100);
    });
  for (std::thread &caller : callers)
    caller.join();
}

TEST(Pool, NestedCallsStayOnTheirWorker) {
  Context ctx(4, nullptr);
  std::vector<int> done(40 * 8), busy(4 * 32);
  void *buffers[] = {done.data(), busy.data()};
  int64_t dims[] = {10};
  auto outer = [](attune_ctx *ctx, void *const *buffers, const int64_t *dims, int64_t task,
                  int64_t worker) -> int32_t {
    void *mine[] = {static_cast<int *>(buffers[0]) + task * 8, buffers[1]};
    return ctx->parallel_for(ctx, 8, countTask, mine, dims);
  };
  for (int i = 0; i < 50; ++i)
    ASSERT_EQ(ctx.parallel_for(&ctx, 40, outer, buffers, dims), 0);
  EXPECT_EQ(done, std::vector<int>(40 * 8, 50));
}

TEST(Pool, GivesTheFirstErrorInTaskOrder) {
  auto fails = [](attune_ctx *, void *const *, const int64_t *, int64_t task, int64_t) -> int32_t {
    return task >= 5 ? int32_t(task) : 0;
  };
  for (unsigned threads : {1, 2, 4}) {
    Context ctx(threads, nullptr);
    for (int i = 0; i < 200; ++i)
      ASSERT_EQ(ctx.parallel_for(&ctx, 64, fails, nullptr, nullptr), 5);
  }
}

TEST(Pool, WorkersTakeTheCallersFloatControl) {
  if (!floatControl())
    GTEST_SKIP() << "no such register here";
  auto same = [](attune_ctx *, void *const *, const int64_t *dims, int64_t, int64_t) -> int32_t {
    return floatControl() == uint32_t(dims[0]) ? 0 : 1;
  };
  uint32_t before = floatControl();
  Context ctx(3, nullptr);
  for (int i = 0; i < 100; ++i) {
    uint32_t control = i % 2 ? before : flushingDenormals(before);
    setFloatControl(control);
    int64_t dims[] = {int64_t(control)};
    int32_t code = ctx.parallel_for(&ctx, 30, same, nullptr, dims);
    setFloatControl(before);
    ASSERT_EQ(code, 0);
  }
}

TEST(Pool, SleepsWhenIdle) {
  Context ctx(3, nullptr);
  runCount(ctx, 30, 1000);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::clock_t before = std::clock(); // CPU time of the whole process
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(double(std::clock() - before) / CLOCKS_PER_SEC, 0.1);
}

TEST(Pool, IsMadeAnewInAForkedChild) {
#if __has_feature(thread_sanitizer)
  GTEST_SKIP() << "ThreadSanitizer refuses threads after a fork";
#endif
  Context ctx(3, nullptr);
  runCount(ctx, 100, 100);
  pid_t child = fork();
  if (child == 0) {
    alarm(20);
    for (int i = 0; i < 100; ++i)
      runCount(ctx, 100, 100);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  runCount(ctx, 100, 100);
}

TEST(Cpu, CountsAtLeastOne) {
  EXPECT_GE(availableCpus(), 1u);
  EXPECT_LE(availableCpus(), std::max(1u, std::thread::hardware_concurrency()));
}

} // namespace
