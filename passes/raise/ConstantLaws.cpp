#include "attune/passes/raise/ConstantLaws.h"

#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"
#include <cstring>

using namespace mlir;

namespace attune {

std::optional<ConstantData> ConstantData::get(Value value) {
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  return get(attr);
}

std::optional<ConstantData> ConstantData::get(Attribute value) {
  auto elements = dyn_cast_or_null<ElementsAttr>(value);
  auto type = elements ? dyn_cast<RankedTensorType>(elements.getType()) : RankedTensorType();
  if (!type || !type.hasStaticShape() || !type.getElementType().isIntOrIndexOrFloat())
    return std::nullopt;
  ConstantData data;
  data.type = type;
  data.width = type.getElementType().isIndex() ? 64 : type.getElementTypeBitWidth();
  if (data.width > 64)
    return std::nullopt;
  if (auto dense = dyn_cast<DenseElementsAttr>(value)) {
    data.dense = dense;
    data.splat = dense.isSplat();
    // Sub-byte elements are packed: those go through the attribute's own iterators.
    if (data.width >= 8)
      data.bytes = dense.getRawData();
    return data;
  }
  auto resource = dyn_cast<DenseResourceElementsAttr>(value);
  AsmResourceBlob *blob = resource ? resource.getRawHandle().getBlob() : nullptr;
  if (!blob)
    return std::nullopt;
  data.bytes = blob->getData();
  size_t bytesEach = (data.width + 7) / 8;
  if (data.bytes.size() != size_t(type.getNumElements()) * bytesEach)
    return std::nullopt;
  data.splat = type.getNumElements() == 1;
  return data;
}

uint64_t ConstantData::getBits(int64_t position) const {
  if (splat)
    position = 0;
  if (bytes.empty() && dense) {
    if (isa<FloatType>(type.getElementType()))
      return dense.getValues<APFloat>()[position].bitcastToAPInt().getZExtValue();
    return dense.getValues<APInt>()[position].getZExtValue();
  }
  uint64_t bits = 0;
  size_t bytesEach = (width + 7) / 8;
  std::memcpy(&bits, bytes.data() + position * bytesEach, bytesEach);
  return bits;
}

int64_t ConstantData::getInt(int64_t position) const {
  uint64_t bits = getBits(position);
  if (width == 1)
    return bits & 1;
  bool isUnsigned = type.getElementType().isUnsignedInteger();
  return isUnsigned || width == 64 ? int64_t(bits) : llvm::SignExtend64(bits, width);
}

double ConstantData::getFloat(int64_t position) const {
  auto floatType = cast<FloatType>(type.getElementType());
  if (floatType.isF32()) {
    uint32_t bits = getBits(position);
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  APFloat value(floatType.getFloatSemantics(), APInt(width, getBits(position)));
  bool lossy;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
  return value.convertToDouble();
}

std::optional<ConstantLaw::Ramp> ConstantLaw::ramp(const ConstantData &data, int64_t offset,
                                                   Axis axis) {
  if (!data.getType().getElementType().isIntOrIndex() || axis.size < 2 ||
      data.getType().getElementType().isInteger(1))
    return std::nullopt;
  auto value = [&](int64_t x) { return data.getInt(offset + x * axis.stride); };
  Ramp ramp{value(0), 0, 1};
  while (ramp.divisor < axis.size && value(ramp.divisor) == ramp.start)
    ++ramp.divisor;
  if (ramp.divisor == axis.size)
    ramp.divisor = 1;
  else
    ramp.slope = value(ramp.divisor) - ramp.start;
  for (int64_t x = 0; x < axis.size; ++x)
    if (value(x) != ramp.start + ramp.slope * (x / ramp.divisor))
      return std::nullopt;
  return ramp;
}

/// `body(indices)` for every point of the axes, until it is false.
static bool forEachPoint(ArrayRef<ConstantLaw::Axis> axes,
                         llvm::function_ref<bool(ArrayRef<int64_t> at, int64_t position)> body) {
  SmallVector<int64_t> at(axes.size(), 0);
  while (true) {
    int64_t position = 0;
    for (auto [axis, index] : llvm::zip(axes, at))
      position += axis.stride * index;
    if (!body(at, position))
      return false;
    size_t axis = axes.size();
    while (axis > 0 && ++at[axis - 1] == axes[axis - 1].size)
      at[--axis] = 0;
    if (axis == 0)
      return true;
  }
}

std::optional<SmallVector<ConstantLaw::Ramp>>
ConstantLaw::ramps(const ConstantData &data, int64_t offset, ArrayRef<Axis> axes) {
  SmallVector<Ramp> result;
  for (Axis axis : axes) {
    std::optional<Ramp> along = ramp(data, offset, axis);
    if (!along)
      return std::nullopt;
    result.push_back(*along);
  }
  bool isSum = forEachPoint(axes, [&](ArrayRef<int64_t> at, int64_t position) {
    int64_t sum = result[0].start;
    for (auto [along, index] : llvm::zip(result, at))
      sum += along.slope * (index / along.divisor);
    return data.getInt(offset + position) == sum;
  });
  return isSum ? std::optional(result) : std::nullopt;
}

std::optional<ConstantLaw::Band> ConstantLaw::band(const ConstantData &data, int64_t offset,
                                                   Axis row, Axis column) {
  auto position = [&](int64_t r, int64_t c) { return offset + r * row.stride + c * column.stride; };
  // The value at the origin is inside, unless row 0 never changes: then the other value starts at
  // its lower left.
  uint64_t first = data.getBits(offset);
  std::optional<int64_t> other;
  for (int64_t r = 0; r < row.size && !other; ++r)
    for (int64_t c = 0; c < column.size && !other; ++c)
      if (data.getBits(position(r, c)) != first)
        other = position(r, c);
  if (!other)
    return std::nullopt;
  uint64_t second = data.getBits(*other);
  // Most constants soon show a third value.
  for (int64_t r = 0; r < row.size; ++r)
    for (int64_t c = 0; c < column.size; ++c)
      if (uint64_t bits = data.getBits(position(r, c)); bits != first && bits != second)
        return std::nullopt;
  auto fits = [&](uint64_t in, uint64_t out, int64_t inAt, int64_t outAt) -> std::optional<Band> {
    Band band{std::nullopt, std::nullopt, inAt, outAt};
    // Bounds that cut some row decide; bounds that cut none are absent.
    for (int64_t r = 0; r < row.size; ++r) {
      int64_t begin = 0, end = column.size;
      while (begin < end && data.getBits(position(r, begin)) != in)
        ++begin;
      while (end > begin && data.getBits(position(r, end - 1)) != in)
        --end;
      if (begin == end)
        continue;
      if (begin > 0 && !band.low)
        band.low = begin - r;
      if (end < column.size && !band.high)
        band.high = end - 1 - r;
    }
    for (int64_t r = 0; r < row.size; ++r)
      for (int64_t c = 0; c < column.size; ++c) {
        bool inside = (!band.low || c >= r + *band.low) && (!band.high || c <= r + *band.high);
        if (data.getBits(position(r, c)) != (inside ? in : out))
          return std::nullopt;
      }
    return band.low || band.high ? std::optional(band) : std::nullopt;
  };
  if (auto band = fits(first, second, offset, *other))
    return band;
  return fits(second, first, *other, offset);
}

bool ConstantLaw::isRepeated(const ConstantData &data, int64_t offset, ArrayRef<Axis> axes,
                             size_t along) {
  return forEachPoint(axes, [&](ArrayRef<int64_t> at, int64_t position) {
    int64_t first = offset + position - axes[along].stride * at[along];
    return data.getBits(offset + position) == data.getBits(first);
  });
}

} // namespace attune
