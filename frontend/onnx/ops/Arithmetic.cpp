#include "attune/frontend/onnx/Scalar.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::onnx {

enum class Arith { Add, Sub, Mul, Div };

template <Arith kind> static void convertArith(Node &node) {
  auto symbolic = [](Extents &extents, ArrayRef<Extent> a) -> std::optional<Extent> {
    switch (kind) {
    case Arith::Add:
      return a[0] + a[1];
    case Arith::Sub:
      return a[0] - a[1];
    case Arith::Mul:
      return a[0] * a[1];
    case Arith::Div:
      // Truncation and flooring agree where nothing is negative.
      if (extents.nonNegative(a[0]) && extents.low(a[1]) > 0)
        return extents.floorDiv(a[0], a[1]);
      return extents.divideExactly(a[0], a[1]);
    }
  };
  node.setOutput(0, sameType(
                        node, node.inputs(),
                        [](const Scalar &s, ValueRange a) {
                          switch (kind) {
                          case Arith::Add:
                            return s.add(a[0], a[1]);
                          case Arith::Sub:
                            return s.sub(a[0], a[1]);
                          case Arith::Mul:
                            return s.mul(a[0], a[1]);
                          case Arith::Div:
                            return s.div(a[0], a[1]);
                          }
                        },
                        symbolic));
}

static void convertMod(Node &node) {
  bool fmod = node.flagAttr("fmod");
  // Floats without fmod are defined from opset 28 on.
  node.check(fmod || !node.dtype(0).isFloat() || node.version() >= 28,
             "attribute 'fmod' is 0; accepted for floats: 1");
  auto symbolic = [&](Extents &extents, ArrayRef<Extent> a) -> std::optional<Extent> {
    if (extents.nonNegative(a[0]) && extents.low(a[1]) > 0)
      return extents.mod(a[0], a[1]);
    return std::nullopt;
  };
  node.setOutput(0, sameType(
                        node, node.inputs(),
                        [&](const Scalar &s, ValueRange a) { return s.mod(a[0], a[1], fmod); },
                        symbolic));
}

/// By squaring, one step for each bit of the exponent; modulo 2^bits. A negative exponent gives
/// what a division by the positive power gives: 0 but for bases of 1 and -1 (and, as no trap, 0).
static Value integerPower(const Scalar &s, Value x, Value n) {
  Value one = s.c(1), zero = s.c(0), result = one, base = x, rest = n;
  for (unsigned bit = 0; bit < s.dtype.bits(); ++bit) {
    Value odd = s.op<arith::CmpIOp>(arith::CmpIPredicate::ne, s.op<arith::AndIOp>(rest, one), zero);
    result = s.select(odd, s.mul(result, base), result);
    base = s.mul(base, base);
    rest = s.op<arith::ShRUIOp>(rest, one);
  }
  if (s.dtype.isUnsigned())
    return result;
  Value odd = s.op<arith::CmpIOp>(arith::CmpIPredicate::ne, s.op<arith::AndIOp>(n, one), zero);
  Value inverse = s.select(s.eq(x, one), one, zero);
  inverse = s.select(s.eq(x, s.c(-1)), s.select(odd, x, one), inverse);
  return s.select(s.lt(n, zero), inverse, result);
}

static Value powElement(OpBuilder &b, Location loc, Value x, Value y, DType base, DType exponent) {
  if (base.isInteger() && exponent.isInteger())
    return integerPower(Scalar{b, loc, base}, x, castElement(b, loc, y, exponent, base));
  // Integers to a float power, and 16-bit floats, go through a wider float.
  DType wide = base.isInteger() || base.bits() == 64 ? DType(11) : kFloat;
  Value p = math::PowFOp::create(b, loc, castElement(b, loc, x, base, wide),
                                 castElement(b, loc, y, exponent, wide));
  return castElement(b, loc, p, wide, base);
}

static void convertPow(Node &node) {
  Tensor base = node.input(0), exponent = node.input(1);
  auto constant = exponent.constantFloats(1);
  if (constant && constant->size() == 1 && (*constant)[0] == 2 && base.dtype().bits() >= 32) {
    // Broadcasting against one element cannot add axes only if its rank is not larger.
    if (exponent.rank() <= base.rank())
      return node.setOutput(0, sameType(node, {base}, [](const Scalar &s, ValueRange a) {
                              return s.mul(a[0], a[0]);
                            }));
  }
  node.setOutput(0, elementwise(node, {base, exponent}, base.dtype(),
                                [&](OpBuilder &b, Location loc, ValueRange a) {
                                  return powElement(b, loc, a[0], a[1], base.dtype(),
                                                    exponent.dtype());
                                }));
}

enum class Variadic { Max, Min, Sum, Mean };

