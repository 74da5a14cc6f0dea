#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::onnx {

namespace {
/// Builds scalar code for elements of one type; short names keep the table below readable.
struct Scalar {
  OpBuilder &b;
  Location loc;
  DType dtype;

  Type type() const { return dtype.type(b.getContext()); }
  Value c(double v) const { return scalar(b, loc, type(), v); }
  bool isFloat() const { return dtype.isFloat(); }
  template <typename Op, typename... Args> Value op(Args... args) const {
    return b.createOrFold<Op>(loc, args...);
  }
  template <typename F, typename I> Value either(Value x, Value y) const {
    return isFloat() ? op<F>(x, y) : op<I>(x, y);
  }
  Value add(Value x, Value y) const { return either<arith::AddFOp, arith::AddIOp>(x, y); }
  Value sub(Value x, Value y) const { return either<arith::SubFOp, arith::SubIOp>(x, y); }
  Value mul(Value x, Value y) const { return either<arith::MulFOp, arith::MulIOp>(x, y); }
  Value div(Value x, Value y) const;
  Value mod(Value x, Value y, bool signOfDividend) const;
  Value max(Value x, Value y) const {
    return dtype.isUnsigned() ? op<arith::MaxUIOp>(x, y)
                              : either<arith::MaximumFOp, arith::MaxSIOp>(x, y);
  }
  Value min(Value x, Value y) const {
    return dtype.isUnsigned() ? op<arith::MinUIOp>(x, y)
                              : either<arith::MinimumFOp, arith::MinSIOp>(x, y);
  }
  Value select(Value condition, Value x, Value y) const {
    return op<arith::SelectOp>(condition, x, y);
  }
  Value cmp(arith::CmpFPredicate f, arith::CmpIPredicate s, arith::CmpIPredicate u, Value x,
            Value y) const {
    return isFloat() ? op<arith::CmpFOp>(f, x, y)
                     : op<arith::CmpIOp>(dtype.isUnsigned() || dtype.isBool() ? u : s, x, y);
  }
  Value eq(Value x, Value y) const {
    return cmp(arith::CmpFPredicate::OEQ, arith::CmpIPredicate::eq, arith::CmpIPredicate::eq, x, y);
  }
  Value lt(Value x, Value y) const {
    return cmp(arith::CmpFPredicate::OLT, arith::CmpIPredicate::slt, arith::CmpIPredicate::ult, x,
               y);
  }
  Value le(Value x, Value y) const {
    return cmp(arith::CmpFPredicate::OLE, arith::CmpIPredicate::sle, arith::CmpIPredicate::ule, x,
               y);
  }
};

/// Division that cannot trap: x / 0 = 0 and the smallest integer / -1 wraps, as numpy does.
struct SafeDivisor {
  Value zero, minusOne, safe;
  SafeDivisor(const Scalar &s, Value y) {
    zero = s.eq(y, s.c(0));
    minusOne = s.dtype.isUnsigned() ? zero : s.eq(y, s.c(-1));
    Value special = s.dtype.isUnsigned() ? zero : s.op<arith::OrIOp>(zero, minusOne);
    safe = s.select(special, s.c(1), y);
  }
};

Value Scalar::div(Value x, Value y) const {
  if (isFloat())
    return op<arith::DivFOp>(x, y);
  SafeDivisor d(*this, y);
  if (dtype.isUnsigned())
    return select(d.zero, c(0), op<arith::DivUIOp>(x, d.safe));
  Value quotient = select(d.minusOne, sub(c(0), x), op<arith::DivSIOp>(x, d.safe));
  return select(d.zero, c(0), quotient);
}

Value Scalar::mod(Value x, Value y, bool signOfDividend) const {
  if (isFloat()) {
    Value rest = op<arith::RemFOp>(x, y);
    if (signOfDividend)
      return rest;
    // A zero takes the divisor's sign; every other remainder moves into the divisor's range.
    Value zero = c(0);
    Value isZero = eq(rest, zero);
    Value differs = op<arith::XOrIOp>(lt(rest, zero), lt(y, zero));
    Value moved = select(differs, add(rest, y), rest);
    return select(isZero, op<math::CopySignOp>(zero, y), moved);
  }
  SafeDivisor d(*this, y);
  if (dtype.isUnsigned())
    return select(d.zero, c(0), op<arith::RemUIOp>(x, d.safe));
  // With a divisor of 1 in place of 0 and -1 the remainder is 0.
  Value rest = op<arith::RemSIOp>(x, d.safe);
  if (signOfDividend)
    return rest;
  Value differs = lt(op<arith::XOrIOp>(rest, y), c(0));
  Value nonZero = op<arith::CmpIOp>(arith::CmpIPredicate::ne, rest, c(0));
  return select(op<arith::AndIOp>(differs, nonZero), add(rest, y), rest);
}
} // namespace

