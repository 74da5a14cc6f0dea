// setp, set, selp, slct.
#include "attune/test/ptxemu/Lanes.h"
#include <cmath>

namespace attune::ptx {

static constexpr uint32_t flushed = 1, negated = 2;

namespace {
enum Comparison { Eq, Ne, Lt, Le, Gt, Ge, Equ, Neu, Ltu, Leu, Gtu, Geu, Num, Nan };
} // namespace

/// lo, ls, hi and hs are the unsigned spellings.
static int comparison(Decoder &d) {
  int found = d.requireOneOf({"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu",
                              "geu", "num", "nan", "lo", "ls", "hi", "hs"});
  return found < 14 ? found : found - 12;
}

/// Calls f with the comparison of two values as a lambda.
template <class F> static Run withComparison(int comparison, F f) {
  switch (comparison) {
  case Eq:
    return f([](auto a, auto b) { return a == b; });
  case Ne:
    return f([](auto a, auto b) { return a < b || a > b; });
  case Lt:
    return f([](auto a, auto b) { return a < b; });
  case Le:
    return f([](auto a, auto b) { return a <= b; });
  case Gt:
    return f([](auto a, auto b) { return a > b; });
  case Ge:
    return f([](auto a, auto b) { return a >= b; });
  case Equ:
    return f([](auto a, auto b) { return !(a < b || a > b); });
  case Neu:
    return f([](auto a, auto b) { return !(a == b); });
  case Ltu:
    return f([](auto a, auto b) { return !(a >= b); });
  case Leu:
    return f([](auto a, auto b) { return !(a > b); });
  case Gtu:
    return f([](auto a, auto b) { return !(a <= b); });
  case Geu:
    return f([](auto a, auto b) { return !(a < b); });
  case Num:
    return f([](auto a, auto b) { return a == a && b == b; });
  default:
    return f([](auto a, auto b) { return a != a || b != b; });
  }
}

/// The mask of lanes for which the comparison holds.
template <class F> static uint32_t holds(Warp &warp, const Instruction &i, F) {
  uint32_t bits = 0;
  const uint32_t rowA = i.rows[2], rowB = i.rows[3];
  auto compare = [&]<class T>(auto read, T) {
    const Slot<T> *a = warp.row<T>(rowA), *b = warp.row<T>(rowB);
    forLanes(warp.mask,
             [&](unsigned lane) { bits |= uint32_t(F{}(read(a[lane]), read(b[lane]))) << lane; });
  };
  bool ftz = i.flags & flushed;
  switch (Type(i.bytes)) {
  case Type::F32:
    compare(
        [ftz](uint32_t x) {
          return ftz ? flush(std::bit_cast<float>(x)) : std::bit_cast<float>(x);
        },
        float{});
    break;
  case Type::F64:
    compare([](uint64_t x) { return std::bit_cast<double>(x); }, double{});
    break;
  case Type::F16:
    compare([](uint32_t x) { return halfToFloat(uint16_t(x)); }, uint16_t{});
    break;
  case Type::BF16:
    compare([](uint32_t x) { return brainToFloat(uint16_t(x)); }, uint16_t{});
    break;
  case Type::S16:
    compare([](uint32_t x) { return int16_t(x); }, int16_t{});
    break;
  case Type::S32:
    compare([](uint32_t x) { return int32_t(x); }, int32_t{});
    break;
  case Type::S64:
    compare([](uint64_t x) { return int64_t(x); }, int64_t{});
    break;
  case Type::B64:
  case Type::U64:
    compare([](uint64_t x) { return x; }, uint64_t{});
    break;
  default:
    compare([](uint32_t x) { return x; }, uint32_t{});
  }
  return bits;
}

/// With .and, .or, .xor: the third source, a predicate.
static uint32_t combine(Warp &warp, const Instruction &i, uint32_t value) {
  uint32_t with = i.count ? warp.predicate(i.rows[4]) : 0;
  if (i.flags & negated)
    with = ~with;
  switch (i.count) {
  case 1:
    return value & with;
  case 2:
    return value | with;
  case 3:
    return value ^ with;
  default:
    return value;
  }
}

static void assign(uint32_t &predicate, uint32_t mask, uint32_t value) {
  predicate = (predicate & ~mask) | (value & mask);
}

static void sources(Decoder &d, Type type) {
  if (isPacked(type) || bitsOf(type) < 16)
    d.unsupported("type .", name(type));
  d.out.bytes = uint8_t(type);
  if (d.take("ftz"))
    d.out.flags |= flushed;
}

static Run decodeSetp(Decoder &d) {
  int compare = comparison(d);
  d.out.count = uint16_t(d.oneOf({"and", "or", "xor"}) + 1);
  Type type = d.type();
  sources(d, type);
  d.pairDestination(Type::Pred, Type::Pred);
  d.source(type);
  d.source(type);
  if (d.out.count)
    d.predicate(negated);
  return withComparison(compare, []<class F>(F) -> Run {
    return [](Warp &warp, const Instruction &i) {
      uint32_t value = holds(warp, i, F{});
      uint32_t first = combine(warp, i, value), second = combine(warp, i, ~value);
      assign(warp.predicate(i.rows[0]), warp.mask, first);
      assign(warp.predicate(i.rows[1]), warp.mask, second);
    };
  });
}

/// As setp, into all ones or 1.0.
static Run decodeSet(Decoder &d) {
  int compare = comparison(d);
  d.out.count = uint16_t(d.oneOf({"and", "or", "xor"}) + 1);
  Type result = d.type(), type = d.type();
  if (result != Type::U32 && result != Type::S32 && result != Type::F32)
    d.unsupported("type .", name(result));
  sources(d, type);
  d.destination(result);
  d.out.rows[1] = d.constantRow(result == Type::F32 ? 0x3f800000 : ~0u, result);
  d.skipRow();
  d.source(type);
  d.source(type);
  if (d.out.count)
    d.predicate(negated);
  return withComparison(compare, []<class F>(F) -> Run {
    return [](Warp &warp, const Instruction &i) {
      uint32_t value = combine(warp, i, holds(warp, i, F{}));
      uint32_t *d = warp.row<uint32_t>(i.rows[0]), yes = *warp.row<uint32_t>(i.rows[1]);
      forLanes(warp.mask, [&](unsigned lane) { d[lane] = value >> lane & 1 ? yes : 0; });
    };
  });
}

static Run decodeSelp(Decoder &d) {
  Type type = d.type();
  d.destination(type);
  d.source(type);
  d.source(type);
  d.predicate(negated);
  auto select = []<class T>(T) -> Run {
    return [](Warp &warp, const Instruction &i) {
      Slot<T> *d = warp.row<T>(i.rows[0]);
      const Slot<T> *a = warp.row<T>(i.rows[1]), *b = warp.row<T>(i.rows[2]);
      uint32_t p = warp.predicate(i.rows[3]) ^ (i.flags & negated ? ~0u : 0);
      forLanes(warp.mask, [&](unsigned lane) { d[lane] = p >> lane & 1 ? a[lane] : b[lane]; });
    };
  };
  return bitsOf(type) == 64 ? select(uint64_t{}) : select(uint32_t{});
}

/// slct.dtype.ctype d, a, b, c: a if c >= 0, else b.
static Run decodeSlct(Decoder &d) {
  bool ftz = d.take("ftz");
  Type type = d.type(), by = d.type();
  if ((by != Type::S32 && by != Type::F32) || ftz)
    d.unsupported("the form");
  d.destination(type);
  d.source(type);
  d.source(type);
  d.source(by);
  auto select = [&]<class T>(T) -> Run {
    if (by == Type::S32)
      return lanes<T, T, T, int32_t>([](T a, T b, int32_t c) { return c >= 0 ? a : b; });
    return lanes<T, T, T, float>([](T a, T b, float c) { return c >= 0 ? a : b; });
  };
  return bitsOf(type) == 64 ? select(uint64_t{}) : select(uint32_t{});
}

void addComparisons(InstructionSet &set) {
  set.emplace("setp", decodeSetp);
  set.emplace("set", decodeSet);
  set.emplace("selp", decodeSelp);
  set.emplace("slct", decodeSlct);
}

} // namespace attune::ptx
