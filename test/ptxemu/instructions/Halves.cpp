// f16, f16x2, bf16, bf16x2: add, sub, mul, fma, abs, neg, min, max, ex2, tanh. Computed in double
// and rounded once.
#include "attune/test/ptxemu/Lanes.h"
#include <cmath>

namespace attune::ptx {

static constexpr uint32_t flushed = 1, saturated = 2, positive = 4, quiet = 8;

template <bool Brain> static double widen(uint16_t bits) {
  return Brain ? brainToFloat(bits) : halfToFloat(bits);
}

/// Subnormal f16 become zero with .ftz.
template <bool Brain> static uint16_t flushHalf(uint16_t bits, uint32_t flags) {
  bool subnormal = !Brain && (flags & flushed) && !(bits & 0x7c00);
  return subnormal ? bits & 0x8000 : bits;
}

template <bool Brain> static uint16_t narrow(double value, uint32_t flags) {
  if (flags & saturated)
    value = value > 0 ? std::min(value, 1.0) : 0;
  if ((flags & positive) && value <= 0)
    value = 0;
  return flushHalf<Brain>(Brain ? floatToBrain(value) : floatToHalf(value), flags);
}

template <bool Brain, unsigned Sources, class F> static void run(Warp &warp, const Instruction &i) {
  uint32_t *d = warp.row<uint32_t>(i.rows[0]);
  forLanes(warp.mask, [&](unsigned lane) {
    uint32_t result = 0;
    for (unsigned part = 0; part < i.count; ++part) {
      double x[3] = {};
      for (unsigned s = 0; s < Sources; ++s) {
        auto bits = uint16_t(warp.row<uint32_t>(i.rows[s + 1])[lane] >> (16 * part));
        x[s] = widen<Brain>(flushHalf<Brain>(bits, i.flags));
      }
      double value;
      if constexpr (Sources == 1)
        value = F{}(x[0], i.flags);
      else if constexpr (Sources == 2)
        value = F{}(x[0], x[1], i.flags);
      else
        value = F{}(x[0], x[1], x[2], i.flags);
      result |= uint32_t(narrow<Brain>(value, i.flags)) << (16 * part);
    }
    d[lane] = result;
  });
}

template <unsigned Sources, class F> static Run halves(Decoder &d, F) {
  Type type = d.firstType();
  bool brain = type == Type::BF16 || type == Type::BF16x2;
  if (!brain && type != Type::F16 && type != Type::F16x2)
    return nullptr;
  d.oneOf({"rn", "approx"});
  d.out.flags = (d.take("ftz") ? flushed : 0) | (d.take("sat") ? saturated : 0) |
                (d.take("relu") ? positive : 0) | (d.take("NaN") ? quiet : 0);
  d.out.count = isPacked(type) ? 2 : 1;
  d.type();
  d.destination(type);
  for (unsigned i = 0; i < Sources; ++i)
    d.source(type);
  return brain ? run<true, Sources, F> : run<false, Sources, F>;
}

static Run decodeAdd(Decoder &d) {
  return halves<2>(d, [](double a, double b, uint32_t) { return addSticky(a, b); });
}
static Run decodeSub(Decoder &d) {
  return halves<2>(d, [](double a, double b, uint32_t) { return addSticky(a, -b); });
}
static Run decodeMul(Decoder &d) {
  return halves<2>(d, [](double a, double b, uint32_t) { return a * b; });
}
static Run decodeFma(Decoder &d) {
  return halves<3>(d, [](double a, double b, double c, uint32_t) { return addSticky(a * b, c); });
}
static Run decodeEx2(Decoder &d) {
  return halves<1>(d, [](double a, uint32_t) { return std::exp2(a); });
}
static Run decodeTanh(Decoder &d) {
  return halves<1>(d, [](double a, uint32_t) { return std::tanh(a); });
}

template <bool Max> static Run decodeExtremum(Decoder &d) {
  return halves<2>(d, [](double a, double b, uint32_t flags) -> double {
    if (std::isnan(a) || std::isnan(b))
      return flags & quiet ? NAN : std::isnan(a) ? b : a;
    if (a == b)
      return std::signbit(a) == Max ? b : a;
    return (a < b) == Max ? b : a;
  });
}

/// abs and neg change the sign bit and nothing else, also of NaN.
template <bool Negate> static Run decodeSign(Decoder &d) {
  Type type = d.firstType();
  if (type != Type::F16 && type != Type::F16x2 && type != Type::BF16 && type != Type::BF16x2)
    return nullptr;
  d.type();
  if (d.take("ftz"))
    d.unsupported("'.ftz'");
  d.destination(type);
  d.source(type);
  if (Negate)
    return isPacked(type) ? unary<uint32_t>([](uint32_t a) { return a ^ 0x80008000; })
                          : unary<uint16_t>([](uint16_t a) { return uint16_t(a ^ 0x8000); });
  return isPacked(type) ? unary<uint32_t>([](uint32_t a) { return a & 0x7fff7fff; })
                        : unary<uint16_t>([](uint16_t a) { return uint16_t(a & 0x7fff); });
}

void addHalves(InstructionSet &set) {
  for (auto [opcode, decode] :
       std::initializer_list<std::pair<const char *, Decode>>{{"abs", decodeSign<false>},
                                                              {"add", decodeAdd},
                                                              {"ex2", decodeEx2},
                                                              {"fma", decodeFma},
                                                              {"max", decodeExtremum<true>},
                                                              {"min", decodeExtremum<false>},
                                                              {"mul", decodeMul},
                                                              {"neg", decodeSign<true>},
                                                              {"sub", decodeSub},
                                                              {"tanh", decodeTanh}})
    set.emplace(opcode, decode);
}

} // namespace attune::ptx
