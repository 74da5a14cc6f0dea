#include "attune/runtime/ThreadPool.h"
#include "attune/runtime/Cpu.h"
#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <climits>
#include <csignal>
#include <linux/futex.h>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace attune::rt {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr unsigned kMaxWorkers = 1023;
constexpr microseconds kSpinInInference{3000}, kSpinAfter{200}, kSpinBeforeYield{30},
    kSpinBeforeSleep{20000};
/// A worker that is scheduled has seen an offer after so long.
constexpr microseconds kMissed{20};

struct alignas(64) Job {
  void (*run)(void *, uint32_t);
  void *argument;
  uint32_t floatControl;
  std::atomic<uint32_t> joined{1}; // 0 is the caller
  std::atomic<uint32_t> left{0};   // workers that have joined and finished
};

/// State of a worker: one of these, or the address of the job it is offered.
constexpr uintptr_t kIdle = 0, kAsleep = 1, kBusy = 2;

struct alignas(64) Worker {
  std::atomic<uintptr_t> state{kIdle};
  std::atomic<int> callerCpu{-1}; // where it was last woken from, until it has looked
  std::atomic<pid_t> thread{0};   // 0 until it runs

  // A futex is 32 bits: the low half of the state, in which kAsleep differs from any job's address.
  uint32_t *futex() { return reinterpret_cast<uint32_t *>(&state); }
  void wake() { syscall(SYS_futex, futex(), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0); }
  void sleep() {
    syscall(SYS_futex, futex(), FUTEX_WAIT_PRIVATE, uint32_t(kAsleep), nullptr, nullptr, 0);
  }
  bool offer(Job *job);
  bool retract(Job *job);
  void leaveCaller();
  Job *next();
  void main();
};
static_assert(sizeof(std::atomic<uintptr_t>) == 8 && std::endian::native == std::endian::little);

struct Pool {
  Worker workers[kMaxWorkers];
  std::atomic<unsigned> count{0};
  std::atomic<unsigned> limit{kMaxWorkers}; // lower once the system has refused a thread
};

// Constant-initialised and never destroyed: usable from constructors and at exit.
constinit std::atomic<Pool *> pool{nullptr};
constinit std::mutex growth;
constinit std::atomic<int> active{0};

/// Looks for `done` actively at first, then gives way to other threads between looks.
class Wait {
public:
  /// True as soon as `done` holds; false about every microsecond.
  template <class Done> bool lookFor(Done done) {
    for (int i = 0; i < 32; ++i) {
      if (done())
        return true;
      cpuRelax();
    }
    elapsed = Clock::now() - start;
    if (elapsed > kSpinBeforeYield)
      sched_yield();
    return false;
  }
  Clock::duration elapsed{};

private:
  Clock::time_point start = Clock::now();
};

bool Worker::offer(Job *job) {
  uintptr_t seen = state.load(std::memory_order_relaxed);
  do {
    if (seen != kIdle && seen != kAsleep)
      return false;
  } while (!state.compare_exchange_weak(seen, reinterpret_cast<uintptr_t>(job),
                                        std::memory_order_release, std::memory_order_relaxed));
  if (seen == kAsleep) {
    callerCpu.store(sched_getcpu(), std::memory_order_relaxed);
    wake();
  }
  return true;
}

bool Worker::retract(Job *job) {
  uintptr_t seen = state.load(std::memory_order_relaxed);
  return seen == reinterpret_cast<uintptr_t>(job) &&
         state.compare_exchange_strong(seen, kIdle, std::memory_order_relaxed);
}

struct Affinity {
  cpu_set_t allowed, others;
  /// Where a thread (0: this one) may run, and that but for a processor; false if nothing is left.
  bool read(pid_t thread, int cpu) {
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(thread, sizeof(allowed), &allowed))
      return false;
    others = allowed;
    CPU_CLR(cpu, &others);
    return CPU_COUNT(&others) > 0;
  }
};

/// Has a thread leave a processor; its affinity is what it was afterwards. A worker on the
/// processor of its caller, which never waits, would get the few moments that the caller is
/// interrupted, for as long as the scheduler sees no reason to move a thread that mostly yields:
/// tens of milliseconds.
void leave(pid_t thread, int cpu) {
  Affinity affinity;
  if (affinity.read(thread, cpu) && !sched_setaffinity(thread, sizeof(cpu_set_t), &affinity.others))
    sched_setaffinity(thread, sizeof(cpu_set_t), &affinity.allowed);
}

/// A thread that is woken may be put on its waker's processor.
void Worker::leaveCaller() {
  if (int cpu = callerCpu.exchange(-1, std::memory_order_relaxed); cpu == sched_getcpu())
    leave(gettid(), cpu);
}

