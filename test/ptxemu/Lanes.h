//===- Lanes.h - Instructions that compute every lane from the same lane of their operands ----===//
//
// `lanes<D, S...>(f)` is an instruction: d = f(s...) for every active lane, operands in the rows of
// the instruction. The pickers below call a generic lambda with a value of the C++ type.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_LANES_H
#define ATTUNE_TEST_PTXEMU_LANES_H

#include "attune/test/ptxemu/Decoder.h"
#include "attune/test/ptxemu/Warp.h"

namespace attune::ptx {

template <class D, class... S, class F, size_t... I>
void applyLanes(Warp &warp, const Instruction &instruction, F f, std::index_sequence<I...>) {
  Slot<D> *d = warp.row<D>(instruction.rows[0]);
  forLanes(warp.mask, [&](unsigned lane) {
    d[lane] = toSlot<D>(f(fromSlot<S>(warp.row<S>(instruction.rows[I + 1])[lane])...));
  });
}

template <class D, class... S, class F> Run lanes(F) {
  return [](Warp &warp, const Instruction &instruction) {
    applyLanes<D, S...>(warp, instruction, F{}, std::index_sequence_for<S...>{});
  };
}

/// As lanes<T, T, …> with as many operands as f takes.
template <class T, class F> Run unary(F f) { return lanes<T, T>(f); }
template <class T, class F> Run binary(F f) { return lanes<T, T, T>(f); }
template <class T, class F> Run ternary(F f) { return lanes<T, T, T, T>(f); }

/// d (a predicate) = f(a, b)
template <class S, class F> Run compares(F) {
  return [](Warp &warp, const Instruction &instruction) {
    const Slot<S> *a = warp.row<S>(instruction.rows[1]), *b = warp.row<S>(instruction.rows[2]);
    uint32_t bits = 0;
    forLanes(warp.mask, [&](unsigned lane) {
      bits |= uint32_t(F{}(fromSlot<S>(a[lane]), fromSlot<S>(b[lane]))) << lane;
    });
    uint32_t &d = warp.predicate(instruction.rows[0]);
    d = (d & ~warp.mask) | bits;
  };
}

template <class F> Run integers(Decoder &d, Type type, F f) {
  switch (type) {
  case Type::U16:
    return f(uint16_t{});
  case Type::U32:
    return f(uint32_t{});
  case Type::U64:
    return f(uint64_t{});
  case Type::S16:
    return f(int16_t{});
  case Type::S32:
    return f(int32_t{});
  case Type::S64:
    return f(int64_t{});
  default:
    d.unsupported("type .", name(type));
  }
}

/// Types without a sign; .u and .s are taken as such.
template <class F> Run bitTypes(Decoder &d, Type type, F f) {
  switch (isFloat(type) ? 0 : bitsOf(type)) {
  case 16:
    return f(uint16_t{});
  case 32:
    return f(uint32_t{});
  case 64:
    return f(uint64_t{});
  default:
    d.unsupported("type .", name(type));
  }
}

/// The same operation on predicates, as masks of lanes.
template <class F> Run predicates(F) {
  return [](Warp &warp, const Instruction &instruction) {
    const auto &rows = instruction.rows;
    uint32_t &d = warp.predicate(rows[0]), value;
    if constexpr (std::is_invocable_v<F, uint32_t, uint32_t>)
      value = F{}(warp.predicate(rows[1]), warp.predicate(rows[2]));
    else
      value = F{}(warp.predicate(rows[1]));
    d = (d & ~warp.mask) | (value & warp.mask);
  };
}

} // namespace attune::ptx
#endif