//===--------------------------------------------------------------------------------------------===//
// Running a body
//===--------------------------------------------------------------------------------------------===//

using ScalarFn = llvm::function_ref<Value(const Scalar &, ValueRange)>;

/// All inputs and the output have one type.
static Tensor sameType(Node &node, ArrayRef<Tensor> inputs, ScalarFn fn,
                       ExtentFn symbolic = nullptr) {
  DType dtype = inputs[0].dtype();
  for (const Tensor &input : inputs)
    node.check(input.dtype() == dtype, "inputs have element types " + dtype.name() + " and " +
                                           input.dtype().name() + "; accepted: one type");
  if (dtype.isFloat8())
    node.unsupported("element type " + dtype.name() + "; accepted: wider ones");
  return elementwise(
      node, inputs, dtype,
      [&](OpBuilder &b, Location loc, ValueRange args) { return fn(Scalar{b, loc, dtype}, args); },
      dtype.isInteger() ? symbolic : ExtentFn());
}

/// Floats only; 16-bit floats are computed in f32 and rounded once.
static void unaryFloat(Node &node, ScalarFn fn) {
  Tensor input = node.input(0);
  DType dtype = input.dtype();
  if (!dtype.isFloat() || dtype.bits() == 8)
    node.unsupported("element type " + dtype.name() +
                     "; accepted: float16, bfloat16, float, double");
  DType wide = dtype.bits() < 32 ? kFloat : dtype;
  node.setOutput(
      0, elementwise(node, {input}, dtype, [&](OpBuilder &b, Location loc, ValueRange args) {
        Value x = castElement(b, loc, args[0], dtype, wide);
        Value y = fn(Scalar{b, loc, wide}, x);
        return castElement(b, loc, y, wide, dtype);
      }));
}

//===--------------------------------------------------------------------------------------------===//
// Arithmetic
//===--------------------------------------------------------------------------------------------===//

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

//===--------------------------------------------------------------------------------------------===//
// Comparisons and logic
//===--------------------------------------------------------------------------------------------===//

enum class Compare { Equal, Less, LessOrEqual, Greater, GreaterOrEqual };

/// Smallest and largest element of a ramp.
static std::optional<std::pair<Extent, Extent>> rampBounds(const Tensor &t) {
  auto ramp = t.ramp();
  if (!ramp)
    return std::nullopt;
  if (ramp->axis < 0)
    return std::pair(ramp->start, ramp->start);
  Extent last = ramp->start + (t.dim(ramp->axis) - 1) * ramp->step;
  return ramp->step >= 0 ? std::pair(ramp->start, last) : std::pair(last, ramp->start);
}