Job *Worker::next() {
  for (Wait wait;;) {
    bool found = wait.lookFor([&] { return state.load(std::memory_order_relaxed) != kIdle; });
    uintptr_t seen = state.load(std::memory_order_relaxed);
    if (seen > kBusy) {
      if (state.compare_exchange_strong(seen, kBusy, std::memory_order_acquire))
        return reinterpret_cast<Job *>(seen);
    } else if (found) {
      if (seen == kAsleep) // woken for nothing
        sleep();
    } else if (wait.elapsed >
               (active.load(std::memory_order_relaxed) > 0 ? kSpinInInference : kSpinAfter)) {
      seen = kIdle;
      if (state.compare_exchange_strong(seen, kAsleep, std::memory_order_relaxed)) {
        sleep();
        leaveCaller();
        wait = Wait();
      }
    }
  }
}

void Worker::main() {
  thread.store(gettid(), std::memory_order_relaxed);
  for (;;) {
    Job *job = next();
    if (floatControl() != job->floatControl)
      setFloatControl(job->floatControl);
    job->run(job->argument, job->joined.fetch_add(1, std::memory_order_relaxed));
    // Free for the next offer first: the caller may make one as soon as it sees `left`, which is
    // the last access to the job.
    state.store(kIdle, std::memory_order_relaxed);
    job->left.fetch_add(1, std::memory_order_release);
  }
}

bool startWorker(Worker *worker) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // The application's signals are none of ours.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // It may take milliseconds to begin where its caller computes.
  Affinity affinity;
  bool elsewhere = affinity.read(0, sched_getcpu()) &&
                   !pthread_attr_setaffinity_np(&attributes, sizeof(cpu_set_t), &affinity.others);
  pthread_t thread;
  int failed = pthread_create(
      &thread, &attributes,
      [](void *self) -> void * {
        pthread_setname_np(pthread_self(), "attune");
        static_cast<Worker *>(self)->main();
        return nullptr;
      },
      worker);
  if (elsewhere && !failed)
    pthread_setaffinity_np(thread, sizeof(cpu_set_t), &affinity.allowed);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return !failed;
}

void beforeFork() { growth.lock(); }
void afterForkInParent() { growth.unlock(); }
void afterForkInChild() {
  // The workers exist in the parent only; their memory is left as it is.
  pool.store(nullptr, std::memory_order_relaxed);
  active.store(0, std::memory_order_relaxed);
  growth.unlock();
}

} // namespace

/// The pool with as many of `workers` workers as the system grants; null if there is no memory.
static Pool *reserve(unsigned workers) {
  Pool *current = pool.load(std::memory_order_acquire);
  auto enough = [&] {
    return current && current->count.load(std::memory_order_acquire) >=
                          std::min(workers, current->limit.load(std::memory_order_relaxed));
  };
  if (enough())
    return current;
  std::lock_guard lock(growth);
  static bool registered = false;
  if (!registered) {
    registered = true;
    pthread_atfork(beforeFork, afterForkInParent, afterForkInChild);
  }
  current = pool.load(std::memory_order_acquire);
  if (!current) {
    current = new (std::nothrow) Pool;
    if (!current)
      return nullptr;
    pool.store(current, std::memory_order_release);
  }
  for (unsigned count = current->count.load(std::memory_order_relaxed); !enough();) {
    if (startWorker(&current->workers[count]))
      current->count.store(++count, std::memory_order_release);
    else
      current->limit.store(count, std::memory_order_relaxed);
  }
  return current;
}

void poolRun(unsigned count, void (*run)(void *, uint32_t), void *argument) {
  Pool *current = count > 1 ? reserve(count - 1) : nullptr;
  if (!current)
    return run(argument, 0);

  Job job{run, argument, floatControl()};
  unsigned workers = current->count.load(std::memory_order_acquire);
  uint32_t offered = 0;
  unsigned last = 0;
  for (; last < workers && offered < count - 1; ++last)
    offered += current->workers[last].offer(&job);
  Clock::time_point start = Clock::now();
  run(argument, 0);
  for (unsigned i = 0; i < last; ++i)
    if (Worker &worker = current->workers[i]; worker.retract(&job)) {
      --offered;
      if (Clock::now() - start > kMissed)
        if (pid_t thread = worker.thread.load(std::memory_order_relaxed))
          leave(thread, sched_getcpu());
    }
  Wait wait;
  while (!wait.lookFor([&] { return job.left.load(std::memory_order_acquire) == offered; }))
    if (wait.elapsed > kSpinBeforeSleep)
      usleep(50); // a caller of real-time priority would starve the workers by yielding alone
}

PoolActive::PoolActive() { active.fetch_add(1, std::memory_order_relaxed); }
PoolActive::~PoolActive() { active.fetch_sub(1, std::memory_order_relaxed); }

} // namespace attune::rt
