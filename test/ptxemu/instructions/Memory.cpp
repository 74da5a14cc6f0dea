// ld and st of every space, and the hints that change nothing: prefetch, discard, createpolicy.
#include "attune/test/ptxemu/Lanes.h"
#include <algorithm>
#include <cstring>

namespace attune::ptx {

static constexpr uint32_t signExtended = 1, wideRegisters = 2, narrowRegisters = 4, strong = 8;

namespace {
/// Where the lanes of one access went, for the counts.
class Traffic {
public:
  void add(const Place &place, uint64_t address) {
    if (place.space == Space::Shared)
      shared[sharedCount++] = place.offset;
    else if (place.space == Space::Global)
      global[globalCount++] = address;
  }
  void count(Warp &warp, unsigned bytes) {
    if (sharedCount)
      warp.countShared(shared.data(), sharedCount, bytes);
    if (globalCount)
      warp.countGlobal(global.data(), globalCount, bytes);
  }

private:
  std::array<uint32_t, 32> shared;
  std::array<uint64_t, 32> global;
  unsigned sharedCount = 0, globalCount = 0;
};
} // namespace

static void load(Warp &warp, const Instruction &i) {
  const uint32_t *rows = &warp.program.lists[i.list];
  const unsigned bytes = i.bytes * i.count, width = i.bytes * 8;
  Traffic traffic;
  forLanes(warp.mask, [&](unsigned lane) {
    uint64_t address = warp.address(i.addresses[0], lane);
    Place place = warp.place(i.space, address, bytes, bytes, lane);
    traffic.add(place, address);
    if (place.space == Space::Shared && i.flags & strong)
      warp.noteStrong(place, true, false);
    else if (place.space == Space::Shared)
      warp.noteRead(place, bytes);
    for (unsigned element = 0; element < i.count; ++element) {
      uint64_t value = 0;
      std::memcpy(&value, place.data + element * i.bytes, i.bytes);
      if (i.flags & signExtended)
        value = uint64_t(int64_t(value << (64 - width)) >> (64 - width));
      if (i.flags & wideRegisters)
        warp.row<uint64_t>(rows[element])[lane] = value;
      else
        warp.row<uint32_t>(rows[element])[lane] =
            uint32_t(value) & (i.flags & narrowRegisters ? 0xffff : ~0u);
    }
  });
  traffic.count(warp, bytes);
}

static void store(Warp &warp, const Instruction &i) {
  const uint32_t *rows = &warp.program.lists[i.list];
  const unsigned bytes = i.bytes * i.count;
  Traffic traffic;
  forLanes(warp.mask, [&](unsigned lane) {
    uint64_t address = warp.address(i.addresses[0], lane);
    Place place = warp.place(i.space, address, bytes, bytes, lane);
    traffic.add(place, address);
    if (place.space == Space::Parameter)
      warp.fault(Fault::BadAccess, "parameters are constant");
    if (place.space == Space::Shared && i.flags & strong)
      warp.noteStrong(place, false, true);
    else if (place.space == Space::Shared)
      warp.noteWrite(place, bytes);
    for (unsigned element = 0; element < i.count; ++element) {
      uint64_t value = warp.word(rows[element], i.flags & wideRegisters, lane);
      std::memcpy(place.data + element * i.bytes, &value, i.bytes);
    }
  });
  traffic.count(warp, bytes);
}

static Space takeSpace(Decoder &d) {
  switch (d.oneOf({"global", "const", "shared", "shared::cta", "shared::cluster", "local", "param",
                   "param::entry"})) {
  case -1:
    return Space::Generic;
  case 0:
  case 1:
    return Space::Global;
  case 5:
    return Space::Local;
  case 6:
  case 7:
    return Space::Parameter;
  default:
    return Space::Shared;
  }
}

/// Scopes, orders and cache hints: the interpreter is sequential, every access is the strongest.
/// Returns whether a cache policy follows the operands.
static bool takeHints(Decoder &d) {
  if (d.oneOf({"weak", "volatile", "relaxed", "acquire", "release"}) > 0)
    d.out.flags |= strong;
  d.oneOf({"cta", "cluster", "gpu", "sys"});
  d.oneOf({"nc", "ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  d.take("nc");
  for (const char *prefix : {"L1::", "L2::evict", "L2::64B", "L2::128B", "L2::256B"})
    d.takePrefix(prefix);
  return d.take("L2::cache_hint");
}

template <bool Load> static Run decodeAccess(Decoder &d) {
  Instruction &out = d.out;
  out.space = takeSpace(d);
  bool policy = takeHints(d);
  int vector = d.oneOf({"v2", "v4", "v8"});
  Type type = d.type();
  if (type == Type::Pred || isPacked(type) || type == Type::TF32)
    d.unsupported("type .", name(type));
  out.count = vector < 0 ? 1 : 2 << vector;
  out.bytes = uint8_t(bitsOf(type) / 8);
  if (out.bytes * out.count > 32)
    d.unsupported("an access of ", out.bytes * out.count, " bytes");
  if (isSigned(type))
    out.flags |= signExtended;
  out.list = uint32_t(d.program.lists.size());
  if (!Load)
    d.address(0);
  const Operand &data = d.peek();
  size_t elements = data.kind == Operand::Vector ? data.parts.size() : 1;
  if (elements != out.count)
    d.unsupported("the vector");
  unsigned bits = 0;
  for (size_t e = 0; e < elements; ++e) {
    const Operand &element = data.kind == Operand::Vector ? data.parts[e] : data;
    unsigned found = bitsOf(type);
    d.program.lists.push_back(d.rowOf(element, type, Load, &found));
    bool sink = element.kind == Operand::Sink || element.kind == Operand::Constant;
    if (bits && found != bits && !sink)
      d.unsupported("the vector of registers of several widths");
    bits = sink && bits ? bits : found;
  }
  d.pass();
  if (bits == 64)
    out.flags |= wideRegisters;
  if (bits == 16)
    out.flags |= narrowRegisters;
  if (Load)
    d.address(0);
  if (policy)
    d.source(Type::B64);
  if (out.space == Space::Shared || out.space == Space::Generic)
    d.program.granule = std::min<unsigned>(d.program.granule, out.bytes);
  return Load ? load : store;
}

static void nothing(Warp &, const Instruction &) {}

/// prefetch{.tensormap} and discard: the address is decoded and no more.
static Run decodeHint(Decoder &d) {
  takeSpace(d);
  d.oneOf({"L1", "L2", "L2::evict_last", "L2::evict_normal", "tensormap"});
  d.address(0);
  if (d.statement->opcode == "discard")
    d.immediate();
  return nothing;
}

static Run decodePolicy(Decoder &d) {
  d.take("fractional");
  d.takePrefix("L2::evict");
  d.takePrefix("L2::evict");
  d.type();
  d.destination(Type::B64);
  if (d.more())
    d.pass();
  return lanes<uint64_t>([] { return uint64_t(0); });
}

void addMemory(InstructionSet &set) {
  set.emplace("ld", decodeAccess<true>);
  set.emplace("ldu", decodeAccess<true>);
  set.emplace("st", decodeAccess<false>);
  set.emplace("prefetch", decodeHint);
  set.emplace("prefetchu", decodeHint);
  set.emplace("discard", decodeHint);
  set.emplace("createpolicy", decodePolicy);
}

} // namespace attune::ptx
