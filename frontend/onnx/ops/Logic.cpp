#include "attune/frontend/onnx/Scalar.h"

using namespace mlir;

namespace attune::onnx {

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

void registerLogic(Registry &registry) {
  registry.add("And", 7, convertLogic<Logic::And>);
  registry.add("BitShift", 11, convertBitShift);
  registry.add("BitwiseAnd", 18, convertLogic<Logic::And>);
  registry.add("BitwiseNot", 18, convertBitwiseNot);
  registry.add("BitwiseOr", 18, convertLogic<Logic::Or>);
  registry.add("BitwiseXor", 18, convertLogic<Logic::Xor>);
  registry.add("Equal", 7, convertCompare<Compare::Equal>);
  registry.add("Greater", 7, convertCompare<Compare::Greater>);
  registry.add("GreaterOrEqual", 12, convertCompare<Compare::GreaterOrEqual>);
  registry.add("IsInf", 10, convertIsInf);
  registry.add("IsNaN", 9, convertIsNaN);
  registry.add("Less", 7, convertCompare<Compare::Less>);
  registry.add("LessOrEqual", 12, convertCompare<Compare::LessOrEqual>);
  registry.add("Not", 1, convertNot);
  registry.add("Or", 7, convertLogic<Logic::Or>);
  registry.add("Where", 9, convertWhere);
  registry.add("Xor", 7, convertLogic<Logic::Xor>);
}

} // namespace attune::onnx
