#include "attune/frontend/onnx/Converter.h"

namespace attune::onnx {

void Registry::add(llvm::StringRef domain, llvm::StringRef op, int since, ConvertFn fn, int until) {
  entries[{domain.str(), op.str()}].push_back({since, until, fn});
}

ConvertFn Registry::find(llvm::StringRef domain, llvm::StringRef op, int version) const {
  auto it = entries.find({domain.str(), op.str()});
  if (it == entries.end())
    return nullptr;
  for (const Entry &entry : it->second)
    if (version >= entry.since && version <= entry.until)
      return entry.fn;
  return nullptr;
}

std::string Registry::versions(llvm::StringRef domain, llvm::StringRef op) const {
  auto it = entries.find({domain.str(), op.str()});
  if (it == entries.end())
    return "";
  int oldest = kAnyVersion;
  for (const Entry &entry : it->second)
    oldest = std::min(oldest, entry.since);
  return "the one of opset " + std::to_string(oldest) + " or newer";
}

const Registry &Registry::get() {
  static const Registry registry = [] {
    Registry all;
    registerActivation(all);
    registerArithmetic(all);
    registerAttention(all);
    registerComposite(all);
    registerConstants(all);
    registerContrib(all);
    registerContribAttention(all);
    registerControl(all);
    registerConvolution(all);
    registerDft(all);
    registerEinsum(all);
    registerFold(all);
    registerGather(all);
    registerGridSample(all);
    registerLinearAttention(all);
    registerLogic(all);
    registerMatmul(all);
    registerMovement(all);
    registerNormalization(all);
    registerPooling(all);
    registerQuantization(all);
    registerRecurrent(all);
    registerReduction(all);
    registerReshape(all);
    registerResize(all);
    registerScan(all);
    registerScatter(all);
    registerSelection(all);
    registerSlice(all);
    registerSort(all);
    return all;
  }();
  return registry;
}

} // namespace attune::onnx
