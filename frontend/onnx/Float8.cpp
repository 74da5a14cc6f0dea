#include "attune/frontend/onnx/Float8.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/APFloat.h"

using namespace mlir;

namespace attune::onnx {
namespace {

struct Format {
  unsigned mantissa, bias;
  unsigned largest;  ///< encoding of the largest finite value
  unsigned overflow; ///< of what is larger, without saturation
  bool zeroNaN;      ///< FNUZ: 0x80 is the only NaN, there is no negative zero
  bool infinite;
};

Format formatOf(DType dtype) {
  switch (int(dtype)) {
  case 17:
    return {3, 7, 0x7e, 0x7f, false, false};
  case 18:
    return {3, 8, 0x7f, 0x80, true, false};
  case 19:
    return {2, 15, 0x7b, 0x7c, false, true};
  default:
    return {2, 16, 0x7f, 0x80, true, false};
  }
}

const llvm::fltSemantics &semanticsOf(DType dtype) {
  switch (int(dtype)) {
  case 17:
    return llvm::APFloat::Float8E4M3FN();
  case 18:
    return llvm::APFloat::Float8E4M3FNUZ();
  case 19:
    return llvm::APFloat::Float8E5M2();
  default:
    return llvm::APFloat::Float8E5M2FNUZ();
  }
}

/// Short names for arithmetic on i32 and f32.
struct Code {
  OpBuilder &b;
  Location loc;

  Value i(int64_t v) const { return arith::ConstantIntOp::create(b, loc, v, 32); }
  Value f(double v) const {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(static_cast<float>(v)));
  }
  template <typename Op> Value op(Value x, Value y) const { return b.createOrFold<Op>(loc, x, y); }
  Value eq(Value x, Value y) const { return cmp(arith::CmpIPredicate::eq, x, y); }
  Value cmp(arith::CmpIPredicate p, Value x, Value y) const {
    return b.createOrFold<arith::CmpIOp>(loc, p, x, y);
  }
  Value select(Value c, Value x, Value y) const {
    return b.createOrFold<arith::SelectOp>(loc, c, x, y);
  }
  Value bits(Value f) const { return b.createOrFold<arith::BitcastOp>(loc, b.getI32Type(), f); }
  Value real(Value i) const { return b.createOrFold<arith::BitcastOp>(loc, b.getF32Type(), i); }
};

} // namespace

Value decodeFloat8(OpBuilder &b, Location loc, Value value, DType dtype) {
  Format format = formatOf(dtype);
  Code c{b, loc};
  int64_t m = format.mantissa;
  Value raw = b.createOrFold<arith::ExtUIOp>(loc, b.getI32Type(), value);
  Value magnitude = c.op<arith::AndIOp>(raw, c.i(0x7f));
  Value sign = c.op<arith::ShLIOp>(c.op<arith::AndIOp>(raw, c.i(0x80)), c.i(24));
  Value exponent = c.op<arith::ShRUIOp>(magnitude, c.i(m));
  Value fraction = c.op<arith::AndIOp>(magnitude, c.i((1 << m) - 1));
  Value normal = c.op<arith::AddIOp>(c.op<arith::ShLIOp>(magnitude, c.i(23 - m)),
                                     c.i(int64_t(127 - format.bias) << 23));
  // Below the smallest exponent: the fraction in units of the last place.
  Value small = c.op<arith::MulFOp>(b.createOrFold<arith::UIToFPOp>(loc, b.getF32Type(), fraction),
                                    c.f(std::ldexp(1.0, 1 - int(format.bias) - int(m))));
  Value result = c.select(c.eq(exponent, c.i(0)), c.bits(small), normal);
  constexpr int64_t kNaN = 0x7fc00000, kInfinity = 0x7f800000;
  if (format.infinite) {
    result = c.select(c.eq(magnitude, c.i(0x7c)), c.i(kInfinity), result);
    result = c.select(c.cmp(arith::CmpIPredicate::ugt, magnitude, c.i(0x7c)), c.i(kNaN), result);
  } else if (!format.zeroNaN) {
    result = c.select(c.eq(magnitude, c.i(0x7f)), c.i(kNaN), result);
  }
  result = c.op<arith::OrIOp>(result, sign);
  if (format.zeroNaN)
    result = c.select(c.eq(raw, c.i(0x80)), c.i(kNaN), result);
  return c.real(result);
}

Value encodeFloat8(OpBuilder &b, Location loc, Value value, DType dtype, bool saturate) {
  Format format = formatOf(dtype);
  Code c{b, loc};
  int64_t m = format.mantissa, drop = 23 - m;
  Value raw = c.bits(value), magnitude = c.op<arith::AndIOp>(raw, c.i(0x7fffffff));
  Value sign = c.op<arith::AndIOp>(c.op<arith::ShRUIOp>(raw, c.i(24)), c.i(0x80));
  // Half of the last place that stays, less one where that place is even, carries upwards.
  Value odd = c.op<arith::AndIOp>(c.op<arith::ShRUIOp>(magnitude, c.i(drop)), c.i(1));
  Value carried =
      c.op<arith::AddIOp>(c.op<arith::AddIOp>(magnitude, odd), c.i((int64_t(1) << (drop - 1)) - 1));
  Value normal = c.op<arith::SubIOp>(c.op<arith::ShRUIOp>(carried, c.i(drop)),
                                     c.i(int64_t(127 - format.bias) << m));
  Value scaled =
      c.op<arith::MulFOp>(c.real(magnitude), c.f(std::ldexp(1.0, int(format.bias) - 1 + int(m))));
  Value least = c.i(int64_t(127 + 1 - int(format.bias)) << 23);
  Value isSmall = c.cmp(arith::CmpIPredicate::ult, magnitude, least);
  Value safe = c.select(isSmall, scaled, c.f(0));
  Value small = b.createOrFold<arith::FPToUIOp>(loc, b.getI32Type(),
                                                b.createOrFold<math::RoundEvenOp>(loc, safe));
  Value result = c.select(isSmall, small, normal);
  Value tooLarge = c.cmp(arith::CmpIPredicate::sgt, result, c.i(format.largest));
  Value isNaN = c.cmp(arith::CmpIPredicate::ugt, magnitude, c.i(0x7f800000));
  result = c.select(tooLarge, c.i(saturate ? format.largest : format.overflow), result);
  if (format.zeroNaN) {
    // Neither zero nor NaN has a sign.
    Value plain = c.op<arith::OrIOp>(c.eq(result, c.i(0)), c.eq(result, c.i(0x80)));
    result = c.op<arith::OrIOp>(result, c.select(plain, c.i(0), sign));
    result = c.select(isNaN, c.i(0x80), result);
  } else {
    result = c.select(isNaN, c.i(format.infinite ? 0x7e : 0x7f), result);
    result = c.op<arith::OrIOp>(result, sign);
  }
  return b.createOrFold<arith::TruncIOp>(loc, b.getI8Type(), result);
}

uint8_t encodeFloat8(double value, DType dtype) {
  llvm::APFloat number(value);
  bool lost;
  number.convert(semanticsOf(dtype), llvm::APFloat::rmNearestTiesToEven, &lost);
  return number.bitcastToAPInt().getZExtValue();
}

double decodeFloat8(uint8_t bits, DType dtype) {
  llvm::APFloat number(semanticsOf(dtype), llvm::APInt(8, bits));
  bool lost;
  number.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &lost);
  return number.convertToDouble();
}

} // namespace attune::onnx
