#include "attune/passes/raise/ByteCodes.h"

#include "attune/passes/fuse/ConstantData.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;

namespace attune {

static bool isByte(Value scalar) { return scalar.getType().isInteger(8); }

/// Flips the first bit: the order of signed bytes becomes that of unsigned ones.
static constexpr uint8_t kFlip = 0x80;

/// The byte that a scalar is a code of; `code` is what is known of the operators above it.
static Value byteOf(Value scalar, ByteCode &code) {
  Operation *op = scalar.getDefiningOp();
  if (!op)
    return {};
  auto converted = [&](bool isSigned) {
    code.isSigned = isSigned;
    return op->getOperand(0);
  };
  if (isa<arith::ExtUIOp, arith::UIToFPOp>(op) && isByte(op->getOperand(0)))
    return converted(false);
  if (isa<arith::ExtSIOp, arith::SIToFPOp>(op) && isByte(op->getOperand(0)))
    return converted(true);
  // Integers that bytes and offsets fit in, whichever way they are read.
  if (isa<arith::ExtSIOp, arith::SIToFPOp>(op))
    return byteOf(op->getOperand(0), code);
  APFloat factor(0.0f);
  if (auto mul = dyn_cast<arith::MulFOp>(op);
      mul && mul.getType().isF32() && matchPattern(mul.getRhs(), m_ConstantFloat(&factor))) {
    if (code.scale != 1 || code.offset != 0 || !factor.isFiniteNonZero())
      return {};
    code.scale = factor.convertToFloat();
    return byteOf(mul.getLhs(), code);
  }
  APInt number;
  if (isa<arith::SubIOp, arith::AddIOp>(op) &&
      matchPattern(op->getOperand(1), m_ConstantInt(&number)) &&
      number.getSignificantBits() <= 16) {
    int64_t step = number.getSExtValue();
    code.offset += isa<arith::AddIOp>(op) ? step : -step;
    return byteOf(op->getOperand(0), code);
  }
  if (isa<arith::SubFOp, arith::AddFOp>(op) && op->getResult(0).getType().isF32() &&
      matchPattern(op->getOperand(1), m_ConstantFloat(&factor))) {
    float step = factor.convertToFloat();
    if (step != std::rint(step) || std::fabs(step) > 1 << 15)
      return {};
    code.offset += isa<arith::AddFOp>(op) ? int64_t(step) : -int64_t(step);
    return byteOf(op->getOperand(0), code);
  }
  return {};
}

static std::optional<ByteElement> matchUnpadded(Elements &elements, Value scalar) {
  ByteElement result;
  Value byte = byteOf(scalar, result.code);
  if (!byte)
    return std::nullopt;
  if (std::optional<ElementOf> element = elements.load(byte); element && element->tensor)
    result.element = *element;
  else if (!elements.sources(byte).empty())
    result.element = elements.sources(byte).front();
  else
    return std::nullopt;
  return result;
}

/// The code whose value is `value`, or nothing.
static std::optional<uint8_t> encode(float value, const ByteCode &code) {
  float number = std::rint(value / code.scale) - static_cast<float>(code.offset);
  float low = code.isSigned ? -128 : 0;
  if (!(number >= low && number <= low + 255) ||
      code.scale * (number + static_cast<float>(code.offset)) != value)
    return std::nullopt;
  auto byte = static_cast<uint8_t>(static_cast<int>(number));
  return code.isSigned ? byte ^ kFlip : byte;
}

std::optional<ByteElement> matchByteElement(Elements &elements, Value scalar) {
  if (std::optional<ByteElement> found = matchUnpadded(elements, scalar))
    return found;
  std::optional<ElementOf> element = elements.load(scalar);
  auto pad =
      element && element->tensor ? element->tensor.getDefiningOp<tensor::PadOp>() : tensor::PadOp();
  APFloat fill(0.0f);
  Value constant = pad ? pad.getConstantPaddingValue() : Value();
  if (!constant || !constant.getType().isF32() || !matchPattern(constant, m_ConstantFloat(&fill)))
    return std::nullopt;
  SmallVector<Value> indices = elements.addIndices(pad.getSource());
  std::optional<ByteElement> found = matchUnpadded(elements, elements.at(pad.getSource(), indices));
  auto type = cast<RankedTensorType>(pad.getSource().getType());
  if (!found || found->element.tensor.getType() !=
                    RankedTensorType::get(type.getShape(), IntegerType::get(type.getContext(), 8)))
    return std::nullopt;
  for (auto [axis, own, wanted] : llvm::enumerate(found->element.indices, indices))
    if (type.getDimSize(axis) != 1 && own != wanted)
      return std::nullopt;
  if (!encode(fill.convertToFloat(), found->code))
    return std::nullopt;
  found->padding = pad;
  found->padded = found->element.tensor;
  found->element = *element;
  return found;
}

static Value bytesConstant(OpBuilder &builder, Location loc, ArrayRef<int64_t> shape,
                           ArrayRef<uint8_t> bytes) {
  auto type = RankedTensorType::get(shape, builder.getI8Type());
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(bytes.size(), 64);
  llvm::copy(bytes, reinterpret_cast<uint8_t *>(const_cast<char *>(blob.getData().data())));
  return arith::ConstantOp::create(builder, loc, type,
                                   DenseResourceElementsAttr::get(type, "codes", std::move(blob)));
}

static Value flipped(OpBuilder &builder, Location loc, Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (ConstantData data(tensor); data && type.getNumElements() > 0) {
    std::vector<uint8_t> bytes(type.getNumElements());
    for (auto [n, byte] : llvm::enumerate(bytes))
      byte = data.as<uint8_t>()[data.isSplat() ? 0 : n] ^ kFlip;
    return bytesConstant(builder, loc, type.getShape(), bytes);
  }
  Value empty = tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, tensor),
                                        type.getElementType());
  AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> parallel(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, empty.getType(), tensor, empty, ArrayRef{identity, identity}, parallel,
             [](OpBuilder &nested, Location at, ValueRange args) {
               Value bit = arith::ConstantOp::create(
                   nested, at, nested.getI8IntegerAttr(static_cast<int8_t>(kFlip)));
               Value byte = arith::XOrIOp::create(nested, at, args[0], bit);
               linalg::YieldOp::create(nested, at, byte);
             })
      .getResult(0);
}

