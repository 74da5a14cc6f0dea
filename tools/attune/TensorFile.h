//===- TensorFile.h - Tensors in `.npy` and ONNX `.pb` files ----------------------------------===//
//
// What `attune run`, `check` and `bench` read and write: NumPy arrays and serialised TensorProtos.
//
// NumPy has no bf16, f8 and sub-byte types. A `.npy` file holds their bits: bf16 as u16, f8 as u8;
// i4 and i2 as i8, u4, u2 and f4 as u8, one element per byte. Reading turns them back if the reader
// says which type it wants.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_TENSORFILE_H
#define ATTUNE_TOOLS_ATTUNE_TENSORFILE_H

#include "attune/runtime/attune.hpp"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>

namespace attune::tools {

struct NamedTensor {
  std::string name; ///< in a TensorProto; else empty
  Tensor tensor;
};

/// Reads `.npy` or `.pb`. `wanted` is the dtype that the tensor should have, 0 for the file's own;
/// it decides what raw bits mean, no values are converted.
llvm::Expected<NamedTensor> readTensorFile(llvm::StringRef path, attune_dtype wanted = 0);

/// Content of a file.
llvm::Expected<std::string> encodeNpy(const Tensor &tensor);
llvm::Expected<std::string> encodeTensorProto(llvm::StringRef name, const Tensor &tensor);
llvm::Expected<Tensor> decodeNpy(llvm::StringRef content, attune_dtype wanted = 0);
llvm::Expected<NamedTensor> decodeTensorProto(llvm::StringRef content);

} // namespace attune::tools
#endif
