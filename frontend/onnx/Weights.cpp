#include "attune/frontend/onnx/Load.h"

#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attune::onnx {

static constexpr int64_t kDetachBytes = 1024;

int64_t byteSize(DType dtype, ArrayRef<int64_t> shape, const std::string &what) {
  int64_t bytes = dtype.bits() / 8;
  if (bytes == 0)
    throw ImportError("unsupported: " + what + " has element type " + dtype.name());
  for (int64_t size : shape) {
    if (size < 0)
      throw ImportError(what + " has a negative size: " + std::to_string(size));
    if (llvm::MulOverflow(bytes, size, bytes))
      throw ImportError(what + " has a shape whose number of bytes overflows 64 bits");
  }
  return bytes;
}

template <typename To, typename From> static void pack(std::string &bytes, const From &values) {
  bytes.reserve(values.size() * sizeof(To));
  for (auto v : values) {
    To value = static_cast<To>(v);
    bytes.append(reinterpret_cast<const char *>(&value), sizeof value);
  }
}

static std::string typedBytes(const ::onnx::TensorProto &tensor, DType dtype) {
  std::string bytes;
  switch (int(dtype)) {
  case ::onnx::TensorProto::FLOAT:
    pack<float>(bytes, tensor.float_data());
    break;
  case ::onnx::TensorProto::DOUBLE:
    pack<double>(bytes, tensor.double_data());
    break;
  case ::onnx::TensorProto::INT64:
    pack<int64_t>(bytes, tensor.int64_data());
    break;
  case ::onnx::TensorProto::UINT32:
    pack<uint32_t>(bytes, tensor.uint64_data());
    break;
  case ::onnx::TensorProto::UINT64:
    pack<uint64_t>(bytes, tensor.uint64_data());
    break;
  case ::onnx::TensorProto::INT32:
    pack<int32_t>(bytes, tensor.int32_data());
    break;
  default:
    if (dtype.bits() == 16)
      pack<uint16_t>(bytes, tensor.int32_data());
    else
      pack<uint8_t>(bytes, tensor.int32_data());
  }
  return bytes;
}

/// `bytes`: the elements as they lie in memory.
static Weight ownBytes(const ::onnx::TensorProto &tensor, std::shared_ptr<std::string> bytes,
                       const std::string &what) {
  Weight weight;
  weight.dtype = tensor.data_type();
  weight.shape.assign(tensor.dims().begin(), tensor.dims().end());
  if (tensor.data_location() == ::onnx::TensorProto::EXTERNAL)
    throw ImportError(what + ": external data is accepted for initialisers of the main graph only");
  if (tensor.has_segment())
    throw ImportError("unsupported: " + what + " is stored in segments");
  int64_t needed = byteSize(weight.dtype, weight.shape, what);
  if (int64_t(bytes->size()) != needed)
    throw ImportError(what + " holds " + std::to_string(bytes->size()) +
                      " bytes of data; its shape and element type need " + std::to_string(needed));
  weight.data = ArrayRef<char>(bytes->data(), bytes->size());
  weight.owner = bytes;
  return weight;
}

Weight readTensor(const ::onnx::TensorProto &tensor, const std::string &what) {
  auto bytes = std::make_shared<std::string>(
      tensor.has_raw_data() ? tensor.raw_data() : typedBytes(tensor, tensor.data_type()));
  return ownBytes(tensor, std::move(bytes), what);
}

//===--------------------------------------------------------------------------------------------===//
// Detaching
//===--------------------------------------------------------------------------------------------===//

namespace {
struct Detacher {
  ::onnx::ModelProto &model;
  const std::string &path;
  std::map<std::string, Weight> &weights;
  std::map<std::string, Weight> pending;
  MappedFiles files;

