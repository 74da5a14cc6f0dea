//===- ModelTemplate.h - A user's model as a template -----------------------------------------===//
//
// `template: {model: FILE, choices: [...]}`: the variables are the attentions of the model, named
// after their ONNX nodes. A candidate is the model with other attention in some places. Its price
// is that of the model plus what each change alone adds to it: kernels that come and go, as the
// compiler has them when it changes one attention. Memory in use at one time is not a sum: it
// counts as that of the worst attention, where one takes the lesser of what the model takes with it
// alone changed and what it takes with all changed like it.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_MODELTEMPLATE_H
#define ATTUNE_SEARCH_TEMPLATES_MODELTEMPLATE_H

#include "attune/search/templates/Template.h"

namespace attune::search {

/// Names of variables for these choices: the ONNX nodes, with `_` for what is no letter or digit.
std::vector<std::string> variableNames(llvm::ArrayRef<ModelChoice> choices);

class ModelTemplate final : public Template {
public:
  /// Errors say which variables and values the model has.
  static llvm::Expected<std::unique_ptr<Template>> create(const Space &space);

  void blocks(llvm::ArrayRef<int32_t> genes, std::vector<uint64_t> &names) const override;
  llvm::Expected<BlockCost> cost(uint64_t name) override;
  Model whole(llvm::ArrayRef<int32_t> genes) const override;
  llvm::Expected<std::string> onnx(llvm::ArrayRef<int32_t> genes) const override;
  std::string identity() const override { return ", model " + fingerprint; }

private:
  struct Slot {
    ModelChoice choice;
    const Variable *variable = nullptr; ///< null: as in the model
    std::vector<unsigned> alternatives; ///< by value of the variable
  };
  explicit ModelTemplate(const Space &space) : space(space) {}
  llvm::Error read();
  llvm::Error bind(Slot &slot);
  /// The number of the alternative in every slot.
  std::vector<unsigned> decode(llvm::ArrayRef<int32_t> genes) const;
  Model build(llvm::ArrayRef<unsigned> alternatives) const;
  /// The model as it is, and with an alternative wherever it is legal.
  llvm::Expected<const BlockCost *> original();
  llvm::Expected<const BlockCost *> uniform(const std::string &alternative);

  const Space &space;
  std::string file, fingerprint;
  CompileOptions options;
  int64_t params = 0;
  std::vector<Slot> slots;
  std::map<std::string, BlockCost> known; ///< by alternative, "": none
};

} // namespace attune::search
#endif
