//===- Text.h - Pieces of function bodies in ONNX text syntax ---------------------------------===//
//
// For converters that write an operator in terms of others and leave the rest to
// `Node::inlineFunction`.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_TEXT_H
#define ATTUNE_FRONTEND_ONNX_TEXT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::onnx {

/// A float attribute: always with a point or an exponent.
inline std::string text(double value) {
  std::string result;
  llvm::raw_string_ostream(result) << llvm::format("%.17g", value);
  return result.find_first_of(".e") == std::string::npos ? result + ".0" : result;
}

inline std::string text(int64_t value) { return std::to_string(value); }

inline std::string text(llvm::ArrayRef<int64_t> values) {
  std::string result = "[";
  for (auto [i, value] : llvm::enumerate(values))
    result += (i ? ", " : "") + std::to_string(value);
  return result + "]";
}

} // namespace attune::onnx
#endif
