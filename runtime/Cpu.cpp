#include "attune/runtime/Cpu.h"
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <string>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace attune::rt {

#if defined(__x86_64__)

static uint64_t xcr0() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

/// Linux hands out AMX tile registers only to processes that ask for them.
static bool requestTiles() {
  constexpr long requestPermission = 0x1023, tileData = 18;
  return syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
}

static uint64_t detectFeatures() {
  uint32_t a, b1, c1, d1, b7 = 0, c7 = 0, d7 = 0, a71 = 0, unused;
  if (!__get_cpuid(1, &a, &b1, &c1, &d1))
    return 0;
  __get_cpuid_count(7, 0, &a, &b7, &c7, &d7);
  __get_cpuid_count(7, 1, &a71, &unused, &unused, &unused);
  uint64_t states = c1 >> 27 & 1 ? xcr0() : 0;
  bool avx = (states & 0x6) == 0x6, avx512 = (states & 0xe6) == 0xe6;
  bool amx = (states & 0x60000) == 0x60000 && (d7 >> 24 & 1) && requestTiles();

  uint64_t features = 0;
  auto add = [&](unsigned bit, bool has) { features |= uint64_t(has) << bit; };
  add(0, c1 >> 20 & 1);
  add(1, avx && (c1 >> 28 & 1));
  add(2, avx && (b7 >> 5 & 1));
  add(3, avx && (c1 >> 12 & 1));
  add(4, avx && (c1 >> 29 & 1));
  add(5, b7 >> 8 & 1);
  add(6, avx512 && (b7 >> 16 & 1));
  add(7, avx512 && (b7 >> 30 & 1));
  add(8, avx512 && (b7 >> 31 & 1));
  add(9, avx512 && (b7 >> 17 & 1));
  add(10, avx512 && (c7 >> 11 & 1));
  add(11, avx512 && (a71 >> 5 & 1));
  add(12, amx);
  return features;
}

uint32_t floatControl() { return __builtin_ia32_stmxcsr(); }
void setFloatControl(uint32_t value) { __builtin_ia32_ldmxcsr(value); }
uint32_t flushingDenormals(uint32_t value) { return value | 0x8040; }

#else

static uint64_t detectFeatures() { return 0; }
uint32_t floatControl() { return 0; }
void setFloatControl(uint32_t) {}
uint32_t flushingDenormals(uint32_t value) { return value; }

#endif

uint64_t cpuFeatures() {
  static const uint64_t features = detectFeatures();
  return features;
}

static unsigned affinityCpus() {
  // The kernel's mask may be wider than cpu_set_t.
  for (int cpus = 1024; cpus <= 1 << 18; cpus *= 4) {
    std::vector<char> mask(CPU_ALLOC_SIZE(cpus));
    auto *set = reinterpret_cast<cpu_set_t *>(mask.data());
    if (sched_getaffinity(0, mask.size(), set) == 0)
      return std::max(1, CPU_COUNT_S(mask.size(), set));
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

/// Quota of one cgroup folder in CPUs, 0 if it sets none.
static double quotaOf(const std::string &folder) {
  double quota = 0, period = 0;
  if (std::ifstream v2(folder + "/cpu.max"); v2 >> quota >> period)
    return period > 0 ? quota / period : 0;
  std::ifstream v1(folder + "/cpu.cfs_quota_us"), v1Period(folder + "/cpu.cfs_period_us");
  if (v1 >> quota && v1Period >> period && quota > 0 && period > 0)
    return quota / period;
  return 0;
}

/// The tightest quota on the way from the process's cgroup to the root; 0 if there is none.
static double cgroupQuota() {
  double tightest = 0;
  auto walk = [&](const std::string &root, std::string path) {
    for (;;) {
      double quota = quotaOf(root + path);
      if (quota > 0)
        tightest = tightest > 0 ? std::min(tightest, quota) : quota;
      size_t slash = path.find_last_of('/');
      if (path.empty() || slash == std::string::npos)
        return;
      path.resize(slash);
    }
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    std::istringstream fields(line);
    std::string id, controllers, path;
    std::getline(fields, id, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, path);
    if (path == "/")
      path.clear();
    if (controllers.empty())
      walk("/sys/fs/cgroup", path);
    else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      walk("/sys/fs/cgroup/cpu", path);
      walk("/sys/fs/cgroup/cpu,cpuacct", path);
    }
  }
  return tightest;
}

unsigned availableCpus() {
  unsigned cpus = affinityCpus();
  double quota = cgroupQuota();
  if (quota > 0 && quota < cpus)
    cpus = std::max(1u, unsigned(quota + 0.5));
  return cpus;
}

} // namespace attune::rt
