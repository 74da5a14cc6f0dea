//===- Cpu.h - What this machine offers -------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_CPU_H
#define ATTUNE_RUNTIME_CPU_H

#include <cstdint>

namespace attune::rt {

/// Bits of artifact::kCpuFeatures that CPU and operating system both have.
uint64_t cpuFeatures();

/// CPUs that the process may use: affinity mask, cut to the cgroup's quota; at least 1.
unsigned availableCpus();

/// Floating-point control register: rounding, denormals. 0 where there is none to keep.
uint32_t floatControl();
void setFloatControl(uint32_t value);
/// `value` with denormals flushed to zero.
uint32_t flushingDenormals(uint32_t value);

inline void cpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

} // namespace attune::rt
#endif