/// A comparison of positions that has one outcome for all elements, as `arange(n) >= 0`.
static std::optional<bool> compareRamp(Node &node, const Tensor &x, const Tensor &y, Compare kind) {
  if (!x.dtype().isInteger() || x.contents() || x.dtype().isUnsigned())
    return std::nullopt;
  auto a = rampBounds(x), b = rampBounds(y);
  if (!a || !b)
    return std::nullopt;
  Extents &extents = node.extents();
  // below: all of p < all of q; notBelow: no p < any q.
  auto below = [&](const auto &p, const auto &q) {
    return extents.knownLess(p.second, q.first) == true;
  };
  auto notBelow = [&](const auto &p, const auto &q) {
    return extents.knownLess(p.first, q.second) == false;
  };
  auto less = [&](const auto &p, const auto &q) -> std::optional<bool> {
    if (below(p, q))
      return true;
    return notBelow(p, q) ? std::optional(false) : std::nullopt;
  };
  auto negate = [](std::optional<bool> known) {
    return known ? std::optional(!*known) : std::nullopt;
  };
  switch (kind) {
  case Compare::Equal:
    return below(*a, *b) || below(*b, *a) ? std::optional(false) : std::nullopt;
  case Compare::Less:
    return less(*a, *b);
  case Compare::GreaterOrEqual:
    return negate(less(*a, *b));
  case Compare::Greater:
    return less(*b, *a);
  case Compare::LessOrEqual:
    return negate(less(*b, *a));
  }
}

template <Compare kind> static void convertCompare(Node &node) {
  Tensor x = node.input(0), y = node.input(1);
  DType dtype = x.dtype();
  node.check(y.dtype() == dtype, "inputs have element types " + dtype.name() + " and " +
                                     y.dtype().name() + "; accepted: one type");
  if (dtype.isFloat8())
    node.unsupported("element type " + dtype.name() + "; accepted: wider ones");
  auto symbolic = [](Extents &extents, ArrayRef<Extent> a) -> std::optional<Extent> {
    switch (kind) {
    case Compare::Equal:
      return extents.equal(a[0], a[1]);
    case Compare::Less:
      return extents.less(a[0], a[1]);
    case Compare::LessOrEqual:
      return extents.less(a[0], a[1] + 1);
    case Compare::Greater:
      return extents.less(a[1], a[0]);
    case Compare::GreaterOrEqual:
      return extents.less(a[1], a[0] + 1);
    }
  };
  if (auto known = compareRamp(node, x, y, kind)) {
    Shape shape = broadcastShape(node, {x.shape(), y.shape()});
    return node.setOutput(
        0, Tensor::ofUniform(scalarAttr(node.context(), kBool, *known), kBool, shape));
  }
  auto body = [&](OpBuilder &b, Location loc, ValueRange a) {
    Scalar s{b, loc, dtype};
    switch (kind) {
    case Compare::Equal:
      return s.eq(a[0], a[1]);
    case Compare::Less:
      return s.lt(a[0], a[1]);
    case Compare::LessOrEqual:
      return s.le(a[0], a[1]);
    case Compare::Greater:
      return s.lt(a[1], a[0]);
    case Compare::GreaterOrEqual:
      return s.le(a[1], a[0]);
    }
  };
  node.setOutput(0,
                 elementwise(node, {x, y}, kBool, body, dtype.isInteger() ? symbolic : ExtentFn()));
}

enum class Logic { And, Or, Xor };

template <Logic kind> static void convertLogic(Node &node) {
  auto body = [](const Scalar &s, ValueRange a) {
    return kind == Logic::And  ? s.op<arith::AndIOp>(a[0], a[1])
           : kind == Logic::Or ? s.op<arith::OrIOp>(a[0], a[1])
                               : s.op<arith::XOrIOp>(a[0], a[1]);
  };
  auto symbolic = [](Extents &extents, ArrayRef<Extent> a) -> std::optional<Extent> {
    return kind == Logic::And  ? extents.min(a[0], a[1])
           : kind == Logic::Or ? extents.max(a[0], a[1])
                               : Extent(1) - extents.equal(a[0], a[1]);
  };
  bool isBool = node.dtype(0).isBool();
  node.setOutput(0, sameType(node, node.inputs(), body, isBool ? symbolic : ExtentFn()));
}

