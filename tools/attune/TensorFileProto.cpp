// ONNX TensorProto. Protobuf throws on its own bugs and on lack of memory: caught here.
#include "attune/tools/attune/TensorFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <limits>
#include <onnx/onnx_pb.h>

namespace attune::tools {
namespace {

using onnx::TensorProto;

constexpr struct {
  int onnx;
  attune_dtype dtype;
} kTypes[] = {{TensorProto::FLOAT, ATTUNE_F32},
              {TensorProto::UINT8, ATTUNE_U8},
              {TensorProto::INT8, ATTUNE_I8},
              {TensorProto::UINT16, ATTUNE_U16},
              {TensorProto::INT16, ATTUNE_I16},
              {TensorProto::INT32, ATTUNE_I32},
              {TensorProto::INT64, ATTUNE_I64},
              {TensorProto::BOOL, ATTUNE_BOOL},
              {TensorProto::FLOAT16, ATTUNE_F16},
              {TensorProto::DOUBLE, ATTUNE_F64},
              {TensorProto::UINT32, ATTUNE_U32},
              {TensorProto::UINT64, ATTUNE_U64},
              {TensorProto::COMPLEX64, ATTUNE_C64},
              {TensorProto::COMPLEX128, ATTUNE_C128},
              {TensorProto::BFLOAT16, ATTUNE_BF16},
              {TensorProto::FLOAT8E4M3FN, ATTUNE_F8E4M3FN},
              {TensorProto::FLOAT8E4M3FNUZ, ATTUNE_F8E4M3FNUZ},
              {TensorProto::FLOAT8E5M2, ATTUNE_F8E5M2},
              {TensorProto::FLOAT8E5M2FNUZ, ATTUNE_F8E5M2FNUZ},
              {TensorProto::UINT4, ATTUNE_U4},
              {TensorProto::INT4, ATTUNE_I4},
              {TensorProto::FLOAT4E2M1, ATTUNE_F4E2M1},
              // Newer than the ONNX library that this is built with.
              {24, ATTUNE_F8E8M0FNU},
              {25, ATTUNE_U2},
              {26, ATTUNE_I2}};

/// Copies `field`, whose entries stand for one stored unit each (an element, a packed byte, half of
/// a complex number), as `Unit`. False if there is another number of them or one does not fit.
template <class Unit, class Field> bool copyUnits(const Field &field, Tensor &tensor) {
  if (uint64_t(field.size()) != tensor.size() / sizeof(Unit))
    return false;
  auto *to = static_cast<Unit *>(tensor.data());
  for (auto entry : field) {
    if constexpr (std::is_integral_v<Unit>) {
      // A signed byte may be written as itself or by its bits.
      using Limits = std::numeric_limits<Unit>;
      using Signed = std::numeric_limits<std::make_signed_t<Unit>>;
      if constexpr (sizeof(Unit) < sizeof entry)
        if (std::is_signed_v<decltype(entry)>
                ? int64_t(entry) < int64_t(Signed::min()) || int64_t(entry) > int64_t(Limits::max())
                : uint64_t(entry) > uint64_t(Limits::max()))
          return false;
    }
    *to++ = Unit(entry);
  }
  return true;
}

bool copyTyped(const TensorProto &proto, Tensor &tensor) {
  switch (tensor.dtype()) {
  case ATTUNE_F32:
  case ATTUNE_C64:
    return copyUnits<float>(proto.float_data(), tensor);
  case ATTUNE_F64:
  case ATTUNE_C128:
    return copyUnits<double>(proto.double_data(), tensor);
  case ATTUNE_I64:
    return copyUnits<int64_t>(proto.int64_data(), tensor);
  case ATTUNE_U64:
    return copyUnits<uint64_t>(proto.uint64_data(), tensor);
  case ATTUNE_U32:
    return copyUnits<uint32_t>(proto.uint64_data(), tensor);
  case ATTUNE_I32:
    return copyUnits<int32_t>(proto.int32_data(), tensor);
  case ATTUNE_I16:
    return copyUnits<int16_t>(proto.int32_data(), tensor);
  case ATTUNE_U16:
  case ATTUNE_F16:
  case ATTUNE_BF16:
    return copyUnits<uint16_t>(proto.int32_data(), tensor);
  case ATTUNE_I8:
    return copyUnits<int8_t>(proto.int32_data(), tensor);
  default: // bytes, and elements that are packed into bytes
    return copyUnits<uint8_t>(proto.int32_data(), tensor);
  }
}

llvm::Expected<NamedTensor> decode(llvm::StringRef content) {
  TensorProto proto;
  if (content.size() > size_t(std::numeric_limits<int>::max()) ||
      !proto.ParseFromArray(content.data(), int(content.size())))
    return llvm::createStringError("it is not a serialised TensorProto");
  const auto *type =
      llvm::find_if(kTypes, [&](const auto &type) { return type.onnx == proto.data_type(); });
  if (type == std::end(kTypes))
    return llvm::createStringError("unsupported: TensorProto of data_type " +
                                   llvm::Twine(proto.data_type()));
  if (proto.data_location() == TensorProto::EXTERNAL || proto.has_segment())
    return llvm::createStringError("unsupported: data outside the TensorProto");
  std::vector<int64_t> shape(proto.dims().begin(), proto.dims().end());
  if (llvm::any_of(shape, [](int64_t extent) { return extent < 0; }) || shape.size() > 64)
    return llvm::createStringError("the shape has a negative extent or too many axes");

  uint64_t bytes = Tensor::view(type->dtype, shape, nullptr).size();
  auto sizeError = [&] {
    return llvm::createStringError("its data does not match its shape and dtype, which need " +
                                   llvm::Twine(bytes) + " bytes");
  };
  // Damaged dims must not lead to an allocation that the data cannot fill.
  if (bytes / 16 > content.size() + 1)
    return sizeError();
  Tensor tensor(type->dtype, shape);
  if (proto.has_raw_data()) {
    if (proto.raw_data().size() != bytes)
      return sizeError();
    llvm::copy(proto.raw_data(), static_cast<char *>(tensor.data()));
  } else if (!copyTyped(proto, tensor)) {
    return sizeError();
  }
  if (type->dtype == ATTUNE_BOOL)
    for (uint8_t &byte : llvm::MutableArrayRef(static_cast<uint8_t *>(tensor.data()), bytes))
      byte = byte != 0;
  return NamedTensor{proto.name(), std::move(tensor)};
}

} // namespace

llvm::Expected<NamedTensor> decodeTensorProto(llvm::StringRef content) {
  try {
    return decode(content);
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
}

llvm::Expected<std::string> encodeTensorProto(llvm::StringRef name, const Tensor &tensor) {
  const auto *type =
      llvm::find_if(kTypes, [&](const auto &type) { return type.dtype == tensor.dtype(); });
  if (type == std::end(kTypes))
    return llvm::createStringError("unsupported: tensors of " + dtypeName(tensor.dtype()) +
                                   " in .pb files");
  try {
    TensorProto proto;
    proto.set_name(name.str());
    proto.set_data_type(type->onnx);
    for (int64_t extent : tensor.shape())
      proto.add_dims(extent);
    proto.set_raw_data(tensor.data(), tensor.size());
    std::string content;
    if (!proto.SerializeToString(&content))
      return llvm::createStringError("a TensorProto holds at most 2 GB");
    return content;
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
}

} // namespace attune::tools
