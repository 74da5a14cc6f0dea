// Bits: and, or, xor, not, cnot, shl, shr, shf, bfe, bfi, brev, clz, popc, bfind, prmt, lop3.
#include "attune/test/ptxemu/Lanes.h"
#include <algorithm>

namespace attune::ptx {

template <class F> static Run logic(Decoder &d, unsigned sources, F f) {
  Type type = d.type();
  d.destination(type);
  for (unsigned i = 0; i < sources; ++i)
    d.source(type);
  if (type == Type::Pred)
    return predicates(f);
  return bitTypes(d, type, []<class T>(T) -> Run {
    if constexpr (std::is_invocable_v<F, T, T>)
      return binary<T>(F{});
    else
      return unary<T>(F{});
  });
}

static Run decodeAnd(Decoder &d) {
  return logic(d, 2, []<class T>(T a, T b) { return T(a & b); });
}
static Run decodeOr(Decoder &d) {
  return logic(d, 2, []<class T>(T a, T b) { return T(a | b); });
}
static Run decodeXor(Decoder &d) {
  return logic(d, 2, []<class T>(T a, T b) { return T(a ^ b); });
}
static Run decodeNot(Decoder &d) {
  return logic(d, 1, []<class T>(T a) { return T(~a); });
}

static Run decodeCnot(Decoder &d) {
  Type type = d.type();
  d.destination(type);
  d.source(type);
  return bitTypes(d, type, []<class T>(T) { return unary<T>([](T a) { return T(a == 0); }); });
}

static Run decodeShl(Decoder &d) {
  Type type = d.type();
  d.destination(type);
  d.source(type);
  d.source(Type::U32);
  return bitTypes(d, type, []<class T>(T) {
    return lanes<T, T, uint32_t>(
        [](T a, uint32_t n) { return n >= 8 * sizeof(T) ? T(0) : T(a << n); });
  });
}

/// Amounts above the width shift out everything: zeros, or the sign.
static Run decodeShr(Decoder &d) {
  Type type = d.type();
  d.destination(type);
  d.source(type);
  d.source(Type::U32);
  auto shift = []<class T>(T) {
    return lanes<T, T, uint32_t>([](T a, uint32_t n) {
      constexpr uint32_t width = 8 * sizeof(T);
      if (n >= width && !std::is_signed_v<T>)
        return T(0);
      return T(a >> std::min(n, width - 1));
    });
  };
  return isSigned(type) ? integers(d, type, shift) : bitTypes(d, type, shift);
}

static constexpr uint32_t leftward = 1, clamped = 2;

static Run decodeShf(Decoder &d) {
  d.out.flags = d.requireOneOf({"l", "r"}) == 0 ? leftward : 0;
  d.out.flags |= d.requireOneOf({"clamp", "wrap"}) == 0 ? clamped : 0;
  if (d.type() != Type::B32)
    d.unsupported("the type");
  d.destination(Type::B32);
  for (int i = 0; i < 3; ++i)
    d.source(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    const uint32_t *low = warp.row<uint32_t>(i.rows[1]), *high = warp.row<uint32_t>(i.rows[2]),
                   *amount = warp.row<uint32_t>(i.rows[3]);
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) {
      uint32_t n = i.flags & clamped ? std::min(amount[lane], 32u) : amount[lane] & 31;
      uint64_t both = uint64_t(high[lane]) << 32 | low[lane];
      d[lane] = uint32_t(i.flags & leftward ? (both << n) >> 32 : both >> n);
    });
  };
}

template <class T> static T extract(T a, uint32_t b, uint32_t c) {
  constexpr uint32_t width = 8 * sizeof(T);
  using U = std::make_unsigned_t<T>;
  uint32_t position = b & 255, length = c & 255;
  // The sign is the last bit of the field, or of the word where the field ends beyond it.
  uint32_t last = std::min(position + length - 1, width - 1);
  bool sign = std::is_signed_v<T> && length && (U(a) >> last & 1);
  if (length == 0)
    return 0;
  U field = position >= width ? 0 : U(U(a) >> position);
  uint32_t valid = position >= width ? 0 : std::min(length, width - position);
  U mask = valid >= width ? U(~U(0)) : U((U(1) << valid) - 1);
  return T((field & mask) | (sign ? U(~mask) : U(0)));
}

static Run decodeBfe(Decoder &d) {
  Type type = d.type();
  d.destination(type);
  d.source(type);
  d.source(Type::U32);
  d.source(Type::U32);
  return integers(d, type, [&]<class T>(T) -> Run {
    if (sizeof(T) < 4)
      d.unsupported("type .", name(type));
    return lanes<T, T, uint32_t, uint32_t>(
        [](T a, uint32_t b, uint32_t c) { return extract(a, b, c); });
  });
}

template <class T> static T insert(T a, T b, uint32_t c, uint32_t d) {
  constexpr uint32_t width = 8 * sizeof(T);
  uint32_t position = c & 255, length = d & 255;
  if (position >= width || length == 0)
    return b;
  T mask = length >= width ? T(~T(0)) : T((T(1) << length) - 1);
  return T((b & ~T(mask << position)) | T((a & mask) << position));
}

