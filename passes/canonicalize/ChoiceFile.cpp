#include "attune/passes/canonicalize/ChoiceFile.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

namespace attune {

llvm::Expected<std::vector<Selection>> readChoiceFile(llvm::StringRef path) {
  auto text = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!text)
    return llvm::createStringError("cannot read " + path + ": " + text.getError().message());
  auto value = llvm::json::parse((*text)->getBuffer());
  if (!value)
    return llvm::createStringError(path + " is not JSON: " + llvm::toString(value.takeError()));
  const llvm::json::Object *object = value->getAsObject();
  if (!object)
    return llvm::createStringError(path + " is not a JSON object of choices and alternatives");
  std::vector<Selection> selections;
  for (const auto &[label, alternative] : *object) {
    auto name = alternative.getAsString();
    if (!name)
      return llvm::createStringError(path + ": the alternative of choice `" +
                                     llvm::StringRef(label) + "` is not a string");
    selections.emplace_back(label.str(), name->str());
  }
  llvm::sort(selections);
  return selections;
}

} // namespace attune
