#include "attune/codegen/gpu/Target.h"

#include "llvm/ADT/StringSwitch.h"

namespace attune::codegen {

llvm::Expected<GpuTarget> GpuTarget::parse(llvm::StringRef name, llvm::StringRef math) {
  auto known = llvm::StringSwitch<std::optional<FloatMath>>(math)
                   .Case("f32", FloatMath::Exact)
                   .Case("tf32", FloatMath::Single)
                   .Case("tf32x3", FloatMath::Triple)
                   .Default(std::nullopt);
  if (!known)
    return llvm::createStringError("--gpu-math accepts f32, tf32 or tf32x3, found `" + math + "`");
  GpuTarget target;
  target.math = *known;
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