Value unsignedBytes(OpBuilder &builder, Location loc, const ByteElement &element) {
  Value bytes = element.padding ? element.padded : element.element.tensor;
  if (element.code.isSigned)
    bytes = flipped(builder, loc, bytes);
  if (!element.padding)
    return bytes;
  tensor::PadOp pad = element.padding;
  APFloat fill(0.0f);
  matchPattern(pad.getConstantPaddingValue(), m_ConstantFloat(&fill));
  Value zero = arith::ConstantOp::create(
      builder, loc, builder.getI8IntegerAttr(*encode(fill.convertToFloat(), element.code)));
  auto type = RankedTensorType::get(pad.getResultType().getShape(), builder.getI8Type());
  return tensor::PadOp::create(builder, loc, type, bytes, pad.getMixedLowPad(),
                               pad.getMixedHighPad(), zero);
}

/// The bytes of all elements of type T, or nothing.
template <typename T>
static std::optional<std::vector<uint8_t>> encodeAll(const ConstantData &data, int64_t count,
                                                     const ByteCode &code) {
  std::vector<uint8_t> bytes(count);
  for (auto [n, byte] : llvm::enumerate(bytes)) {
    T value = data.as<T>()[data.isSplat() ? 0 : n];
    // Beyond a byte's range there is nothing that a rounded value could be mistaken for.
    std::optional<uint8_t> own = encode(static_cast<float>(value), code);
    if (!own)
      return std::nullopt;
    byte = *own;
  }
  return bytes;
}

static std::optional<std::vector<uint8_t>> encodeConstant(Value values, const ByteCode &code) {
  auto type = dyn_cast<RankedTensorType>(values.getType());
  ConstantData data(values);
  if (!type || !data)
    return std::nullopt;
  Type element = type.getElementType();
  if (element.isF32())
    return encodeAll<float>(data, type.getNumElements(), code);
  if (element.isInteger(32))
    return encodeAll<int32_t>(data, type.getNumElements(), code);
  if (element.isInteger(64))
    return encodeAll<int64_t>(data, type.getNumElements(), code);
  return std::nullopt;
}

bool holdsBytes(Value values, const ByteCode &code) {
  return encodeConstant(values, code).has_value();
}

Value constantBytes(OpBuilder &builder, Location loc, Value values, const ByteCode &code) {
  std::optional<std::vector<uint8_t>> bytes = encodeConstant(values, code);
  auto type = cast<RankedTensorType>(values.getType());
  return bytes ? bytesConstant(builder, loc, type.getShape(), *bytes) : Value();
}

} // namespace attune
