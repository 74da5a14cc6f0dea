// cvt between integers and floating-point numbers, and into pairs of narrow ones.
#include "attune/test/ptxemu/Lanes.h"
#include <cmath>

namespace attune::ptx {

static constexpr uint32_t flushed = 1, saturated = 2, positive = 4, finite = 8;

namespace {

/// What Instruction::lists holds of a cvt.
struct Form {
  Type to, from;
  unsigned toBits, fromBits; ///< of the registers
  Rounding rounding;
  int integral; ///< position in rni, rzi, rmi, rpi; -1: none
};
} // namespace

static void save(Decoder &d, const Form &form) {
  d.out.list = uint32_t(d.program.lists.size());
  for (uint32_t word : {uint32_t(form.to), uint32_t(form.from), form.toBits, form.fromBits,
                        uint32_t(form.rounding), uint32_t(form.integral)})
    d.program.lists.push_back(word);
}

static Form load(const Warp &warp, const Instruction &i) {
  const uint32_t *words = &warp.program.lists[i.list];
  return {Type(words[0]), Type(words[1]), words[2], words[3], Rounding(words[4]), int(words[5])};
}

static double toNumber(uint64_t bits, Type type) {
  switch (type) {
  case Type::F16:
    return halfToFloat(uint16_t(bits));
  case Type::BF16:
    return brainToFloat(uint16_t(bits));
  case Type::F32:
    return std::bit_cast<float>(uint32_t(bits));
  default:
    return std::bit_cast<double>(bits);
  }
}

static int64_t extend(uint64_t bits, unsigned width, bool isSigned) {
  if (width == 64)
    return int64_t(bits);
  uint64_t shifted = bits << (64 - width);
  return isSigned ? int64_t(shifted) >> (64 - width) : int64_t(shifted >> (64 - width));
}

static double toIntegral(double value, int mode) {
  switch (mode) {
  case 0:
    return std::nearbyint(value);
  case 1:
    return std::trunc(value);
  case 2:
    return std::floor(value);
  case 3:
    return std::ceil(value);
  default:
    return value;
  }
}

/// Exact where a double holds the value, else odd, so that the next rounding is right.
static double integerToNumber(int64_t value, bool isSigned) {
  double high = isSigned ? double(value >> 32) : double(uint64_t(value) >> 32);
  return addSticky(high * 4294967296.0, double(uint32_t(value)));
}

/// Out of range saturates; NaN gives 0, or 2^(n-1) for f64 or 64 bits.
static uint64_t numberToInteger(double value, Type to, bool from64) {
  unsigned width = bitsOf(to);
  if (std::isnan(value))
    return from64 || width == 64 ? uint64_t(1) << (width - 1) : 0;
  double limit = std::ldexp(1.0, int(width) - isSigned(to));
  if (value >= limit)
    return (width == 64 && !isSigned(to) ? 0 : uint64_t(1) << (width - isSigned(to))) - 1;
  if (isSigned(to))
    return value < -limit ? uint64_t(1) << (width - 1) : uint64_t(int64_t(value));
  return value <= 0 ? 0 : uint64_t(value);
}

static uint64_t clampInteger(int64_t value, Type to, Type from) {
  unsigned width = bitsOf(to);
  bool huge = !isSigned(from) && value < 0; // a u64 above the range of s64
  if (isSigned(to)) {
    int64_t most = int64_t((uint64_t(1) << (width - 1)) - 1);
    return huge || value > most ? uint64_t(most)
           : value < -most - 1  ? uint64_t(-most - 1)
                                : uint64_t(value);
  }
  if (isSigned(from) && value < 0)
    return 0;
  uint64_t most = width == 64 ? ~uint64_t(0) : (uint64_t(1) << width) - 1;
  return std::min(uint64_t(value), most);
}

static uint64_t numberToBits(double value, const Form &form, uint32_t flags) {
  if (flags & saturated)
    value = value > 0 ? std::min(value, 1.0) : 0;
  if ((flags & positive) && value <= 0)
    value = 0;
  switch (form.to) {
  case Type::F16:
    return encode(value, half, form.rounding, flags & finite);
  case Type::BF16:
    return encode(value, brain, form.rounding, flags & finite);
  case Type::TF32:
    return encode(value, tensor32, form.rounding, flags & finite);
  case Type::F32: {
    auto result = std::bit_cast<float>(encode(value, single, form.rounding));
    return std::bit_cast<uint32_t>(flags & flushed ? flush(result) : result);
  }
  default:
    return std::bit_cast<uint64_t>(value);
  }
}

static void convert(Warp &warp, const Instruction &i) {
  const Form form = load(warp, i);
  forLanes(warp.mask, [&](unsigned lane) {
    uint64_t bits = warp.word(i.rows[1], form.fromBits == 64, lane), result;
    if (isFloat(form.from)) {
      double value = toNumber(bits, form.from);
      if ((i.flags & flushed) && form.from == Type::F32)
        value = flush(float(value));
      value = toIntegral(value, form.integral);
      result = isFloat(form.to) ? numberToBits(value, form, i.flags)
                                : numberToInteger(value, form.to, form.from == Type::F64);
    } else {
      int64_t value = extend(bits, bitsOf(form.from), isSigned(form.from));
      if (isFloat(form.to))
        result = numberToBits(integerToNumber(value, isSigned(form.from)), form, i.flags);
      else
        result = i.flags & saturated ? clampInteger(value, form.to, form.from) : uint64_t(value);
    }
    if (!isFloat(form.to))
      result = uint64_t(extend(result, bitsOf(form.to), isSigned(form.to)));
    if (form.toBits == 64)
      warp.row<uint64_t>(i.rows[0])[lane] = result;
    else
      warp.row<uint32_t>(i.rows[0])[lane] = uint32_t(result) & (form.toBits == 16 ? 0xffff : ~0u);
  });
}

static const Format &pairFormat(Type type) {
  return type == Type::F16x2    ? half
         : type == Type::BF16x2 ? brain
         : type == Type::E4M3x2 ? e4m3
                                : e5m2;
}

/// d = {a, b} narrowed, a in the upper half.
static void convertPair(Warp &warp, const Instruction &i) {
  const Form form = load(warp, i);
  const Format &format = pairFormat(form.to);
  unsigned width = bitsOf(form.to) / 2;
  const float *upper = reinterpret_cast<float *>(warp.row<float>(i.rows[1])),
              *lower = reinterpret_cast<float *>(warp.row<float>(i.rows[2]));
  uint32_t *d = warp.row<uint32_t>(i.rows[0]);
  auto one = [&](double value) {
    return encode((i.flags & positive) && value <= 0 ? 0 : value, format, form.rounding,
                  i.flags & finite);
  };
  forLanes(warp.mask,
           [&](unsigned lane) { d[lane] = one(upper[lane]) << width | one(lower[lane]); });
}

/// Two 8-bit numbers to f16x2.
static void widenPair(Warp &warp, const Instruction &i) {
  const Form form = load(warp, i);
  const Format &format = pairFormat(form.from);
  const uint32_t *a = warp.row<uint32_t>(i.rows[1]);
  uint32_t *d = warp.row<uint32_t>(i.rows[0]);
  forLanes(warp.mask, [&](unsigned lane) {
    uint32_t result = 0;
    for (unsigned part = 0; part < 2; ++part)
      result |= uint32_t(floatToHalf(decode(a[lane] >> (8 * part) & 255, format))) << (16 * part);
    d[lane] = i.flags & positive ? result & ~((result >> 15 & 0x00010001) * 0xffff) : result;
  });
}

static Run decodeConvert(Decoder &d) {
  Form form;
  form.integral = d.oneOf({"rni", "rzi", "rmi", "rpi"});
  form.rounding = d.rounding(Rounding::Nearest);
  d.out.flags = (d.take("ftz") ? flushed : 0) | (d.take("sat") ? saturated : 0) |
                (d.take("relu") ? positive : 0) | (d.take("satfinite") ? finite : 0);
  form.to = d.type();
  form.from = d.type();
  bool narrowPair = isPacked(form.to) || form.to == Type::E4M3x2 || form.to == Type::E5M2x2;
  bool fromPair = form.from == Type::E4M3x2 || form.from == Type::E5M2x2;
  if (narrowPair && form.from == Type::F32) {
    d.destination(form.to);
    d.source(Type::F32);
    d.source(Type::F32);
    save(d, form);
    return convertPair;
  }
  if (form.to == Type::F16x2 && fromPair) {
    d.destination(form.to);
    d.source(form.from);
    save(d, form);
    return widenPair;
  }
  bool toTensor = form.to == Type::TF32 && form.from == Type::F32;
  if (narrowPair || isPacked(form.from) || fromPair || form.from == Type::TF32 ||
      (form.to == Type::TF32 && !toTensor) || form.to == Type::Pred || form.from == Type::Pred)
    d.unsupported("the conversion");
  form.toBits = d.wideDestination(form.to == Type::TF32 ? Type::B32 : form.to);
  form.fromBits = d.wideSource(form.from);
  save(d, form);
  return convert;
}

void addConversions(InstructionSet &set) { set.emplace("cvt", decodeConvert); }

} // namespace attune::ptx
