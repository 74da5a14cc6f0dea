// Lanes of a warp with each other: shfl, vote, match, redux, elect, activemask.
#include "attune/test/ptxemu/Lanes.h"
#include <algorithm>

namespace attune::ptx {

/// The member masks of the executing lanes: all members that have not exited must be here, and be
/// members.
static uint32_t members(Warp &warp, uint32_t row) {
  const uint32_t *masks = warp.row<uint32_t>(row);
  uint32_t mask = masks[std::countr_zero(warp.mask)];
  forLanes(warp.mask, [&](unsigned lane) {
    if (masks[lane] != mask || !(mask >> lane & 1))
      warp.fault(Fault::Misuse, "lane ", lane, " is not in its own member mask, or masks differ");
  });
  if (mask & warp.alive & ~warp.mask)
    warp.fault(Fault::Misuse, "lanes of the member mask do not take part: they are elsewhere");
  return mask;
}

namespace {
enum Shuffle { Up, Down, Butterfly, Index };
}

/// Rows: d, p, a, b, c, members.
static void shuffle(Warp &warp, const Instruction &i) {
  members(warp, i.rows[5]);
  const uint32_t *a = warp.row<uint32_t>(i.rows[2]), *b = warp.row<uint32_t>(i.rows[3]),
                 *c = warp.row<uint32_t>(i.rows[4]);
  std::array<uint32_t, 32> values;
  uint32_t inRange = 0;
  forLanes(warp.mask, [&](unsigned lane) {
    int by = int(b[lane] & 31), clamp = int(c[lane] & 31), segments = int(c[lane] >> 8 & 31);
    int least = int(lane) & segments, most = least | (clamp & ~segments), from;
    bool valid;
    switch (i.count) {
    case Up:
      from = int(lane) - by;
      valid = from >= most;
      break;
    case Down:
      from = int(lane) + by;
      valid = from <= most;
      break;
    case Butterfly:
      from = int(lane) ^ by;
      valid = from <= most;
      break;
    default:
      from = least | (by & ~segments);
      valid = from <= most;
    }
    from = valid ? from : int(lane);
    if (!(warp.mask >> from & 1))
      warp.fault(Fault::Misuse, "lane ", lane, " reads lane ", from, ", which does not take part");
    values[lane] = a[from];
    inRange |= uint32_t(valid) << lane;
  });
  uint32_t *d = warp.row<uint32_t>(i.rows[0]);
  forLanes(warp.mask, [&](unsigned lane) { d[lane] = values[lane]; });
  uint32_t &p = warp.predicate(i.rows[1]);
  p = (p & ~warp.mask) | inRange;
}

static Run decodeShuffle(Decoder &d) {
  if (!d.take("sync"))
    d.unsupported("the form without .sync");
  d.out.count = uint16_t(d.requireOneOf({"up", "down", "bfly", "idx"}));
  if (d.type() != Type::B32)
    d.unsupported("the type");
  d.pairDestination(Type::B32, Type::Pred);
  for (int k = 0; k < 4; ++k)
    d.source(Type::B32);
  return shuffle;
}

static constexpr uint32_t negated = 1;

/// Rows: d, p, members.
static Run decodeVote(Decoder &d) {
  if (!d.take("sync"))
    d.unsupported("the form without .sync");
  d.out.count = uint16_t(d.requireOneOf({"all", "any", "uni", "ballot"}));
  Type type = d.type();
  if (type != (d.out.count == 3 ? Type::B32 : Type::Pred))
    d.unsupported("the type");
  d.destination(type);
  d.predicate(negated);
  d.source(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    members(warp, i.rows[2]);
    uint32_t votes = (warp.predicate(i.rows[1]) ^ (i.flags & negated ? ~0u : 0)) & warp.mask;
    if (i.count == 3) {
      uint32_t *d = warp.row<uint32_t>(i.rows[0]);
      forLanes(warp.mask, [&](unsigned lane) { d[lane] = votes; });
      return;
    }
    bool all = votes == warp.mask, any = votes;
    uint32_t value = (i.count == 0 ? all : i.count == 1 ? any : all || !any) ? ~0u : 0;
    uint32_t &d = warp.predicate(i.rows[0]);
    d = (d & ~warp.mask) | (value & warp.mask);
  };
}

/// Rows: d, p, a, members. With .all, d is the mask if all values are equal, else 0.
static Run decodeMatch(Decoder &d) {
  bool all = d.requireOneOf({"any", "all"}) == 1;
  if (!d.take("sync"))
    d.unsupported("the form without .sync");
  Type type = d.type();
  d.out.count = all;
  d.out.flags = bitsOf(type) == 64;
  d.pairDestination(Type::B32, Type::Pred);
  d.source(type);
  d.source(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    members(warp, i.rows[3]);
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    std::array<uint32_t, 32> same{};
    forLanes(warp.mask, [&](unsigned lane) {
      forLanes(warp.mask, [&](unsigned other) {
        bool equal = warp.word(i.rows[2], i.flags, lane) == warp.word(i.rows[2], i.flags, other);
        same[lane] |= uint32_t(equal) << other;
      });
    });
    bool all = same[std::countr_zero(warp.mask)] == warp.mask;
    forLanes(warp.mask, [&](unsigned lane) { d[lane] = i.count && !all ? 0 : same[lane]; });
    uint32_t &p = warp.predicate(i.rows[1]);
    p = all ? p | warp.mask : p & ~warp.mask;
  };
}

template <class T, class F> static Run reduction(F) {
  return [](Warp &warp, const Instruction &i) {
    members(warp, i.rows[2]);
    const uint32_t *a = warp.row<uint32_t>(i.rows[1]);
    T value = T(a[std::countr_zero(warp.mask)]);
    forLanes(warp.mask & (warp.mask - 1),
             [&](unsigned lane) { value = T(F{}(value, T(a[lane]))); });
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) { d[lane] = uint32_t(value); });
  };
}

