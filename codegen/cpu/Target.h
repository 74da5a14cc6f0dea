//===- Target.h - The CPU that code is generated for ------------------------------------------===//
//
// A resolved `--cpu`: LLVM's name and feature string, and the few numbers that tile shapes follow
// from. Emitters ask this struct, never the host.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_TARGET_H
#define ATTUNE_CODEGEN_CPU_TARGET_H

#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>

namespace attune::codegen {

struct CpuTarget {
  std::string cpu;          ///< LLVM target-cpu
  std::string features;     ///< LLVM target-features
  int64_t vectorBits = 128; ///< width that kernels use
  int64_t registers = 16;   ///< vector registers
  bool fma = false;
  bool maskedMemory = false; ///< masked loads and stores are cheap (AVX-512)

  /// Lanes of a vector of elements of `bits` bits.
  int64_t lanes(int64_t bits = 32) const { return vectorBits / bits; }

  /// Accepts `host`, `x86-64`, `x86-64-v2|v3|v4` or an LLVM CPU name; a user error otherwise.
  static llvm::Expected<CpuTarget> parse(llvm::StringRef name);
};

} // namespace attune::codegen
#endif
