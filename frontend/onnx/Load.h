//===- Load.h - From a file to a normalised ONNX model ----------------------------------------===//
//
// What the converters rely on: every node has a name, values are defined before they are used,
// local functions are inlined, the opset is the newest one (or the model's own, if conversion
// refused), types are checked, and large initialisers are detached into `weights`.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_LOAD_H
#define ATTUNE_FRONTEND_ONNX_LOAD_H

#include "attune/frontend/onnx/Import.h"
#include "attune/frontend/onnx/Tensor.h"
#include "onnx/onnx_pb.h"
#include <set>

namespace attune::onnx {

/// Raw little-endian elements and what keeps them alive (the mapped file or the parsed bytes).
struct Weight {
  DType dtype;
  std::vector<int64_t> shape;
  llvm::ArrayRef<char> data;
  std::shared_ptr<const void> owner;
};

struct LoadedModel {
  ::onnx::ModelProto model;
  std::map<std::string, Weight> weights;
  int64_t opset(const std::string &domain) const;
};

/// Throws ImportError.
LoadedModel loadModel(const std::string &path, const ImportOptions &options);

/// The file as it is. Throws ImportError.
::onnx::ModelProto parseModel(const std::string &path);

// The steps, each in its own file.

/// Names unnamed nodes; refuses values that are read before they are defined, too new opsets,
/// unknown operators, negative sizes.
void validate(::onnx::ModelProto &model);
/// Gives operators that ONNX Runtime writes without a domain the one they are of.
void nameDomains(::onnx::ModelProto &model);
/// Moves initialisers and constants over 1 KiB, and all external data, into `weights`.
void detachWeights(::onnx::ModelProto &model, const std::string &path,
                   std::map<std::string, Weight> &weights);
/// Inlines, converts, infers and checks with the ONNX library.
void normalise(::onnx::ModelProto &model);

/// The bytes of a tensor whose data is inside the proto; checked against its shape.
Weight readTensor(const ::onnx::TensorProto &tensor, const std::string &what);
/// The files mapped so far, by canonical path.
using MappedFiles = std::map<std::string, std::shared_ptr<void>>;
/// The bytes of a tensor in a file beside the model.
Weight mapExternal(const ::onnx::TensorProto &tensor, const std::string &modelPath,
                   MappedFiles &files);
/// Bytes of `count` elements; throws if the product of the sizes overflows or one is negative.
int64_t byteSize(DType dtype, llvm::ArrayRef<int64_t> shape, const std::string &what);

/// A constant: dense if small or a splat, else a resource that shares the weight's memory.
mlir::ElementsAttr toAttr(mlir::MLIRContext &context, const Weight &weight,
                          const std::string &name);

} // namespace attune::onnx
#endif
