// setp, set, selp, slct.
#include "attune/test/ptxemu/Lanes.h"

namespace attune::ptx {

static constexpr uint32_t flushed = 1, negated = 2, acceptShift = 8;

namespace {
/// What a may be to b.
enum Order : uint32_t { Less = 1, Equal = 2, Greater = 4, Unordered = 8 };
} // namespace

/// The orders for which a comparison holds; lo, ls, hi and hs are unsigned spellings.
static uint32_t accepted(Decoder &d) {
  static constexpr uint32_t orders[] = {Equal,
                                        Less | Greater,
                                        Less,
                                        Less | Equal,
                                        Greater,
                                        Greater | Equal,
                                        Equal | Unordered,
                                        Less | Greater | Unordered,
                                        Less | Unordered,
                                        Less | Equal | Unordered,
                                        Greater | Unordered,
                                        Greater | Equal | Unordered,
                                        Less | Equal | Greater,
                                        Unordered,
                                        Less,
                                        Less | Equal,
                                        Greater,
                                        Greater | Equal};
  return orders[d.requireOneOf({"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu",
                                "gtu", "geu", "num", "nan", "lo", "ls", "hi", "hs"})];
}

/// The mask of lanes for which the comparison holds.
static uint32_t holds(Warp &warp, const Instruction &i) {
  uint32_t bits = 0;
  const uint32_t accept = i.flags >> acceptShift;
  auto compare = [&]<class S>(auto read, S) {
    const S *a = warp.row<S>(i.rows[2]), *b = warp.row<S>(i.rows[3]);
    forLanes(warp.mask, [&](unsigned lane) {
      auto x = read(a[lane]), y = read(b[lane]);
      uint32_t order = x < y ? Less : x == y ? Equal : x > y ? Greater : Unordered;
      bits |= uint32_t((accept & order) != 0) << lane;
    });
  };
  auto asFloat = [](uint32_t x) { return std::bit_cast<float>(x); };
  switch (Type(i.bytes)) {
  case Type::F32:
    if (i.flags & flushed)
      compare([](uint32_t x) { return flush(std::bit_cast<float>(x)); }, uint32_t{});
    else
      compare(asFloat, uint32_t{});
    break;
  case Type::F64:
    compare([](uint64_t x) { return std::bit_cast<double>(x); }, uint64_t{});
    break;
  case Type::F16:
    compare([](uint32_t x) { return halfToFloat(uint16_t(x)); }, uint32_t{});
    break;
  case Type::BF16:
    compare([](uint32_t x) { return brainToFloat(uint16_t(x)); }, uint32_t{});
    break;
  case Type::S16:
    compare([](uint32_t x) { return int16_t(x); }, uint32_t{});
    break;
  case Type::S32:
    compare([](uint32_t x) { return int32_t(x); }, uint32_t{});
    break;
  case Type::S64:
    compare([](uint64_t x) { return int64_t(x); }, uint64_t{});
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

static void setPredicates(Warp &warp, const Instruction &i) {
  uint32_t value = holds(warp, i);
  uint32_t first = combine(warp, i, value), second = combine(warp, i, ~value);
  assign(warp.predicate(i.rows[0]), warp.mask, first);
  assign(warp.predicate(i.rows[1]), warp.mask, second);
}

static Run decodeSetp(Decoder &d) {
  d.out.flags = accepted(d) << acceptShift;
  d.out.count = uint16_t(d.oneOf({"and", "or", "xor"}) + 1);
  Type type = d.type();
  sources(d, type);
  d.pairDestination(Type::Pred, Type::Pred);
  d.source(type);
  d.source(type);
  if (d.out.count)
    d.predicate(negated);
  return setPredicates;
}

static void setRegisters(Warp &warp, const Instruction &i) {
  uint32_t value = combine(warp, i, holds(warp, i));
  uint32_t *d = warp.row<uint32_t>(i.rows[0]), yes = *warp.row<uint32_t>(i.rows[1]);
  forLanes(warp.mask, [&](unsigned lane) { d[lane] = value >> lane & 1 ? yes : 0; });
}

/// As setp, into all ones or 1.0.
static Run decodeSet(Decoder &d) {
  d.out.flags = accepted(d) << acceptShift;
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
  return setRegisters;
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