static void convertNot(Node &node) {
  auto body = [](const Scalar &s, ValueRange a) { return s.op<arith::XOrIOp>(a[0], s.c(1)); };
  auto symbolic = [](Extents &, ArrayRef<Extent> a) -> std::optional<Extent> {
    return Extent(1) - a[0];
  };
  node.setOutput(0, sameType(node, {node.input(0)}, body, symbolic));
}

static void convertBitwiseNot(Node &node) {
  node.setOutput(0, sameType(node, {node.input(0)}, [](const Scalar &s, ValueRange a) {
                   return s.op<arith::XOrIOp>(a[0], s.c(-1));
                 }));
}

static void convertBitShift(Node &node) {
  std::string direction = node.stringAttr("direction");
  node.check(direction == "LEFT" || direction == "RIGHT",
             "attribute 'direction' is '" + direction + "'; accepted: LEFT, RIGHT");
  node.setOutput(0, sameType(node, node.inputs(), [&](const Scalar &s, ValueRange a) {
                   // A shift by the width or more, or by less than 0, is undefined in arith: it
                   // shifts everything out here.
                   Value width = s.c(s.dtype.bits()), zero = s.c(0);
                   Value fits = s.op<arith::CmpIOp>(arith::CmpIPredicate::ult, a[1], width);
                   if (direction == "RIGHT" && !s.dtype.isUnsigned())
                     return s.op<arith::ShRSIOp>(a[0],
                                                 s.select(fits, a[1], s.c(s.dtype.bits() - 1)));
                   Value n = s.select(fits, a[1], zero);
                   Value v = direction == "LEFT" ? s.op<arith::ShLIOp>(a[0], n)
                                                 : s.op<arith::ShRUIOp>(a[0], n);
                   return s.select(fits, v, zero);
                 }));
}

static void convertWhere(Node &node) {
  Tensor condition = node.input(0), x = node.input(1), y = node.input(2);
  node.check(condition.dtype().isBool(),
             "the condition has element type " + condition.dtype().name() + "; accepted: bool");
  node.check(x.dtype() == y.dtype(), "the choices have element types " + x.dtype().name() +
                                         " and " + y.dtype().name() + "; accepted: one type");
  auto symbolic = [](Extents &extents, ArrayRef<Extent> a) -> std::optional<Extent> {
    return extents.select(a[0], a[1], a[2]);
  };
  auto body = [](OpBuilder &b, Location loc, ValueRange a) -> Value {
    return arith::SelectOp::create(b, loc, a[0], a[1], a[2]);
  };
  node.setOutput(0, elementwise(node, {condition, x, y}, x.dtype(), body,
                                x.dtype().isInteger() ? symbolic : ExtentFn()));
}

/// Elements as they are, 8-bit floats as f32.
static Tensor comparable(Node &node, const Tensor &input) {
  return input.dtype().isFloat8() ? castTo(node, input, kFloat) : input;
}

static void convertIsNaN(Node &node) {
  node.setOutput(0, elementwise(node, {comparable(node, node.input(0))}, kBool,
                                [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                                  return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO,
                                                               a[0], a[0]);
                                }));
}

static void convertIsInf(Node &node) {
  bool positive = node.flagAttr("detect_positive"), negative = node.flagAttr("detect_negative");
  double inf = std::numeric_limits<double>::infinity();
  Tensor input = comparable(node, node.input(0));
  DType dtype = input.dtype();
  node.setOutput(
      0, elementwise(node, {input}, kBool, [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
        Scalar s{b, loc, dtype}, bits{b, loc, kBool};
        Value p = positive ? s.eq(a[0], s.c(inf)) : bits.c(0);
        Value n = negative ? s.eq(a[0], s.c(-inf)) : bits.c(0);
        return bits.op<arith::OrIOp>(p, n);
      }));
}

