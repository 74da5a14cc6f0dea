#include "attune/codegen/gpu/Target.h"

namespace attune::codegen {

llvm::Expected<GpuTarget> GpuTarget::parse(llvm::StringRef name) {
  GpuTarget target;
  target.chip = name.str();
  if (name == "sm_80") {
    target.ptx = "+ptx70";
    target.sharedBytes = 163 << 10;
    return target;
  }
  if (name == "sm_90a") {
    target.ptx = "+ptx80";
    target.sharedBytes = 227 << 10;
    target.warpGroups = true;
    return target;
  }
  return llvm::createStringError("--gpu accepts sm_80 or sm_90a, found `" + name + "`");
}

} // namespace attune::codegen
