#include "attune/tools/attune/Roof.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

namespace attune::tools {
namespace {

constexpr int64_t kRounds = 400000;

/// Twelve independent accumulators hide the latency of two pipes. Returns flops done.
#define ATTUNE_FMA_LOOP(NAME, LANES, TARGET)                                                        \
  TARGET double NAME(float *sink) {                                                                \
    typedef float vector __attribute__((vector_size(LANES * 4)));                                  \
    vector acc[12], a, b;                                                                          \
    for (int i = 0; i < LANES; ++i)                                                                \
      a[i] = 1.0f + sink[0], b[i] = sink[1];                                                       \
    for (auto &x : acc)                                                                            \
      x = b;                                                                                       \
    for (int64_t round = 0; round < kRounds; ++round) {                                            \
      _Pragma("clang loop unroll(full)") for (auto &x : acc) x = x * a + b;                        \
      asm volatile("" : "+x"(acc[0]));                                                             \
    }                                                                                              \
    for (auto &x : acc)                                                                            \
      sink[2] += x[0];                                                                             \
    return 2.0 * 12 * LANES * kRounds;                                                             \
  }

#if defined(__x86_64__)
ATTUNE_FMA_LOOP(fma512, 16, __attribute__((target("avx512f"))))
ATTUNE_FMA_LOOP(fma256, 8, __attribute__((target("avx2,fma"))))
#endif
ATTUNE_FMA_LOOP(fmaPortable, 4, )

double burst(float *sink) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return fma512(sink);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return fma256(sink);
#endif
  return fmaPortable(sink);
}

} // namespace

double measureFmaPeak(int64_t threads) {
  double best = 0;
  for (int attempt = 0; attempt < 7; ++attempt) {
    std::vector<double> rates(threads);
    std::vector<std::thread> pool;
    for (int64_t t = 0; t < threads; ++t)
      pool.emplace_back([&rates, t] {
        float sink[3] = {1e-8f, 1e-9f, 0};
        auto start = std::chrono::steady_clock::now();
        double flops = burst(sink);
        std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
        rates[t] = flops / passed.count() / 1e9 + (sink[2] == 42 ? 1 : 0);
      });
    double total = 0;
    for (int64_t t = 0; t < threads; ++t) {
      pool[t].join();
      total += rates[t];
    }
    best = std::max(best, total);
  }
  return best;
}

} // namespace attune::tools
