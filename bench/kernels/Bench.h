//===- Bench.h - Timing of generated kernels against the roof of their micro-kernel -----------===//
#ifndef ATTUNE_BENCH_KERNELS_BENCH_H
#define ATTUNE_BENCH_KERNELS_BENCH_H

#include "attune/codegen/cpu/KernelBuilder.h"
#include "attune/runtime/kernel_abi.h"

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace attune::bench {

/// Two threads at most: the second one spins, so that a kernel's tasks start at once.
class Pool : public attune_ctx {
public:
  explicit Pool(unsigned threads);
  ~Pool();

private:
  static int32_t run(attune_ctx *ctx, int64_t n, attune_task_fn fn, void *const *buffers,
                     const int64_t *dims);
  void work(int64_t worker);
  struct Job {
    int64_t n;
    attune_task_fn fn;
    void *const *buffers;
    const int64_t *dims;
  } job{};
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<int64_t> generation{0};
  alignas(64) std::atomic<int64_t> finished{0};
  std::thread other;
};

/// Emits, links and loads one module. Prints how long that took if asked.
class Library {
public:
  Library(const codegen::CpuTarget &target,
          const std::function<void(codegen::KernelBuilder &, mlir::ModuleOp)> &build,
          const std::vector<std::string> &symbols);
  ~Library();
  attune_kernel_fn get(const std::string &symbol) const;
  double seconds = 0; ///< from IR to loaded code
  std::string assembly;

private:
  void *handle = nullptr;
};

/// Page-aligned memory that outlives the process's measurements.
float *allocate(size_t floats);

/// Adds `name_peak` (multiply-adds in registers; one buffer) and `name_roof` (the micro-kernel on
/// panels in L1; buffers A, B, tile): dims[0] rounds on each of dims[1] threads; and `name_read`
/// (one buffer), which sums dims[0] floats on each thread.
void emitRoofs(codegen::KernelBuilder &kb, mlir::ModuleOp module);

struct Roofs {
  Roofs(const Library &library, const codegen::CpuTarget &target, unsigned threads);
  double peak(Pool &pool); ///< GFLOP/s, about a millisecond
  double roof(Pool &pool);
  double read(Pool &pool); ///< GB/s from memory

private:
  attune_kernel_fn peakFn, roofFn, readFn;
  void *readBuffer = nullptr;
  double peakFlops, roofFlops;
  unsigned threads;
  std::vector<void *> buffers;
};

/// Seconds; of this thread's CPU time when only one thread runs, so that a busy machine disturbs
/// less.
double now(bool cpuTime);
double median(std::vector<double> values);

int benchAttention(const codegen::CpuTarget &target, unsigned threads, int argc, char **argv);
int benchLinearAttention(const codegen::CpuTarget &target, unsigned threads, int argc, char **argv);
int benchGemm(const codegen::CpuTarget &target, unsigned threads, int argc, char **argv);

} // namespace attune::bench
#endif