template <Variadic kind> static void convertVariadic(Node &node) {
  auto inputs = node.inputs();
  node.check(!inputs.empty(), "there is no input");
  auto symbolic = [](Extents &extents, ArrayRef<Extent> a) -> std::optional<Extent> {
    Extent e = a[0];
    for (const Extent &next : a.drop_front())
      e = kind == Variadic::Max   ? extents.max(e, next)
          : kind == Variadic::Min ? extents.min(e, next)
                                  : e + next;
    return e;
  };
  auto body = [&](const Scalar &s, ValueRange a) {
    Value v = a[0];
    for (Value next : a.drop_front())
      v = kind == Variadic::Max   ? s.max(v, next)
          : kind == Variadic::Min ? s.min(v, next)
                                  : s.add(v, next);
    return kind == Variadic::Mean ? s.div(v, s.c(a.size())) : v;
  };
  node.setOutput(0, sameType(node, inputs, body, kind == Variadic::Mean ? ExtentFn() : symbolic));
}

static void convertNeg(Node &node) {
  auto body = [](const Scalar &s, ValueRange a) {
    return s.isFloat() ? s.op<arith::NegFOp>(a[0]) : s.sub(s.c(0), a[0]);
  };
  auto symbolic = [](Extents &, ArrayRef<Extent> a) -> std::optional<Extent> {
    return Extent(0) - a[0];
  };
  node.setOutput(0, sameType(node, {node.input(0)}, body, symbolic));
}

static void convertAbs(Node &node) {
  auto body = [](const Scalar &s, ValueRange a) -> Value {
    if (s.dtype.isUnsigned())
      return a[0];
    return s.isFloat() ? s.op<math::AbsFOp>(a[0]) : s.op<math::AbsIOp>(a[0]);
  };
  auto symbolic = [](Extents &extents, ArrayRef<Extent> a) -> std::optional<Extent> {
    return extents.max(a[0], Extent(0) - a[0]);
  };
  node.setOutput(0, sameType(node, {node.input(0)}, body, symbolic));
}

static void convertSign(Node &node) {
  node.setOutput(0, sameType(node, {node.input(0)}, [](const Scalar &s, ValueRange a) {
                   Value zero = s.c(0), one = s.c(1);
                   Value positive = s.lt(zero, a[0]);
                   if (s.dtype.isUnsigned())
                     return s.select(positive, one, zero);
                   // Neither positive nor negative: 0 or NaN, which stay.
                   Value negative = s.lt(a[0], zero);
                   return s.select(positive, one, s.select(negative, s.c(-1), a[0]));
                 }));
}

static void convertClip(Node &node) {
  Tensor input = node.input(0);
  std::vector<Tensor> operands = {input};
  bool hasMin = node.has(1), hasMax = node.has(2);
  if (hasMin)
    operands.push_back(node.input(1));
  if (hasMax)
    operands.push_back(node.input(2));
  for (const Tensor &bound : ArrayRef(operands).drop_front())
    node.check(bound.size().is(1) && bound.rank() <= input.rank(), "a bound is not a scalar");
  auto body = [&](const Scalar &s, ValueRange a) -> Value {
    Value v = a[0];
    if (hasMin)
      v = s.max(v, a[1]);
    return hasMax ? s.min(v, a.back()) : v;
  };
  auto symbolic = [&](Extents &extents, ArrayRef<Extent> a) -> std::optional<Extent> {
    Extent v = a[0];
    if (hasMin)
      v = extents.max(v, a[1]);
    return hasMax ? extents.min(v, a.back()) : v;
  };
  node.setOutput(0, sameType(node, operands, body, symbolic));
}

static void convertClip6(Node &node) {
  double inf = std::numeric_limits<double>::infinity();
  double low = node.floatAttr("min", -inf), high = node.floatAttr("max", inf);
  node.setOutput(0, sameType(node, {node.input(0)}, [&](const Scalar &s, ValueRange a) {
                   return s.min(s.max(a[0], s.c(low)), s.c(high));
                 }));
}

void registerArithmetic(Registry &registry) {
  registry.add("Abs", 6, convertAbs);
  registry.add("Add", 7, convertArith<Arith::Add>);
  registry.add("Clip", 6, convertClip6, 10);
  registry.add("Clip", 11, convertClip);
  registry.add("Div", 7, convertArith<Arith::Div>);
  registry.add("Max", 8, convertVariadic<Variadic::Max>);
  registry.add("Mean", 8, convertVariadic<Variadic::Mean>);
  registry.add("Min", 8, convertVariadic<Variadic::Min>);
  registry.add("Mod", 10, convertMod);
  registry.add("Mul", 7, convertArith<Arith::Mul>);
  registry.add("Neg", 6, convertNeg);
  registry.add("Pow", 7, convertPow);
  registry.add("Sign", 9, convertSign);
  registry.add("Sub", 7, convertArith<Arith::Sub>);
  registry.add("Sum", 8, convertVariadic<Variadic::Sum>);
}

} // namespace attune::onnx
