//===- Template.h - From genes to a network ---------------------------------------------------===//
//
// A template says what network the genes of a space stand for: an ONNX model that is priced,
// compiled, measured and handed to users, or a model of the user with other attention. It also
// takes the network apart into blocks that recur in many candidates, so that a price is a sum of
// prices that are mostly known.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_TEMPLATE_H
#define ATTUNE_SEARCH_TEMPLATES_TEMPLATE_H

#include "attune/search/Space.h"
#include "attune/search/templates/BlockCost.h"

namespace attune::search {

class Template {
public:
  virtual ~Template() = default;
  /// Names of the blocks of a candidate, in order; blocks of one name are the same network.
  virtual void blocks(llvm::ArrayRef<int32_t> genes, std::vector<uint64_t> &names) const = 0;
  /// What a block adds to a candidate: what compiling it finds, in whatever way it is found.
  virtual llvm::Expected<BlockCost> cost(uint64_t name) = 0;
  /// The block as a model of its own, where that is what it is: `cost` is held against it in tests.
  virtual std::optional<Model> block(uint64_t name) const { return std::nullopt; }
  /// The whole candidate, with random weights or those of the user's model.
  virtual Model whole(llvm::ArrayRef<int32_t> genes) const = 0;
  /// The whole candidate as a file of its own, with standard operators.
  virtual llvm::Expected<std::string> onnx(llvm::ArrayRef<int32_t> genes) const {
    Model model = whole(genes);
    if (!model.refused.empty())
      return llvm::createStringError(model.refused);
    return std::move(model.onnx);
  }
  /// What prices depend on beside the machine and the space.
  virtual std::string identity() const { return ""; }
};

/// The template that the space names. Errors say what its variables must be.
llvm::Expected<std::unique_ptr<Template>> makeTemplate(const Space &space);

llvm::Expected<std::unique_ptr<Template>> createModelTemplate(const Space &space);
llvm::Expected<std::unique_ptr<Template>> createEncoderClassifier(const Space &space);
/// `seq2seq` and `causal_lm`.
llvm::Expected<std::unique_ptr<Template>> createTransformer(const Space &space);

} // namespace attune::search
#endif
