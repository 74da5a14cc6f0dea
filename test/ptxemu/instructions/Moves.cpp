// mov, cvta, isspacep, mapa, getctarank, and the counters %clock, %clock64, %globaltimer.
#include "attune/test/ptxemu/Lanes.h"
#include <chrono>

namespace attune::ptx {

template <class T> static void move(Warp &warp, const Instruction &i) {
  const Slot<T> *a = warp.row<T>(i.rows[1]);
  Slot<T> *d = warp.row<T>(i.rows[0]);
  forLanes(warp.mask, [&](unsigned lane) { d[lane] = a[lane]; });
}

/// d = {a, b, …}, a in the lowest bits.
static void pack(Warp &warp, const Instruction &i) {
  const uint32_t *rows = &warp.program.lists[i.list];
  unsigned width = i.bytes * 8u;
  forLanes(warp.mask, [&](unsigned lane) {
    uint64_t value = 0;
    for (unsigned part = 0; part < i.count; ++part)
      value |= uint64_t(warp.row<uint32_t>(rows[part])[lane]) << (part * width);
    if (i.flags)
      warp.row<uint64_t>(i.rows[0])[lane] = value;
    else
      warp.row<uint32_t>(i.rows[0])[lane] = uint32_t(value);
  });
}

static void unpack(Warp &warp, const Instruction &i) {
  const uint32_t *rows = &warp.program.lists[i.list];
  unsigned width = i.bytes * 8u;
  uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
  forLanes(warp.mask, [&](unsigned lane) {
    uint64_t value = warp.word(i.rows[0], i.flags, lane);
    for (unsigned part = 0; part < i.count; ++part)
      warp.row<uint32_t>(rows[part])[lane] = uint32_t(value >> (part * width)) & mask;
  });
}

static Run decodeParts(Decoder &d, Type type, bool packs) {
  const auto &operands = d.statement->operands;
  size_t parts = operands[packs ? 1 : 0].parts.size();
  if (!parts || bitsOf(type) % parts)
    d.unsupported("the vector");
  unsigned width = unsigned(bitsOf(type) / parts);
  Type part = width == 32 ? Type::B32 : width == 16 ? Type::B16 : Type::B8;
  if (width > 32 || width < 8)
    d.unsupported("the vector");
  d.out.flags = bitsOf(type) == 64;
  d.out.bytes = uint8_t(width / 8);
  d.out.count = uint16_t(parts);
  d.out.list = uint32_t(d.program.lists.size());
  if (packs)
    d.destination(type);
  d.vector(part, !packs);
  if (!packs)
    d.source(type);
  return packs ? pack : unpack;
}

/// Instructions so far, or nanoseconds.
static void readCounter(Warp &warp, const Instruction &i) {
  uint64_t value = warp.home.cluster.events;
  if (i.count)
    value = uint64_t(std::chrono::steady_clock::now().time_since_epoch().count());
  else
    for (const Count &count : warp.home.cluster.counts)
      value += count.executed;
  forLanes(warp.mask, [&](unsigned lane) {
    if (i.flags)
      warp.row<uint64_t>(i.rows[0])[lane] = value;
    else
      warp.row<uint32_t>(i.rows[0])[lane] = uint32_t(value);
  });
}

static Run decodeMov(Decoder &d) {
  Type type = d.type();
  const auto &operands = d.statement->operands;
  if (operands.size() == 2) {
    if (operands[0].kind == Operand::Vector || operands[1].kind == Operand::Vector)
      return decodeParts(d, type, operands[1].kind == Operand::Vector);
    const std::string &name = operands[1].name;
    if (name == "%clock" || name == "%clock64" || name == "%globaltimer") {
      d.destination(type);
      d.pass();
      d.out.flags = bitsOf(type) == 64;
      d.out.count = name == "%globaltimer";
      return readCounter;
    }
  }
  d.destination(type);
  d.source(type);
  if (type == Type::Pred)
    return predicates([](uint32_t a) { return a; });
  return bitsOf(type) == 64 ? move<uint64_t> : move<uint32_t>;
}

static uint64_t windowOf(Decoder &d) {
  // .shared::cta and .shared::cluster are one window.
  switch (d.requireOneOf(
      {"global", "const", "shared", "shared::cta", "shared::cluster", "local", "param"})) {
  case 0:
  case 1:
    return 0;
  case 5:
    return localWindow;
  case 6:
    return parameterWindow;
  default:
    return sharedWindow;
  }
}

/// Addresses of the local and parameter spaces carry their window always, shared ones in the
/// generic space only.
static Run decodeCvta(Decoder &d) {
  bool to = d.take("to");
  uint64_t window = windowOf(d);
  Type type = d.type();
  if (bitsOf(type) != 64)
    d.unsupported("type .", name(type));
  d.destination(type);
  d.source(type);
  if (window != sharedWindow)
    return unary<uint64_t>([](uint64_t a) { return a; });
  if (!to)
    return unary<uint64_t>([](uint64_t a) { return a | sharedWindow; });
  return [](Warp &warp, const Instruction &i) {
    const uint64_t *a = warp.row<uint64_t>(i.rows[1]);
    uint64_t *d = warp.row<uint64_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) {
      if ((a[lane] & windowMask) != sharedWindow)
        warp.fault(Fault::BadAccess, "the address is not one of shared memory");
      d[lane] = a[lane] & ~windowMask;
    });
  };
}

static Run decodeIsspacep(Decoder &d) {
  uint64_t window = windowOf(d);
  d.destination(Type::Pred);
  d.source(Type::B64);
  d.out.rows[2] = d.constantRow(window, Type::B64);
  return compares<uint64_t>([](uint64_t a, uint64_t window) { return (a & windowMask) == window; });
}

/// The address of the same place in another block of the cluster.
static Run decodeMapa(Decoder &d) {
  bool shared = d.take("shared::cluster");
  Type type = d.type();
  d.destination(type);
  d.source(type);
  d.source(Type::U32);
  auto map = []<class T>(T) {
    return lanes<T, T, uint32_t>(
        [](T a, uint32_t rank) { return T((a & ~T(0xff000000)) | T(rank + 1) << 24); });
  };
  if (bitsOf(type) == 32 && !shared)
    d.unsupported("the type");
  return bitsOf(type) == 64 ? map(uint64_t{}) : map(uint32_t{});
}

static Run decodeGetctarank(Decoder &d) {
  d.take("shared::cluster");
  Type type = d.type();
  d.destination(Type::U32);
  d.source(type);
  d.out.flags = bitsOf(type) == 64;
  return [](Warp &warp, const Instruction &i) {
    uint32_t *d = warp.row<uint32_t>(i.rows[0]);
    forLanes(warp.mask, [&](unsigned lane) {
      auto rank = uint32_t(warp.word(i.rows[1], i.flags, lane)) >> 24;
      d[lane] = rank ? rank - 1 : warp.home.rank;
    });
  };
}

void addMoves(InstructionSet &set) {
  set.emplace("mov", decodeMov);
  set.emplace("cvta", decodeCvta);
  set.emplace("isspacep", decodeIsspacep);
  set.emplace("mapa", decodeMapa);
  set.emplace("getctarank", decodeGetctarank);
}

} // namespace attune::ptx
