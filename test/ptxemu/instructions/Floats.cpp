// f32 and f64: add, sub, mul, fma, mad, div, abs, neg, min, max, copysign, testp, and the functions
// rcp, sqrt, rsqrt, ex2, lg2, sin, cos, tanh. Approximate forms are computed exactly rounded.
#include "attune/test/ptxemu/Lanes.h"
#include <algorithm>
#include <cmath>
#include <limits>

namespace attune::ptx {

// Contraction to fma would round once where PTX rounds twice.
#pragma STDC FP_CONTRACT OFF

template <bool Ftz, class T> static T input(T value) {
  if constexpr (Ftz)
    return flush(value);
  return value;
}

template <bool Ftz, bool Sat, class T> static T result(T value) {
  if constexpr (Sat)
    value = value > T(0) ? std::min(value, T(1)) : T(0); // NaN gives 0
  return input<Ftz>(value);
}

template <class T, bool Ftz, bool Sat, class F> static Run withSources(F, unsigned sources) {
  switch (sources) {
  case 1:
    if constexpr (std::is_invocable_v<F, T>)
      return unary<T>([](T a) { return result<Ftz, Sat>(T(F{}(input<Ftz>(a)))); });
    return nullptr;
  case 2:
    if constexpr (std::is_invocable_v<F, T, T>)
      return binary<T>(
          [](T a, T b) { return result<Ftz, Sat>(T(F{}(input<Ftz>(a), input<Ftz>(b)))); });
    return nullptr;
  default:
    if constexpr (std::is_invocable_v<F, T, T, T>)
      return ternary<T>([](T a, T b, T c) {
        return result<Ftz, Sat>(T(F{}(input<Ftz>(a), input<Ftz>(b), input<Ftz>(c))));
      });
    return nullptr;
  }
}

/// The operands and the function, for .f32 {.ftz} {.sat} and .f64; null for other types.
template <class F> static Run floating(Decoder &d, unsigned sources, F f) {
  Type type = d.firstType();
  if (type != Type::F32 && type != Type::F64)
    return nullptr;
  bool ftz = type == Type::F32 && d.take("ftz"), sat = type == Type::F32 && d.take("sat");
  d.type();
  d.destination(type);
  for (unsigned i = 0; i < sources; ++i)
    d.source(type);
  if (type == Type::F64)
    return withSources<double, false, false>(f, sources);
  if (ftz)
    return sat ? withSources<float, true, true>(f, sources)
               : withSources<float, true, false>(f, sources);
  return sat ? withSources<float, false, true>(f, sources)
             : withSources<float, false, false>(f, sources);
}

template <Rounding R> static float directed(double value) {
  return std::bit_cast<float>(encode(value, single, R));
}

/// Sums and products that are not rounded to nearest; only of f32, whose exact result a double
/// leads to.
template <unsigned N, class F> static Run directedOr(Decoder &d, F, Run (*nearest)(Decoder &)) {
  auto rounded = [&]<Rounding R>(std::integral_constant<Rounding, R>) {
    return floating(d, N,
                    [](auto... x)
                      requires(sizeof...(x) == N)
                    { return directed<R>(F{}(double(x)...)); });
  };
  switch (d.rounding(Rounding::Nearest)) {
  case Rounding::Zero:
    return rounded(std::integral_constant<Rounding, Rounding::Zero>{});
  case Rounding::Down:
    return rounded(std::integral_constant<Rounding, Rounding::Down>{});
  case Rounding::Up:
    return rounded(std::integral_constant<Rounding, Rounding::Up>{});
  default:
    return nearest(d);
  }
}

static bool isDirected(Decoder &d) {
  const auto &modifiers = d.statement->modifiers;
  for (const char *name : {"rz", "rm", "rp"})
    if (std::find(modifiers.begin(), modifiers.end(), name) != modifiers.end())
      return true;
  return false;
}

/// The types of this file; directed rounding of f64 is not interpreted.
static bool isMine(Decoder &d) {
  Type type = d.firstType();
  if (type == Type::F64 && isDirected(d))
    d.unsupported("the rounding of .f64");
  return type == Type::F32 || type == Type::F64;
}

static Run decodeAdd(Decoder &d) {
  if (!isMine(d))
    return nullptr;
  return directedOr<2>(
      d, [](double a, double b) { return addSticky(a, b); },
      [](Decoder &d) { return floating(d, 2, []<class T>(T a, T b) { return a + b; }); });
}

static Run decodeSub(Decoder &d) {
  if (!isMine(d))
    return nullptr;
  return directedOr<2>(
      d, [](double a, double b) { return addSticky(a, -b); },
      [](Decoder &d) { return floating(d, 2, []<class T>(T a, T b) { return a - b; }); });
}

static Run decodeMul(Decoder &d) {
  if (!isMine(d))
    return nullptr;
  return directedOr<2>(
      d, [](double a, double b) { return a * b; },
      [](Decoder &d) { return floating(d, 2, []<class T>(T a, T b) { return a * b; }); });
}

static Run decodeFma(Decoder &d) {
  if (!isMine(d))
    return nullptr;
  return directedOr<3>(
      d, [](double a, double b, double c) { return addSticky(a * b, c); },
      [](Decoder &d) {
        return floating(d, 3, []<class T>(T a, T b, T c) -> T {
          // The product of two floats is exact in a double, and the sticky sum rounds as one step
          // would.
          if constexpr (sizeof(T) == 4)
            return float(addSticky(double(a) * double(b), double(c)));
          else
            return std::fma(a, b, c);
        });
      });
}

static Run decodeDiv(Decoder &d) {
  if (!isMine(d))
    return nullptr;
  if (isDirected(d))
    d.unsupported("the rounding");
  d.oneOf({"rn", "approx", "full"});
  return floating(d, 2, []<class T>(T a, T b) { return a / b; });
}

static Run decodeAbs(Decoder &d) {
  return floating(d, 1, []<class T>(T a) { return std::fabs(a); });
}
static Run decodeNeg(Decoder &d) {
  return floating(d, 1, []<class T>(T a) { return -a; });
}
static Run decodeCopysign(Decoder &d) {
  return floating(d, 2, []<class T>(T a, T b) { return std::copysign(b, a); });
}

/// A number wins over NaN, except with .NaN; -0 is below +0.
template <bool Max, bool Nan, class T> static T extremum(T a, T b) {
  if (a != a || b != b) {
    T quiet = std::numeric_limits<T>::quiet_NaN();
    if constexpr (sizeof(T) == 4) // the canonical NaN of PTX
      quiet = std::bit_cast<float>(0x7fffffff);
    return Nan || (a != a && b != b) ? quiet : a != a ? b : a;
  }
  if (a == b)
    return std::signbit(a) == Max ? b : a;
  return (a < b) == Max ? b : a;
}

template <bool Max> static Run decodeExtremum(Decoder &d) {
  if (!isMine(d))
    return nullptr;
  if (d.take("xorsign"))
    d.unsupported("'.xorsign'");
  bool nan = d.take("NaN");
  unsigned sources = unsigned(d.statement->operands.size()) - 1;
  if (sources == 3) // three inputs, since PTX 8.8
    return nan ? floating(d, 3,
                          []<class T>(T a, T b, T c) {
                            return extremum<Max, true>(extremum<Max, true>(a, b), c);
                          })
               : floating(d, 3, []<class T>(T a, T b, T c) {
                   return extremum<Max, false>(extremum<Max, false>(a, b), c);
                 });
  return nan ? floating(d, 2, []<class T>(T a, T b) { return extremum<Max, true>(a, b); })
             : floating(d, 2, []<class T>(T a, T b) { return extremum<Max, false>(a, b); });
}

template <class F> static Run function(Decoder &d, F f) {
  if (!isMine(d))
    return nullptr;
  if (isDirected(d))
    d.unsupported("the rounding");
  d.oneOf({"approx", "rn"});
  return floating(d, 1, f);
}

static Run decodeRcp(Decoder &d) {
  return function(d, []<class T>(T a) { return 1 / a; });
}
static Run decodeSqrt(Decoder &d) {
  return function(d, []<class T>(T a) { return std::sqrt(a); });
}
static Run decodeRsqrt(Decoder &d) {
  return function(d, []<class T>(T a) { return T(1 / std::sqrt(double(a))); });
}
static Run decodeEx2(Decoder &d) {
  return function(d, []<class T>(T a) { return std::exp2(a); });
}
static Run decodeLg2(Decoder &d) {
  return function(d, []<class T>(T a) { return std::log2(a); });
}
static Run decodeSin(Decoder &d) {
  return function(d, []<class T>(T a) { return std::sin(a); });
}
static Run decodeCos(Decoder &d) {
  return function(d, []<class T>(T a) { return std::cos(a); });
}
static Run decodeTanh(Decoder &d) {
  return function(d, []<class T>(T a) { return std::tanh(a); });
}

static Run decodeTestp(Decoder &d) {
  int test = d.requireOneOf({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  Type type = d.type();
  d.destination(Type::Pred);
  d.source(type);
  d.out.rows[2] = d.out.rows[1];
  auto ofType = [&]<class T>(T) -> Run {
    switch (test) {
    case 0:
      return compares<T>([](T a, T) { return std::isfinite(a); });
    case 1:
      return compares<T>([](T a, T) { return std::isinf(a); });
    case 2:
      return compares<T>([](T a, T) { return !std::isnan(a); });
    case 3:
      return compares<T>([](T a, T) { return std::isnan(a); });
    case 4:
      return compares<T>([](T a, T) { return std::isnormal(a); });
    default:
      return compares<T>([](T a, T) { return std::fpclassify(a) == FP_SUBNORMAL; });
    }
  };
  if (type == Type::F32)
    return ofType(float{});
  if (type != Type::F64)
    d.unsupported("type .", name(type));
  return ofType(double{});
}

void addFloats(InstructionSet &set) {
  for (auto [opcode, decode] :
       std::initializer_list<std::pair<const char *, Decode>>{{"abs", decodeAbs},
                                                              {"add", decodeAdd},
                                                              {"copysign", decodeCopysign},
                                                              {"cos", decodeCos},
                                                              {"div", decodeDiv},
                                                              {"ex2", decodeEx2},
                                                              {"fma", decodeFma},
                                                              {"lg2", decodeLg2},
                                                              {"mad", decodeFma},
                                                              {"max", decodeExtremum<true>},
                                                              {"min", decodeExtremum<false>},
                                                              {"mul", decodeMul},
                                                              {"neg", decodeNeg},
                                                              {"rcp", decodeRcp},
                                                              {"rsqrt", decodeRsqrt},
                                                              {"sin", decodeSin},
                                                              {"sqrt", decodeSqrt},
                                                              {"sub", decodeSub},
                                                              {"tanh", decodeTanh},
                                                              {"testp", decodeTestp}})
    set.emplace(opcode, decode);
}

} // namespace attune::ptx
