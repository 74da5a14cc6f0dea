//===- Stack.h - What the variables of a space say of a stack of layers -----------------------===//
//
// Templates of transformers read their spaces with this: `attn` (cat) says how many layers there
// may be and how each mixes positions; `heads` and `ffn` are ints, per layer or once, or fixed. A
// template with several stacks puts a prefix in front of the names.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_TEMPLATES_STACK_H
#define ATTUNE_SEARCH_TEMPLATES_STACK_H

#include "attune/search/Space.h"
#include "attune/search/templates/LayerGraph.h"

namespace attune::search {

/// Whole numbers under `fixed`, from 1 to 65,536. The first that is none is the error.
class FixedNumbers {
public:
  explicit FixedNumbers(const Space &space) : space(space) {}
  int64_t needed(llvm::StringRef name) { return read(name, std::nullopt); }
  int64_t optional(llvm::StringRef name, int64_t otherwise) { return read(name, otherwise); }
  /// After this, no number may be used if it is an error.
  llvm::Error takeError();

private:
  int64_t read(llvm::StringRef name, std::optional<int64_t> otherwise);

  const Space &space;
  std::string wrong;
};

struct Stack {
  const Variable *attn = nullptr, *heads = nullptr, *ffn = nullptr;
  std::vector<Mixing> mixings; ///< by choice of `attn`
  int64_t fixedHeads = 0, fixedFfn = 0;

  /// Errors say what the variables must be.
  static llvm::Expected<Stack> read(const Space &space, const std::string &prefix, int64_t width,
                                    bool causal);

  struct Layer {
    unsigned mixing;
    uint32_t heads, ffn;
  };
  /// The active layers of a candidate, whose values Space::decode found.
  llvm::SmallVector<Layer, 16> layers(llvm::ArrayRef<int32_t> genes, llvm::ArrayRef<double> values,
                                      const llvm::BitVector &active) const;
};

} // namespace attune::search
#endif
