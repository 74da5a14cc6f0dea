#include "attune/search/templates/Template.h"

namespace attune::search {

llvm::Expected<std::unique_ptr<Template>> makeTemplate(const Space &space) {
  if (space.templateName == "model")
    return createModelTemplate(space);
  if (space.templateName != "enc_classifier")
    return llvm::createStringError("no template `" + space.templateName +
                                   "`; there is enc_classifier, or a model: {model: FILE, "
                                   "choices: [...]}");
  llvm::Error error = llvm::Error::success();
  std::unique_ptr<Template> made = createEncoderClassifier(space, error);
  if (error)
    return llvm::createStringError("template enc_classifier: " + llvm::toString(std::move(error)));
  return std::move(made);
}

} // namespace attune::search
