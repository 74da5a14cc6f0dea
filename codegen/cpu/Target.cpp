#include "attune/codegen/cpu/Target.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace attune::codegen {

static llvm::Error unknownCpu(llvm::StringRef name) {
  return llvm::createStringError("unknown CPU `" + name +
                                 "`: expected host, x86-64, x86-64-v2, x86-64-v3, x86-64-v4 or an "
                                 "LLVM CPU name (`llc -mcpu=help` lists them)");
}

/// Sorted, so that a target prints and hashes the same in every process.
static std::string hostFeatures() {
  std::vector<std::string> features;
  for (const auto &feature : llvm::sys::getHostCPUFeatures())
    features.push_back((feature.second ? "+" : "-") + feature.first().str());
  std::sort(features.begin(), features.end());
  return llvm::join(features, ",");
}

llvm::Expected<CpuTarget> CpuTarget::parse(llvm::StringRef name) {
  llvm::InitializeNativeTarget();
  llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  std::string error;
  const llvm::Target *llvmTarget = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget)
    return llvm::createStringError(error);

  CpuTarget target;
  target.cpu = name == "host" ? llvm::sys::getHostCPUName().str() : name.str();
  if (name == "host")
    target.features = hostFeatures();

  std::unique_ptr<llvm::MCSubtargetInfo> generic(llvmTarget->createMCSubtargetInfo(triple, "", ""));
  if (name.empty() || name == "help" || !generic || !generic->isCPUStringValid(target.cpu))
    return unknownCpu(name);
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget(
      llvmTarget->createMCSubtargetInfo(triple, target.cpu, target.features));
  auto has = [&](llvm::StringRef features) { return subtarget->checkFeatures(features); };

  if (!triple.isX86()) {
    target.registers = 32;
    target.fma = true;
    return target;
  }
  if (has("+avx2,+fma")) {
    target.vectorBits = 256;
    target.fma = true;
  }
  if (target.fma && has("+avx512f,+avx512bw,+avx512dq,+avx512vl")) {
    target.vectorBits = 512;
    target.registers = 32;
    target.maskedMemory = true;
  }
  return target;
}

} // namespace attune::codegen