//===--------------------------------------------------------------------------------------------===//
// Unary on any number
//===--------------------------------------------------------------------------------------------===//

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

static void convertRelu(Node &node) {
  node.setOutput(0, sameType(node, {node.input(0)},
                             [](const Scalar &s, ValueRange a) { return s.max(a[0], s.c(0)); }));
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

static void convertPRelu(Node &node) {
  Tensor input = node.input(0), slope = node.input(1);
  // Models of before opset 7 have one slope per channel as a vector.
  if (slope.rank() == 1 && input.rank() > 1 && !slope.dim(0).is(1) &&
      node.extents().knownEqual(slope.dim(0), input.shape().back()) != true &&
      node.extents().knownEqual(slope.dim(0), input.dim(1)) == true) {
    Shape channel(input.rank() - 1, Extent(1));
    channel[0] = slope.dim(0);
    slope = reshape(node, slope, channel);
  }
  node.setOutput(0, sameType(node, {input, slope}, [](const Scalar &s, ValueRange a) {
                   return s.select(s.lt(a[0], s.c(0)), s.mul(a[0], a[1]), a[0]);
                 }));
}

static void convertShrink(Node &node) {
  double bias = node.floatAttr("bias"), lambda = node.floatAttr("lambd");
  node.setOutput(0, sameType(node, {node.input(0)}, [&](const Scalar &s, ValueRange a) {
                   Value x = a[0], shift = s.c(bias);
                   Value high = s.select(s.lt(s.c(lambda), x), s.sub(x, shift), s.c(0));
                   return s.select(s.lt(x, s.c(-lambda)), s.add(x, shift), high);
                 }));
}

//===--------------------------------------------------------------------------------------------===//
// Float functions
//===--------------------------------------------------------------------------------------------===//

template <typename Op> static void convertMath(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) { return s.op<Op>(a[0]); });
}

static Value sigmoid(const Scalar &s, Value x) {
  Value e = s.op<math::ExpOp>(s.op<arith::NegFOp>(x));
  return s.div(s.c(1), s.add(s.c(1), e));
}

static Value softplus(const Scalar &s, Value x) {
  // log(1 + e^x) without overflow.
  Value tail = s.op<math::Log1pOp>(s.op<math::ExpOp>(s.op<arith::NegFOp>(s.op<math::AbsFOp>(x))));
  return s.add(s.max(x, s.c(0)), tail);
}

static Value gelu(const Scalar &s, Value x, bool viaTanh) {
  Value half = s.mul(s.c(0.5), x);
  if (!viaTanh)
    return s.mul(half, s.add(s.c(1), s.op<math::ErfOp>(s.mul(x, s.c(std::sqrt(0.5))))));
  Value cube = s.mul(s.mul(x, x), x);
  Value inner = s.mul(s.c(std::sqrt(2 / M_PI)), s.add(x, s.mul(s.c(0.044715), cube)));
  return s.mul(half, s.add(s.c(1), s.op<math::TanhOp>(inner)));
}

static void convertGelu(Node &node) {
  std::string kind = node.stringAttr("approximate");
  node.check(kind == "none" || kind == "tanh",
             "attribute 'approximate' is '" + kind + "'; accepted: none, tanh");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) { return gelu(s, a[0], kind == "tanh"); });
}

/// log(x + sqrt(x^2 + 1)) of the magnitude, by the logarithm near 1: exact for small and large x.
static void convertAsinh(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    Value x = s.op<math::AbsFOp>(a[0]), one = s.c(1), square = s.mul(x, x);
    Value root = s.op<math::SqrtOp>(s.add(square, one));
    Value small = s.op<math::Log1pOp>(s.add(x, s.div(square, s.add(root, one))));
    // The square overflows long before the result does.
    Value large = s.add(s.op<math::LogOp>(x), s.c(std::log(2.0)));
    Value result = s.select(s.lt(s.c(1e8), x), large, small);
    return s.op<math::CopySignOp>(result, a[0]);
  });
}