static Run decodeReduction(Decoder &d) {
  if (!d.take("sync"))
    d.unsupported("the form without .sync");
  int operation = d.requireOneOf({"add", "min", "max", "and", "or", "xor"});
  Type type = d.type();
  if (isFloat(type) || bitsOf(type) != 32)
    d.unsupported("type .", name(type));
  d.destination(type);
  d.source(type);
  d.source(Type::B32);
  auto ofType = [&]<class T>(T) -> Run {
    switch (operation) {
    case 0:
      return reduction<uint32_t>([](uint32_t a, uint32_t b) { return a + b; });
    case 1:
      return reduction<T>([](T a, T b) { return std::min(a, b); });
    case 2:
      return reduction<T>([](T a, T b) { return std::max(a, b); });
    case 3:
      return reduction<T>([](T a, T b) { return a & b; });
    case 4:
      return reduction<T>([](T a, T b) { return a | b; });
    default:
      return reduction<T>([](T a, T b) { return a ^ b; });
    }
  };
  return isSigned(type) ? ofType(int32_t{}) : ofType(uint32_t{});
}

static Run decodeElect(Decoder &d) {
  if (!d.take("sync"))
    d.unsupported("the form without .sync");
  d.pairDestination(Type::B32, Type::Pred);
  d.source(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    members(warp, i.rows[2]);
    auto leader = uint32_t(std::countr_zero(warp.mask));
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) { d[lane] = leader; });
    uint32_t &p = warp.predicate(i.rows[1]);
    p = (p & ~warp.mask) | 1u << leader;
  };
}

static Run decodeActivemask(Decoder &d) {
  d.type();
  d.destination(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) { d[lane] = warp.mask; });
  };
}

void addWarps(InstructionSet &set) {
  set.emplace("activemask", decodeActivemask);
  set.emplace("elect", decodeElect);
  set.emplace("match", decodeMatch);
  set.emplace("redux", decodeReduction);
  set.emplace("shfl", decodeShuffle);
  set.emplace("vote", decodeVote);
}

} // namespace attune::ptx
