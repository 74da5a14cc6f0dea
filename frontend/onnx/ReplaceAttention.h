//===- ReplaceAttention.h - Other attention in an ONNX graph ----------------------------------===//
//
// Writes a model with other attention in some places, in standard operators: what
// `attune-make-choices` does to the IR, for users who want the file. Everything else of the graph
// stays as it is; weights in files beside the model become part of it.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_REPLACEATTENTION_H
#define ATTUNE_FRONTEND_ONNX_REPLACEATTENTION_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace attune::onnx {

struct Replacement {
  std::vector<std::string> nodes; ///< that the attention stands for
  std::string alternative;        ///< linear, cosformer or localN
};

/// The serialised model. Errors start with "unsupported:" where the graph spells attention in
/// another way than two products around a Softmax, or one Attention node.
llvm::Expected<std::string> replaceAttention(const std::string &path,
                                             llvm::ArrayRef<Replacement> replacements);

/// The elements of all tensors of floats that the model stores.
llvm::Expected<int64_t> countParameters(const std::string &path);

} // namespace attune::onnx
#endif