static Run decodeBfi(Decoder &d) {
  Type type = d.type();
  d.destination(type);
  d.source(type);
  d.source(type);
  d.source(Type::U32);
  d.source(Type::U32);
  return bitTypes(d, type, [&]<class T>(T) -> Run {
    if (sizeof(T) < 4)
      d.unsupported("type .", name(type));
    return lanes<T, T, T, uint32_t, uint32_t>(
        [](T a, T b, uint32_t c, uint32_t e) { return insert(a, b, c, e); });
  });
}

template <class F> static Run counting(Decoder &d, F) {
  Type type = d.type();
  d.destination(Type::U32);
  d.source(type);
  return bitTypes(d, type, [&]<class T>(T) -> Run {
    if (sizeof(T) < 4)
      d.unsupported("type .", name(type));
    return lanes<uint32_t, T>(F{});
  });
}

static Run decodeClz(Decoder &d) {
  return counting(d, []<class T>(T a) { return uint32_t(std::countl_zero(a)); });
}
static Run decodePopc(Decoder &d) {
  return counting(d, []<class T>(T a) { return uint32_t(std::popcount(a)); });
}

/// The highest bit that differs from the sign, or ~0.
static Run decodeBfind(Decoder &d) {
  bool amount = d.take("shiftamt");
  Type type = d.type();
  d.destination(Type::U32);
  d.source(type);
  return integers(d, type, [&]<class T>(T) -> Run {
    constexpr uint32_t top = 8 * sizeof(T) - 1;
    auto find = [](T a) {
      std::make_unsigned_t<T> bits = a < T(0) ? ~a : a;
      return bits ? top - uint32_t(std::countl_zero(bits)) : ~0u;
    };
    if (amount)
      return lanes<uint32_t, T>([](T a) {
        uint32_t found = decltype(find){}(a);
        return found == ~0u ? found : top - found;
      });
    return lanes<uint32_t, T>(find);
  });
}

static Run decodeBrev(Decoder &d) {
  Type type = d.type();
  d.destination(type);
  d.source(type);
  return bitTypes(d, type, []<class T>(T) {
    return unary<T>([](T a) {
      T reversed = 0;
      for (unsigned i = 0; i < 8 * sizeof(T); ++i)
        reversed |= T(T(a >> i & 1) << (8 * sizeof(T) - 1 - i));
      return reversed;
    });
  });
}

static uint8_t byteOf(uint64_t both, unsigned selector) {
  auto byte = uint8_t(both >> (8 * (selector & 7)));
  return selector & 8 ? uint8_t(int8_t(byte) >> 7) : byte;
}

/// Selectors of the special modes, by mode and the lower two bits of c.
static constexpr uint16_t permutations[6][4] = {
    {0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123},
    {0x0000, 0x1111, 0x2222, 0x3333}, {0x3210, 0x3211, 0x3222, 0x3333},
    {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};

static Run decodePrmt(Decoder &d) {
  if (d.type() != Type::B32)
    d.unsupported("the type");
  d.out.count = uint16_t(d.oneOf({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"}) + 1);
  d.destination(Type::B32);
  for (int i = 0; i < 3; ++i)
    d.source(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    const uint32_t *a = warp.row<uint32_t>(i.rows[1]), *b = warp.row<uint32_t>(i.rows[2]),
                   *c = warp.row<uint32_t>(i.rows[3]);
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) {
      uint64_t both = uint64_t(b[lane]) << 32 | a[lane];
      uint32_t selectors = i.count ? permutations[i.count - 1][c[lane] & 3] : c[lane], result = 0;
      for (unsigned k = 0; k < 4; ++k)
        result |= uint32_t(byteOf(both, selectors >> (4 * k) & 15)) << (8 * k);
      d[lane] = result;
    });
  };
}

static Run decodeLop3(Decoder &d) {
  if (d.type() != Type::B32)
    d.unsupported("the type");
  d.destination(Type::B32);
  for (int i = 0; i < 3; ++i)
    d.source(Type::B32);
  d.out.flags = uint32_t(d.immediate());
  return [](Warp &warp, const Instruction &i) {
    const uint32_t *a = warp.row<uint32_t>(i.rows[1]), *b = warp.row<uint32_t>(i.rows[2]),
                   *c = warp.row<uint32_t>(i.rows[3]);
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) {
      uint32_t result = 0;
      for (unsigned k = 0; k < 8; ++k)
        if (i.flags >> k & 1)
          result |= (k & 4 ? a[lane] : ~a[lane]) & (k & 2 ? b[lane] : ~b[lane]) &
                    (k & 1 ? c[lane] : ~c[lane]);
      d[lane] = result;
    });
  };
}

void addBits(InstructionSet &set) {
  for (auto [opcode, decode] :
       std::initializer_list<std::pair<const char *, Decode>>{{"and", decodeAnd},
                                                              {"bfe", decodeBfe},
                                                              {"bfi", decodeBfi},
                                                              {"bfind", decodeBfind},
                                                              {"brev", decodeBrev},
                                                              {"clz", decodeClz},
                                                              {"cnot", decodeCnot},
                                                              {"lop3", decodeLop3},
                                                              {"not", decodeNot},
                                                              {"or", decodeOr},
                                                              {"popc", decodePopc},
                                                              {"prmt", decodePrmt},
                                                              {"shf", decodeShf},
                                                              {"shl", decodeShl},
                                                              {"shr", decodeShr},
                                                              {"xor", decodeXor}})
    set.emplace(opcode, decode);
}

} // namespace attune::ptx
