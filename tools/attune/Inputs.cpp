#include "attune/tools/attune/Inputs.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringRef.h"

#include <random>

namespace attune::tools {

/// One float as the bits of a floating-point dtype.
static uint64_t floatBits(attune_dtype dtype, float value) {
  llvm::APFloat number(value);
  bool lossy;
  auto bits = [&](const llvm::fltSemantics &semantics) {
    number.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &lossy);
    return number.bitcastToAPInt().getZExtValue();
  };
  switch (dtype) {
  case ATTUNE_F64:
    return bits(llvm::APFloat::IEEEdouble());
  case ATTUNE_F16:
    return bits(llvm::APFloat::IEEEhalf());
  case ATTUNE_BF16:
    return bits(llvm::APFloat::BFloat());
  default:
    return bits(llvm::APFloat::IEEEsingle());
  }
}

static bool isFloat(attune_dtype dtype) {
  return dtype == ATTUNE_F64 || dtype == ATTUNE_F32 || dtype == ATTUNE_F16 || dtype == ATTUNE_BF16;
}

static void fill(Tensor &tensor, bool ones, std::mt19937_64 &random) {
  uint64_t count = tensor.elements();
  if (count == 0)
    return;
  uint64_t width = tensor.size() / count;
  char *data = static_cast<char *>(tensor.data());
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t bits;
    if (isFloat(tensor.dtype()))
      bits = floatBits(tensor.dtype(), ones ? 1.0f : uniform(random));
    else
      bits = ones ? 1 : random() & 1;
    std::memcpy(data + i * width, &bits, width);
  }
}

llvm::Expected<std::vector<Tensor>> makeInputs(const Session &session, const InputSizes &sizes,
                                               uint64_t seed) {
  const attune_signature &signature = session.signature();
  std::mt19937_64 random(seed);
  std::map<std::string, int64_t> symbols;
  for (const auto &dim : sizes.dims)
    symbols[dim.getKey().str()] = dim.getValue();
  // Given shapes decide their symbols for every input.
  for (uint32_t i = 0; i < signature.input_count; ++i) {
    const attune_port &port = *signature.inputs[i];
    auto given = sizes.shapes.find(port.name);
    if (given == sizes.shapes.end())
      continue;
    if (static_cast<int32_t>(given->getValue().size()) != port.rank)
      return llvm::createStringError("--shape gives input `" + llvm::StringRef(port.name) +
                                     "` rank " + llvm::Twine(given->getValue().size()) +
                                     ", the model has rank " + llvm::Twine(port.rank));
    for (int32_t axis = 0; axis < port.rank; ++axis)
      if (port.symbols[axis])
        symbols[port.symbols[axis]] = given->getValue()[axis];
  }
  for (const auto &shape : sizes.shapes) {
    bool known = false;
    for (uint32_t i = 0; i < signature.input_count; ++i)
      known |= shape.getKey() == signature.inputs[i]->name;
    if (!known)
      return llvm::createStringError("--shape names `" + shape.getKey() +
                                     "`, which is no input of the model");
  }

  std::vector<Tensor> inputs;
  for (uint32_t i = 0; i < signature.input_count; ++i) {
    const attune_port &port = *signature.inputs[i];
    std::vector<int64_t> shape(port.shape, port.shape + port.rank);
    for (int32_t axis = 0; axis < port.rank; ++axis)
      if (port.symbols[axis])
        shape[axis] = symbols.try_emplace(port.symbols[axis], axis == 0 ? 1 : 128).first->second;
    Tensor tensor(port.dtype, shape);
    fill(tensor, llvm::StringRef(port.name).contains_insensitive("mask"), random);
    inputs.push_back(tensor);
  }
  return inputs;
}

std::string describeInputs(const Session &session, const std::vector<Tensor> &inputs) {
  std::string text;
  for (auto [i, tensor] : llvm::enumerate(inputs)) {
    text += (i ? ", " : "") + std::string(session.signature().inputs[i]->name) + " ";
    for (auto [axis, extent] : llvm::enumerate(tensor.shape()))
      text += (axis ? "x" : "") + std::to_string(extent);
  }
  return text;
}

} // namespace attune::tools
