#include "attune/frontend/onnx/Scalar.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::onnx {

template <typename F, typename I> static Value either(const Scalar &s, Value x, Value y) {
  return s.isFloat() ? s.op<F>(x, y) : s.op<I>(x, y);
}

Value Scalar::add(Value x, Value y) const {
  return either<arith::AddFOp, arith::AddIOp>(*this, x, y);
}
Value Scalar::sub(Value x, Value y) const {
  return either<arith::SubFOp, arith::SubIOp>(*this, x, y);
}
Value Scalar::mul(Value x, Value y) const {
  return either<arith::MulFOp, arith::MulIOp>(*this, x, y);
}
Value Scalar::max(Value x, Value y) const {
  return dtype.isUnsigned() ? op<arith::MaxUIOp>(x, y)
                            : either<arith::MaximumFOp, arith::MaxSIOp>(*this, x, y);
}
Value Scalar::min(Value x, Value y) const {
  return dtype.isUnsigned() ? op<arith::MinUIOp>(x, y)
                            : either<arith::MinimumFOp, arith::MinSIOp>(*this, x, y);
}
Value Scalar::select(Value condition, Value x, Value y) const {
  return op<arith::SelectOp>(condition, x, y);
}

static Value compare(const Scalar &s, arith::CmpFPredicate ofFloats, arith::CmpIPredicate ofSigned,
                     arith::CmpIPredicate ofUnsigned, Value x, Value y) {
  if (s.isFloat())
    return s.op<arith::CmpFOp>(ofFloats, x, y);
  bool isUnsigned = s.dtype.isUnsigned() || s.dtype.isBool();
  return s.op<arith::CmpIOp>(isUnsigned ? ofUnsigned : ofSigned, x, y);
}

Value Scalar::eq(Value x, Value y) const {
  using I = arith::CmpIPredicate;
  return compare(*this, arith::CmpFPredicate::OEQ, I::eq, I::eq, x, y);
}
Value Scalar::lt(Value x, Value y) const {
  using I = arith::CmpIPredicate;
  return compare(*this, arith::CmpFPredicate::OLT, I::slt, I::ult, x, y);
}
Value Scalar::le(Value x, Value y) const {
  using I = arith::CmpIPredicate;
  return compare(*this, arith::CmpFPredicate::OLE, I::sle, I::ule, x, y);
}

namespace {
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
} // namespace

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

Tensor sameType(Node &node, ArrayRef<Tensor> inputs, ScalarFn fn, ExtentFn symbolic) {
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

void unaryFloat(Node &node, ScalarFn fn) {
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

} // namespace attune::onnx
