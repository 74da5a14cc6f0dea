#include "attune/codegen/cost/Decisions.h"

#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;

namespace attune::codegen {

void Decisions::record(Decision decision) {
  auto known = llvm::find_if(decisions, [&](const Decision &other) {
    return !decision.key.empty() && other.key == decision.key;
  });
  if (known != decisions.end()) {
    ++known->times;
    known->nodes.insert(known->nodes.end(), decision.nodes.begin(), decision.nodes.end());
    return;
  }
  if (const Tuning::Entry *entry = measured(decision.key))
    for (Decision::Alternative &alternative : decision.alternatives)
      if (auto took = entry->seconds.find(alternative.name); took != entry->seconds.end())
        alternative.seconds = took->second;
  decisions.push_back(std::move(decision));
}

std::string structureKey(StringRef kind, ArrayRef<Operation *> ops, ArrayRef<StringRef> without) {
  std::string text;
  llvm::raw_string_ostream os(text);
  for (Operation *op : ops) {
    OwningOpRef<Operation *> copy(op->clone());
    for (StringRef name : without)
      (*copy)->removeAttr(name);
    (*copy)->print(os, OpPrintingFlags().useLocalScope().printGenericOpForm());
  }
  auto hash = llvm::xxh3_128bits(llvm::arrayRefFromStringRef(text));
  return kind.str() + ":" + llvm::utohexstr(hash.high64, true, 16) +
         llvm::utohexstr(hash.low64, true, 16);
}

} // namespace attune::codegen