  /// True if the tensor's bytes left the proto.
  bool detach(::onnx::TensorProto &tensor, const std::string &name) {
    std::string what = "tensor '" + name + "'";
    if (tensor.data_location() == ::onnx::TensorProto::EXTERNAL) {
      pending[name] = mapExternal(tensor, path, files);
      return true;
    }
    DType dtype = tensor.data_type();
    if (dtype.bits() == 0 ||
        byteSize(dtype, ArrayRef<int64_t>(tensor.dims().data(), tensor.dims_size()), what) <=
            kDetachBytes)
      return false;
    // The parsed bytes move out of the proto: a large model is in memory once.
    bool raw = tensor.has_raw_data();
    auto bytes = raw ? std::make_shared<std::string>(std::move(*tensor.mutable_raw_data()))
                     : std::make_shared<std::string>(typedBytes(tensor, dtype));
    pending[name] = ownBytes(tensor, std::move(bytes), what);
    return true;
  }

  // Names in subgraphs may shadow others, so only the main graph's weights are detached.
  void run(::onnx::GraphProto &graph) {
    auto *initializers = graph.mutable_initializer();
    int kept = 0;
    for (int i = 0; i < initializers->size(); ++i)
      if (!detach(*initializers->Mutable(i), initializers->Get(i).name()))
        initializers->SwapElements(kept++, i);
    initializers->DeleteSubrange(kept, initializers->size() - kept);

    auto *nodes = graph.mutable_node();
    kept = 0;
    for (int i = 0; i < nodes->size(); ++i) {
      auto &node = *nodes->Mutable(i);
      bool detached = node.op_type() == "Constant" && node.domain().empty() &&
                      node.output_size() == 1 && node.attribute_size() == 1 &&
                      node.attribute(0).has_t() &&
                      detach(*node.mutable_attribute(0)->mutable_t(), node.output(0));
      if (!detached)
        nodes->SwapElements(kept++, i);
    }
    nodes->DeleteSubrange(kept, nodes->size() - kept);
  }

  /// To the ONNX library a detached weight is an input of the graph.
  void declare() {
    std::set<std::string> inputs;
    for (const auto &input : model.graph().input())
      inputs.insert(input.name());
    for (auto &[name, weight] : pending) {
      if (!inputs.count(name)) {
        auto *input = model.mutable_graph()->add_input();
        input->set_name(name);
        auto *type = input->mutable_type()->mutable_tensor_type();
        type->set_elem_type(weight.dtype);
        type->mutable_shape();
        for (int64_t size : weight.shape)
          type->mutable_shape()->add_dim()->set_dim_value(size);
      }
      weights[name] = std::move(weight);
    }
  }
};
} // namespace

void detachWeights(::onnx::ModelProto &model, const std::string &path,
                   std::map<std::string, Weight> &weights) {
  Detacher detacher{model, path, weights, {}, {}};
  detacher.run(*model.mutable_graph());
  detacher.declare();
}

//===--------------------------------------------------------------------------------------------===//
// Attributes
//===--------------------------------------------------------------------------------------------===//

ElementsAttr toAttr(MLIRContext &context, const Weight &weight, const std::string &name) {
  auto type = RankedTensorType::get(weight.shape, weight.dtype.type(&context));
  if (weight.dtype.isBool()) {
    // i1 has no agreed byte layout as a resource.
    SmallVector<bool> bits(llvm::map_range(weight.data, [](char c) { return c != 0; }));
    return DenseElementsAttr::get(type, bits);
  }
  int64_t width = weight.dtype.bits() / 8, size = weight.data.size();
  bool mayBeSplat = size <= (1 << 20) && size > 0;
  bool isSplat =
      mayBeSplat && memcmp(weight.data.data(), weight.data.data() + width, size - width) == 0;
  if (isSplat)
    return DenseElementsAttr::getFromRawBuffer(type, weight.data.take_front(width));
  if (size <= kDetachBytes)
    return DenseElementsAttr::getFromRawBuffer(type, weight.data);
  if (reinterpret_cast<uintptr_t>(weight.data.data()) % width != 0)
    return DenseResourceElementsAttr::get(
        type, name, HeapAsmResourceBlob::allocateAndCopyWithAlign(weight.data, 64));
  auto blob = UnmanagedAsmResourceBlob::allocateWithAlign(
      weight.data, width, [owner = weight.owner](void *, size_t, size_t) {});
  return DenseResourceElementsAttr::get(type, name, std::move(blob));
}

} // namespace attune::onnx
