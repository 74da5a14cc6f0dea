//===- Target.h - The GPU that code is generated for ------------------------------------------===//
//
// A resolved `--gpu` and `--gpu-math`. Emitters ask this struct; a kernel for sm_80 runs on every
// later device, one for sm_90a on devices of that architecture only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_TARGET_H
#define ATTUNE_CODEGEN_GPU_TARGET_H

#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>

namespace attune::codegen {

/// How matrix products multiply f32. Sums are f32 in any case.
enum class FloatMath {
  Exact,  ///< `f32`: fused multiply-add
  Single, ///< `tf32`: on tensor cores, operands rounded to 11 bits of mantissa
  Triple  ///< `tf32x3`: on tensor cores, three products of two such parts, 22 bits
};

struct GpuTarget {
  std::string chip;        ///< as LLVM and PTX name it
  std::string ptx;         ///< LLVM's feature for the version of PTX
  int64_t sharedBytes = 0; ///< most that a block may ask for
  bool warpGroups = false; ///< wgmma, bulk copies by tensor maps, clusters

  FloatMath math = FloatMath::Exact;

  /// Accepts `sm_80` and `sm_90a`, and the names in FloatMath; a user error otherwise.
  static llvm::Expected<GpuTarget> parse(llvm::StringRef name, llvm::StringRef math);
};

} // namespace attune::codegen
#endif