/// log(x + sqrt(x^2 - 1)) with t = x - 1; NaN below 1.
static void convertAcosh(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    Value t = s.sub(a[0], s.c(1));
    Value root = s.op<math::SqrtOp>(s.mul(t, s.add(t, s.c(2))));
    Value small = s.op<math::Log1pOp>(s.add(t, root));
    Value large = s.add(s.op<math::LogOp>(a[0]), s.c(std::log(2.0)));
    return s.select(s.lt(s.c(1e8), a[0]), large, small);
  });
}

/// log1p(2x / (1 - x)) / 2
static void convertAtanh(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    Value x = s.op<math::AbsFOp>(a[0]);
    Value ratio = s.div(s.add(x, x), s.sub(s.c(1), x));
    return s.op<math::CopySignOp>(s.mul(s.c(0.5), s.op<math::Log1pOp>(ratio)), a[0]);
  });
}

static void convertReciprocal(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) { return s.div(s.c(1), a[0]); });
}
static void convertSigmoid(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) { return sigmoid(s, a[0]); });
}
static void convertSoftplus(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) { return softplus(s, a[0]); });
}
static void convertMish(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    return s.mul(a[0], s.op<math::TanhOp>(softplus(s, a[0])));
  });
}
static void convertSoftsign(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    return s.div(a[0], s.add(s.c(1), s.op<math::AbsFOp>(a[0])));
  });
}
static void convertSwish(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    return s.mul(a[0], sigmoid(s, s.mul(s.c(alpha), a[0])));
  });
}
static void convertLeakyRelu(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    return s.select(s.lt(a[0], s.c(0)), s.mul(s.c(alpha), a[0]), a[0]);
  });
}
static void convertElu(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    Value negative = s.mul(s.c(alpha), s.op<math::ExpM1Op>(a[0]));
    return s.select(s.lt(a[0], s.c(0)), negative, a[0]);
  });
}
static void convertSelu(Node &node) {
  double alpha = node.floatAttr("alpha"), gamma = node.floatAttr("gamma");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    Value negative = s.mul(s.c(alpha), s.op<math::ExpM1Op>(a[0]));
    return s.mul(s.c(gamma), s.select(s.le(a[0], s.c(0)), negative, a[0]));
  });
}
static void convertCelu(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    Value e = s.op<math::ExpM1Op>(s.div(a[0], s.c(alpha)));
    return s.add(s.max(a[0], s.c(0)), s.min(s.c(0), s.mul(s.c(alpha), e)));
  });
}
static void convertThresholdedRelu(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    return s.select(s.lt(s.c(alpha), a[0]), a[0], s.c(0));
  });
}
static Value hardSigmoid(const Scalar &s, Value x, double alpha, double beta) {
  Value line = s.add(s.mul(s.c(alpha), x), s.c(beta));
  return s.max(s.c(0), s.min(s.c(1), line));
}
static void convertHardSigmoid(Node &node) {
  double alpha = node.floatAttr("alpha"), beta = node.floatAttr("beta");
  unaryFloat(node,
             [&](const Scalar &s, ValueRange a) { return hardSigmoid(s, a[0], alpha, beta); });
}
static void convertHardSwish(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    return s.mul(a[0], hardSigmoid(s, a[0], 1.0 / 6, 0.5));
  });
}

