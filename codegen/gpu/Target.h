//===- Target.h - The GPU that code is generated for ------------------------------------------===//
//
// A resolved `--gpu`. Emitters ask this struct; a kernel for sm_80 runs on every later device, one
// for sm_90a on devices of that architecture only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_TARGET_H
#define ATTUNE_CODEGEN_GPU_TARGET_H

#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>

namespace attune::codegen {

struct GpuTarget {
  std::string chip;        ///< as LLVM and PTX name it
  std::string ptx;         ///< LLVM's feature for the version of PTX
  int64_t sharedBytes = 0; ///< most that a block may ask for
  bool warpGroups = false; ///< wgmma, bulk copies by tensor maps, clusters

  /// Accepts `sm_80` and `sm_90a`; a user error otherwise.
  static llvm::Expected<GpuTarget> parse(llvm::StringRef name);
};

} // namespace attune::codegen
#endif
