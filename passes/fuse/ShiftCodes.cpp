#include "attune/passes/fuse/ShiftCodes.h"

#include "attune/passes/fuse/ConstantData.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace attune {

ShiftValues::ShiftValues(Value constant, std::optional<int64_t> exponentBias, bool integers) {
  ConstantData data(constant);
  Type element = getElementTypeOrSelf(constant);
  if (!data || data.bytes().empty() || !(exponentBias ? element.isInteger(8) : element.isF32()))
    return;
  splat = data.isSplat();
  if (exponentBias) {
    codes = data.as<int8_t>();
    codesBias = *exponentBias;
  } else {
    floats = data.as<float>();
  }
  int least = 0, most = 1 - 127;
  for (int64_t i = 0, size = std::max(codes.size(), floats.size()); i < size; ++i) {
    std::optional<Term> t = term(i);
    if (!t)
      return;
    if (t->exponent == kZero)
      continue;
    least = std::min(least, t->exponent);
    most = std::max(most, t->exponent);
  }
  bias = 1 - least;
  int64_t largest = most + bias;
  for (int64_t width : {4, 5, 6, 8})
    if (bits == 0 && (integers || width != 6) && largest < int64_t(1) << (width - 1))
      bits = width;
}

std::optional<ShiftValues::Term> ShiftValues::term(int64_t element) const {
  if (!codes.empty()) {
    int code = codes[element];
    return Term{code < 0, code ? std::abs(code) - int(codesBias) : kZero};
  }
  uint32_t word = llvm::bit_cast<uint32_t>(floats[element]);
  bool negative = word >> 31;
  int exponent = (word >> 23) & 255;
  if ((word & 0x7fffff) != 0 || exponent == 255)
    return std::nullopt;
  return Term{negative, exponent ? exponent - 127 : kZero};
}

uint32_t ShiftValues::field(int64_t element) const {
  Term t = *term(splat ? 0 : element);
  if (t.exponent == kZero)
    return 0;
  return uint32_t(t.negative) << (bits - 1) | uint32_t(t.exponent + bias);
}

Value packShiftCodes(OpBuilder &b, Location loc, const ShiftValues &values, ArrayRef<int64_t> shape,
                     ArrayRef<int64_t> depth, int64_t column) {
  SmallVector<int64_t> strides = computeStrides(shape), extents, steps;
  int64_t k = 1, n = shape[column];
  for (int64_t axis : depth) {
    extents.push_back(shape[axis]);
    steps.push_back(strides[axis]);
    k *= shape[axis];
  }
  auto type = UnpackCodesOp::wordsType(b.getContext(), k, n, values.bits);
  AsmResourceBlob blob =
      HeapAsmResourceBlob::allocate(type.getNumElements() * sizeof(uint32_t), 64);
  auto *words = reinterpret_cast<uint32_t *>(const_cast<char *>(blob.getData().data()));
  std::fill_n(words, type.getNumElements(), 0);
  int64_t perWord = UnpackCodesOp::codesPerWord(values.bits), lines = type.getDimSize(1);
  for (int64_t line = 0; line < k; ++line) {
    int64_t from = 0, rest = line;
    for (int64_t axis = depth.size(); axis-- > 0; rest /= extents[axis])
      from += rest % extents[axis] * steps[axis];
    for (int64_t c = 0; c < n; ++c) {
      int64_t at = (c / UnpackCodesOp::kPanel * lines + line / perWord) * UnpackCodesOp::kPanel +
                   c % UnpackCodesOp::kPanel;
      words[at] |= values.field(from + c * strides[column]) << (line % perWord * values.bits);
    }
  }
  Value packed = arith::ConstantOp::create(
      b, loc, type, DenseResourceElementsAttr::get(type, "codes", std::move(blob)));
  extents.push_back(n);
  return UnpackCodesOp::create(b, loc, RankedTensorType::get(extents, b.getI8Type()), packed,
                               values.bits);
}

} // namespace attune
