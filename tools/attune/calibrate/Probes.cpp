#include "attune/tools/attune/calibrate/Probes.h"
#include "attune/tools/attune/StepTimes.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

namespace attune::tools {

/// The data cache of a level as the system describes it; 0: it does not.
static int64_t describedSize(int64_t level) {
  for (int index = 0; index < 8; ++index) {
    std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    auto field = [&](const char *name) {
      std::string text;
      std::getline(std::ifstream(folder + name), text);
      return text;
    };
    if (field("level") != std::to_string(level) || field("type") == "Instruction")
      continue;
    std::string size = field("size"); // as 32768K
    if (!size.empty() && size.back() == 'K')
      return std::atoll(size.c_str()) << 10;
  }
  return 0;
}

std::vector<int64_t> cacheSizes() {
  std::vector<int64_t> sizes{32 << 10, 1 << 20, 16 << 20};
  // sysconf counts the third level of all sockets on some machines.
  for (size_t level = 0; level < sizes.size(); ++level)
    if (int64_t described = describedSize(level + 1))
      sizes[level] = described;
  // A machine without one of them has the next as large as the one before.
  for (size_t level = 1; level < sizes.size(); ++level)
    sizes[level] = std::max(sizes[level], sizes[level - 1]);
  return sizes;
}

namespace {
typedef uint64_t Line __attribute__((vector_size(64), aligned(64)));

/// The sum of all elements, so that every one is read; a multiple of 8 lines.
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t
sumOf(const Line *data, int64_t lines) {
  Line sums[8] = {};
  for (int64_t i = 0; i < lines; i += 8)
    for (int64_t k = 0; k < 8; ++k)
      sums[k] += data[i + k];
  uint64_t sum = 0;
  for (const Line &line : sums)
    for (int lane = 0; lane < 8; ++lane)
      sum += line[lane];
  return sum;
}
} // namespace

double readBandwidth(int64_t bytes, unsigned threads) {
  constexpr int kPasses = 16;
  constexpr double kSecondsPerPass = 0.004;
  int64_t lines = std::max<int64_t>(8, bytes / 64 / 8 * 8);
  std::vector<std::vector<double>> rates(threads);
  std::atomic<unsigned> ready{0};
  std::atomic<uint64_t> sink{0};
  auto work = [&](unsigned thread) {
    std::unique_ptr<Line[]> data(new Line[lines]());
    sink += sumOf(data.get(), lines);
    ++ready;
    while (ready < threads)
      std::this_thread::yield();
    for (int pass = 0; pass < kPasses; ++pass) {
      auto start = std::chrono::steady_clock::now();
      double passed = 0, moved = 0;
      do {
        sink += sumOf(data.get(), lines);
        moved += lines * 64.0;
        passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      } while (passed < kSecondsPerPass);
      rates[thread].push_back(moved / passed);
    }
  };
  std::vector<std::thread> pool;
  for (unsigned thread = 1; thread < threads; ++thread)
    pool.emplace_back(work, thread);
  work(0);
  for (std::thread &thread : pool)
    thread.join();
  double total = 0;
  for (const std::vector<double> &rate : rates)
    total += *std::max_element(rate.begin(), rate.end());
  return total;
}

} // namespace attune::tools
