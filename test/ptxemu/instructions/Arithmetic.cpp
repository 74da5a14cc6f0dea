// Integer arithmetic: add, sub, mul, mad, div, rem, abs, neg, min, max, sad, dp4a, dp2a, vabsdiff4.
#include "attune/test/ptxemu/Lanes.h"
#include <algorithm>
#include <limits>

namespace attune::ptx {

template <class T>
using Wide = std::conditional_t<
    sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>,
    std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>>;

/// The product in twice the width, for 16 bits without overflow of int.
template <class T> static Wide<T> product(T a, T b) { return Wide<T>(Wide<T>(a) * Wide<T>(b)); }

template <class T> static T wrap(Wide<T> value) { return T(std::make_unsigned_t<T>(value)); }

template <class F> static Run same(Decoder &d, unsigned sources, F f) {
  if (isFloat(d.firstType()))
    return nullptr;
  Type type = d.type();
  d.destination(type);
  for (unsigned i = 0; i < sources; ++i)
    d.source(type);
  return integers(d, type, f);
}

static Run decodeAdd(Decoder &d) {
  if (d.take("sat")) {
    if (d.firstType() == Type::S32)
      return same(d, 2, []<class T>(T) {
        return binary<int32_t>([](int32_t a, int32_t b) {
          return int32_t(std::clamp<int64_t>(int64_t(a) + b, INT32_MIN, INT32_MAX));
        });
      });
    if (!isFloat(d.firstType()))
      d.unsupported("'.sat'");
    return nullptr;
  }
  return same(
      d, 2, []<class T>(T) { return binary<T>([](T a, T b) { return wrap<T>(Wide<T>(a) + b); }); });
}

static Run decodeSub(Decoder &d) {
  if (d.take("sat")) {
    if (d.firstType() == Type::S32)
      return same(d, 2, []<class T>(T) {
        return binary<int32_t>([](int32_t a, int32_t b) {
          return int32_t(std::clamp<int64_t>(int64_t(a) - b, INT32_MIN, INT32_MAX));
        });
      });
    if (!isFloat(d.firstType()))
      d.unsupported("'.sat'");
    return nullptr;
  }
  return same(
      d, 2, []<class T>(T) { return binary<T>([](T a, T b) { return wrap<T>(Wide<T>(a) - b); }); });
}

/// The type of .wide results.
static Type doubled(Decoder &d, Type type) {
  switch (type) {
  case Type::U16:
    return Type::U32;
  case Type::S16:
    return Type::S32;
  case Type::U32:
    return Type::U64;
  case Type::S32:
    return Type::S64;
  default:
    d.unsupported("'.wide' of .", name(type));
  }
}

/// mul and mad, whose third operand is `c`.
template <bool Add> static Run decodeProduct(Decoder &d) {
  if (isFloat(d.firstType()))
    return nullptr;
  int part = d.requireOneOf({"lo", "hi", "wide"});
  bool saturate = Add && d.take("sat");
  Type type = d.type(), result = part == 2 ? doubled(d, type) : type;
  if (saturate && (part != 1 || type != Type::S32))
    d.unsupported("'.sat'");
  d.destination(result);
  d.source(type);
  d.source(type);
  if (Add)
    d.source(result);
  else
    d.out.rows[3] = d.constantRow(0, result);
  if (saturate)
    return ternary<int32_t>([](int32_t a, int32_t b, int32_t c) {
      return int32_t(std::clamp<int64_t>((int64_t(a) * b >> 32) + c, INT32_MIN, INT32_MAX));
    });
  return integers(d, type, [&]<class T>(T) -> Run {
    if (part == 0)
      return ternary<T>([](T a, T b, T c) { return wrap<T>(product(a, b) + c); });
    if (part == 1)
      return ternary<T>(
          [](T a, T b, T c) { return wrap<T>((product(a, b) >> (8 * sizeof(T))) + c); });
    if constexpr (sizeof(T) < 8)
      return lanes<Wide<T>, T, T, Wide<T>>([](T a, T b, Wide<T> c) {
        return Wide<T>(std::make_unsigned_t<Wide<T>>(product(a, b)) +
                       std::make_unsigned_t<Wide<T>>(c));
      });
    return nullptr;
  });
}

/// The lower 24 bits of both.
template <bool Add> static Run decodeProduct24(Decoder &d) {
  if (!d.take("lo"))
    d.unsupported("the form without .lo");
  Type type = d.type();
  d.destination(type);
  d.source(type);
  d.source(type);
  if (Add)
    d.source(type);
  else
    d.out.rows[3] = d.constantRow(0, type);
  if (type == Type::S32)
    return ternary<int32_t>([](int32_t a, int32_t b, int32_t c) {
      int64_t x = int32_t(uint32_t(a) << 8) >> 8, y = int32_t(uint32_t(b) << 8) >> 8;
      return int32_t(uint32_t(x * y) + uint32_t(c));
    });
  if (type != Type::U32)
    d.unsupported("type .", name(type));
  return ternary<uint32_t>([](uint32_t a, uint32_t b, uint32_t c) {
    return uint32_t(uint64_t(a & 0xffffff) * (b & 0xffffff)) + c;
  });
}

/// Quotients by zero are all ones, as the hardware gives them; the documentation leaves them open.
static Run decodeDiv(Decoder &d) {
  return same(d, 2, []<class T>(T) {
    return binary<T>([](T a, T b) -> T {
      if (b == 0)
        return T(-1);
      if (std::is_signed_v<T> && b == T(-1))
        return wrap<T>(-Wide<T>(a));
      return T(a / b);
    });
  });
}

static Run decodeRem(Decoder &d) {
  return same(d, 2, []<class T>(T) {
    return binary<T>([](T a, T b) -> T {
      if (b == 0)
        return a;
      return std::is_signed_v<T> && b == T(-1) ? T(0) : T(a % b);
    });
  });
}

static Run decodeAbs(Decoder &d) {
  return same(d, 1, []<class T>(T) {
    return unary<T>([](T a) { return a < T(0) ? wrap<T>(-Wide<T>(a)) : a; });
  });
}

static Run decodeNeg(Decoder &d) {
  return same(d, 1, []<class T>(T) { return unary<T>([](T a) { return wrap<T>(-Wide<T>(a)); }); });
}

template <bool Max> static Run decodeMinMax(Decoder &d) {
  bool relu = !isFloat(d.firstType()) && d.take("relu");
  if (relu)
    return same(d, 2, []<class T>(T) {
      return binary<T>(
          [](T a, T b) { return std::max<T>(Max ? std::max(a, b) : std::min(a, b), 0); });
    });
  return same(d, 2, []<class T>(T) {
    return binary<T>([](T a, T b) { return Max ? std::max(a, b) : std::min(a, b); });
  });
}

static Run decodeSad(Decoder &d) {
  return same(d, 3, []<class T>(T) {
    return ternary<T>(
        [](T a, T b, T c) { return wrap<T>((a < b ? Wide<T>(b) - a : Wide<T>(a) - b) + c); });
  });
}

static constexpr uint32_t signedA = 1, signedB = 2, high = 4, accumulate = 8, saturated = 16;

static int32_t part(uint32_t word, unsigned index, unsigned bits, bool isSigned) {
  uint32_t value = word >> (index * bits) & ((1u << bits) - 1);
  return isSigned ? int32_t(value << (32 - bits)) >> (32 - bits) : int32_t(value);
}

/// dp4a: four products of bytes; dp2a: two of 16-bit words with bytes of one half.
template <unsigned Parts> static Run decodeDot(Decoder &d) {
  if (Parts == 2 && d.requireOneOf({"lo", "hi"}) == 1)
    d.out.flags |= high;
  Type a = d.type(), b = d.type();
  for (Type type : {a, b})
    if (type != Type::U32 && type != Type::S32)
      d.unsupported("type .", name(type));
  d.out.flags |= (isSigned(a) ? signedA : 0) | (isSigned(b) ? signedB : 0);
  d.destination(Type::B32);
  for (int i = 0; i < 3; ++i)
    d.source(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    const uint32_t *a = warp.row<uint32_t>(i.rows[1]), *b = warp.row<uint32_t>(i.rows[2]),
                   *c = warp.row<uint32_t>(i.rows[3]);
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    unsigned first = i.flags & high ? 2 : 0;
    forLanes(warp.mask, [&](unsigned lane) {
      uint32_t sum = c[lane];
      for (unsigned k = 0; k < Parts; ++k)
        sum += uint32_t(part(a[lane], k, 32 / Parts, i.flags & signedA) *
                        part(b[lane], first + k, 8, i.flags & signedB));
      d[lane] = sum;
    });
  };
}

/// vabsdiff4.dtype.atype.btype{.sat|.add} d, a, b, c: |a - b| byte by byte, into bytes or their
/// sum.
static Run decodeAbsoluteDifference(Decoder &d) {
  Type result = d.type(), a = d.type(), b = d.type();
  for (Type type : {result, a, b})
    if (type != Type::U32 && type != Type::S32)
      d.unsupported("type .", name(type));
  d.out.flags = (isSigned(a) ? signedA : 0) | (isSigned(b) ? signedB : 0);
  if (d.take("add"))
    d.out.flags |= accumulate;
  else if (d.take("sat"))
    d.out.flags |= saturated;
  if (isSigned(result))
    d.out.flags |= high;
  d.destination(Type::B32);
  for (int i = 0; i < 3; ++i)
    d.source(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    const uint32_t *a = warp.row<uint32_t>(i.rows[1]), *b = warp.row<uint32_t>(i.rows[2]),
                   *c = warp.row<uint32_t>(i.rows[3]);
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) {
      uint32_t sum = c[lane], bytes = 0;
      for (unsigned k = 0; k < 4; ++k) {
        int32_t value = std::abs(part(a[lane], k, 8, i.flags & signedA) -
                                 part(b[lane], k, 8, i.flags & signedB));
        if (i.flags & saturated)
          value = std::min(value, i.flags & high ? 127 : 255);
        sum += uint32_t(value);
        bytes |= uint32_t(value & 255) << (8 * k);
      }
      d[lane] = i.flags & accumulate ? sum : bytes;
    });
  };
}

void addArithmetic(InstructionSet &set) {
  for (auto [opcode, decode] : std::initializer_list<std::pair<const char *, Decode>>{
           {"abs", decodeAbs},
           {"add", decodeAdd},
           {"div", decodeDiv},
           {"dp2a", decodeDot<2>},
           {"dp4a", decodeDot<4>},
           {"mad", decodeProduct<true>},
           {"mad24", decodeProduct24<true>},
           {"max", decodeMinMax<true>},
           {"min", decodeMinMax<false>},
           {"mul", decodeProduct<false>},
           {"mul24", decodeProduct24<false>},
           {"neg", decodeNeg},
           {"rem", decodeRem},
           {"sad", decodeSad},
           {"sub", decodeSub},
           {"vabsdiff4", decodeAbsoluteDifference}})
    set.emplace(opcode, decode);
}

} // namespace attune::ptx
