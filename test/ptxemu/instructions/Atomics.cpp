// atom and red. Launches run blocks on several host threads, so that these are atomic on the host
// too.
#include "attune/test/ptxemu/Lanes.h"
#include <atomic>
#include <cmath>

namespace attune::ptx {

/// The old value; f may be called several times.
template <class T, class F> static T update(uint8_t *data, F f) {
  std::atomic_ref<T> memory(*reinterpret_cast<T *>(data));
  T old = memory.load();
  while (!memory.compare_exchange_weak(old, f(old)))
    ;
  return old;
}

/// rows: d, b, c. Instruction::flags: 1 if there is a destination.
template <class T, class F> static Run atomic(F) {
  return [](Warp &warp, const Instruction &i) {
    forLanes(warp.mask, [&](unsigned lane) {
      Place place =
          warp.place(i.space, warp.address(i.addresses[0], lane), sizeof(T), sizeof(T), lane);
      if (place.space == Space::Parameter)
        warp.fault(Fault::BadAccess, "parameters are constant");
      if (place.space == Space::Shared)
        warp.noteStrong(place, true, true);
      T b = fromSlot<T>(warp.row<T>(i.rows[1])[lane]),
        c = fromSlot<T>(warp.row<T>(i.rows[2])[lane]);
      T old = update<T>(place.data, [&](T old) { return T(F{}(old, b, c)); });
      if (i.flags)
        warp.row<T>(i.rows[0])[lane] = toSlot<T>(old);
    });
    ++warp.home.cluster.events;
  };
}

/// Both halves of a word, or the one of 16 bits.
template <bool Brain> static uint32_t addHalves(uint32_t a, uint32_t b) {
  uint32_t result = 0;
  for (unsigned part = 0; part < 2; ++part) {
    auto x = uint16_t(a >> (16 * part)), y = uint16_t(b >> (16 * part));
    uint16_t sum = Brain ? floatToBrain(double(brainToFloat(x)) + brainToFloat(y))
                         : floatToHalf(double(halfToFloat(x)) + halfToFloat(y));
    result |= uint32_t(sum) << (16 * part);
  }
  return result;
}

static Run addOf(Decoder &d, Type type) {
  auto sum = []<class T>(T) { return atomic<T>([](T old, T b, T) { return old + b; }); };
  switch (type) {
  case Type::U32:
  case Type::S32:
    return sum(uint32_t{});
  case Type::U64:
  case Type::S64:
    return sum(uint64_t{});
  case Type::F32:
    return sum(float{});
  case Type::F64:
    return sum(double{});
  case Type::F16x2:
    return atomic<uint32_t>(
        [](uint32_t a, uint32_t b, uint32_t) { return addHalves<false>(a, b); });
  case Type::BF16x2:
    return atomic<uint32_t>([](uint32_t a, uint32_t b, uint32_t) { return addHalves<true>(a, b); });
  case Type::F16:
    return atomic<uint16_t>(
        [](uint16_t a, uint16_t b, uint16_t) { return addHalves<false>(a, b); });
  case Type::BF16:
    return atomic<uint16_t>([](uint16_t a, uint16_t b, uint16_t) { return addHalves<true>(a, b); });
  default:
    d.unsupported("type .", name(type));
  }
}

static Run operation(Decoder &d, int which, Type type) {
  switch (which) {
  case 0:
    return addOf(d, type);
  case 1:
    return integers(
        d, type, []<class T>(T) { return atomic<T>([](T a, T b, T) { return std::min(a, b); }); });
  case 2:
    return integers(
        d, type, []<class T>(T) { return atomic<T>([](T a, T b, T) { return std::max(a, b); }); });
  case 3:
    return bitTypes(d, type,
                    []<class T>(T) { return atomic<T>([](T a, T b, T) { return a & b; }); });
  case 4:
    return bitTypes(d, type,
                    []<class T>(T) { return atomic<T>([](T a, T b, T) { return a | b; }); });
  case 5:
    return bitTypes(d, type,
                    []<class T>(T) { return atomic<T>([](T a, T b, T) { return a ^ b; }); });
  case 6:
    return bitTypes(d, type, []<class T>(T) { return atomic<T>([](T, T b, T) { return b; }); });
  case 7:
    return bitTypes(d, type, []<class T>(T) {
      return atomic<T>([](T a, T b, T c) { return a == b ? c : a; });
    });
  case 8:
    return atomic<uint32_t>([](uint32_t a, uint32_t b, uint32_t) { return a >= b ? 0 : a + 1; });
  default:
    return atomic<uint32_t>(
        [](uint32_t a, uint32_t b, uint32_t) { return a == 0 || a > b ? b : a - 1; });
  }
}

template <bool HasResult> static Run decodeAtomic(Decoder &d) {
  d.oneOf({"relaxed", "acquire", "release", "acq_rel"});
  d.oneOf({"cta", "cluster", "gpu", "sys"});
  switch (d.oneOf({"global", "shared", "shared::cta", "shared::cluster"})) {
  case -1:
    break;
  case 0:
    d.out.space = Space::Global;
    break;
  default:
    d.out.space = Space::Shared;
  }
  int which =
      d.requireOneOf({"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"});
  d.take("noftz");
  bool policy = d.take("L2::cache_hint");
  Type type = d.type();
  if (which > 7 && type != Type::U32)
    d.unsupported("type .", name(type));
  if (bitsOf(type) == 16 && which != 0 && which != 7)
    d.unsupported("type .", name(type));
  d.out.flags = HasResult;
  if (HasResult)
    d.destination(type);
  else
    d.skipRow();
  d.address(0);
  d.source(type);
  if (which == 7)
    d.source(type);
  else
    d.out.rows[2] = d.out.rows[1];
  if (policy)
    d.pass();
  return operation(d, which, type);
}

void addAtomics(InstructionSet &set) {
  set.emplace("atom", decodeAtomic<true>);
  set.emplace("red", decodeAtomic<false>);
}

} // namespace attune::ptx