void registerElementwise(Registry &registry) {
  registry.add("Abs", 6, convertAbs);
  registry.add("Acos", 7, convertMath<math::AcosOp>);
  registry.add("Acosh", 9, convertAcosh);
  registry.add("Add", 7, convertArith<Arith::Add>);
  registry.add("And", 7, convertLogic<Logic::And>);
  registry.add("Asin", 7, convertMath<math::AsinOp>);
  registry.add("Asinh", 9, convertAsinh);
  registry.add("Atan", 7, convertMath<math::AtanOp>);
  registry.add("Atanh", 9, convertAtanh);
  registry.add("BitShift", 11, convertBitShift);
  registry.add("BitwiseAnd", 18, convertLogic<Logic::And>);
  registry.add("BitwiseNot", 18, convertBitwiseNot);
  registry.add("BitwiseOr", 18, convertLogic<Logic::Or>);
  registry.add("BitwiseXor", 18, convertLogic<Logic::Xor>);
  registry.add("Ceil", 6, convertMath<math::CeilOp>);
  registry.add("Celu", 12, convertCelu);
  registry.add("Clip", 6, convertClip6, 10);
  registry.add("Clip", 11, convertClip);
  registry.add("Cos", 7, convertMath<math::CosOp>);
  registry.add("Cosh", 9, convertMath<math::CoshOp>);
  registry.add("Div", 7, convertArith<Arith::Div>);
  registry.add("Elu", 6, convertElu);
  registry.add("Equal", 7, convertCompare<Compare::Equal>);
  registry.add("Erf", 9, convertMath<math::ErfOp>);
  registry.add("Exp", 6, convertMath<math::ExpOp>);
  registry.add("Floor", 6, convertMath<math::FloorOp>);
  registry.add("Gelu", 20, convertGelu);
  registry.add("Greater", 7, convertCompare<Compare::Greater>);
  registry.add("GreaterOrEqual", 12, convertCompare<Compare::GreaterOrEqual>);
  registry.add("HardSigmoid", 6, convertHardSigmoid);
  registry.add("HardSwish", 14, convertHardSwish);
  registry.add("IsInf", 10, convertIsInf);
  registry.add("IsNaN", 9, convertIsNaN);
  registry.add("LeakyRelu", 6, convertLeakyRelu);
  registry.add("Less", 7, convertCompare<Compare::Less>);
  registry.add("LessOrEqual", 12, convertCompare<Compare::LessOrEqual>);
  registry.add("Log", 6, convertMath<math::LogOp>);
  registry.add("Max", 8, convertVariadic<Variadic::Max>);
  registry.add("Mean", 8, convertVariadic<Variadic::Mean>);
  registry.add("Min", 8, convertVariadic<Variadic::Min>);
  registry.add("Mish", 18, convertMish);
  registry.add("Mod", 10, convertMod);
  registry.add("Mul", 7, convertArith<Arith::Mul>);
  registry.add("Neg", 6, convertNeg);
  registry.add("Not", 1, convertNot);
  registry.add("Or", 7, convertLogic<Logic::Or>);
  registry.add("PRelu", 7, convertPRelu);
  registry.add("Pow", 7, convertPow);
  registry.add("Reciprocal", 6, convertReciprocal);
  registry.add("Relu", 6, convertRelu);
  registry.add("Round", 11, convertMath<math::RoundEvenOp>);
  registry.add("Selu", 6, convertSelu);
  registry.add("Shrink", 9, convertShrink);
  registry.add("Sigmoid", 6, convertSigmoid);
  registry.add("Sign", 9, convertSign);
  registry.add("Sin", 7, convertMath<math::SinOp>);
  registry.add("Sinh", 9, convertMath<math::SinhOp>);
  registry.add("Softplus", 1, convertSoftplus);
  registry.add("Softsign", 1, convertSoftsign);
  registry.add("Sqrt", 6, convertMath<math::SqrtOp>);
  registry.add("Sub", 7, convertArith<Arith::Sub>);
  registry.add("Sum", 8, convertVariadic<Variadic::Sum>);
  registry.add("Swish", 24, convertSwish);
  registry.add("Tan", 7, convertMath<math::TanOp>);
  registry.add("Tanh", 6, convertMath<math::TanhOp>);
  registry.add("ThresholdedRelu", 10, convertThresholdedRelu);
  registry.add("Where", 9, convertWhere);
  registry.add("Xor", 7, convertLogic<Logic::Xor>);
}

} // namespace attune::onnx
