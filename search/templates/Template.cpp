#include "attune/search/templates/Template.h"

namespace attune::search {

llvm::Expected<std::unique_ptr<Template>> makeTemplate(const Space &space) {
  if (space.templateName == "model")
    return createModelTemplate(space);
  static constexpr struct {
    const char *name;
    llvm::Expected<std::unique_ptr<Template>> (*create)(const Space &);
  } kTemplates[] = {{"enc_classifier", createEncoderClassifier},
                    {"causal_lm", createTransformer},
                    {"seq2seq", createTransformer}};
  for (auto [name, create] : kTemplates) {
    if (space.templateName != name)
      continue;
    auto made = create(space);
    if (!made)
      return llvm::createStringError("template " + space.templateName + ": " +
                                     llvm::toString(made.takeError()));
    return made;
  }
  return llvm::createStringError("no template `" + space.templateName +
                                 "`; there are enc_classifier, causal_lm, seq2seq, or a model: "
                                 "{model: FILE, choices: [...]}");
}

} // namespace attune::search
