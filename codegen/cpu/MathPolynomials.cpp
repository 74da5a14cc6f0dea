// Largest error measured over all f32 inputs (test/codegen/cpu/MathTest.cpp holds the bounds):
// exp, exp2, expm1 2 ulp, log, log2, log10, log1p 2, tanh 5 (6 without fused multiply-add), erf 7,
// sin, cos 2, pow 1.
#include "attune/codegen/cpu/Math.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace attune::codegen {

namespace {

/// Arithmetic on values of one shape: a scalar or a vector, f32 unless stated.
struct MathBuilder {
  OpBuilder &b;
  Location loc;
  const CpuTarget &target;
  Type shape;

  using P = arith::CmpFPredicate;

  Type as(Type element) const {
    auto vector = dyn_cast<VectorType>(shape);
    return vector ? Type(vector.clone(element)) : element;
  }
  Type f32() const { return as(b.getF32Type()); }
  Type f64() const { return as(b.getF64Type()); }
  Type i32() const { return as(b.getI32Type()); }
  Type i64() const { return as(b.getI64Type()); }

  Value constant(Type type, TypedAttr scalar) const {
    if (auto vector = dyn_cast<VectorType>(type))
      return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(vector, Attribute(scalar)));
    return arith::ConstantOp::create(b, loc, scalar);
  }
  Value F(double value) const { return constant(f32(), b.getF32FloatAttr(value)); }
  Value D(double value) const { return constant(f64(), b.getF64FloatAttr(value)); }
  Value I(int32_t value) const { return constant(i32(), b.getI32IntegerAttr(value)); }
  Value L(int64_t value) const { return constant(i64(), b.getI64IntegerAttr(value)); }
  Value inf() const { return F(std::numeric_limits<float>::infinity()); }
  Value nan() const { return F(std::numeric_limits<float>::quiet_NaN()); }

  template <typename Op> Value bin(Value x, Value y) const { return Op::create(b, loc, x, y); }
  Value add(Value x, Value y) const { return bin<arith::AddFOp>(x, y); }
  Value sub(Value x, Value y) const { return bin<arith::SubFOp>(x, y); }
  Value mul(Value x, Value y) const { return bin<arith::MulFOp>(x, y); }
  Value div(Value x, Value y) const { return bin<arith::DivFOp>(x, y); }
  Value fma(Value x, Value y, Value z) const {
    if (!target.fma)
      return add(mul(x, y), z);
    return math::FmaOp::create(b, loc, x, y, z);
  }
  Value abs(Value x) const { return math::AbsFOp::create(b, loc, x); }
  Value iadd(Value x, Value y) const { return bin<arith::AddIOp>(x, y); }
  Value isub(Value x, Value y) const { return bin<arith::SubIOp>(x, y); }
  Value iand(Value x, Value y) const { return bin<arith::AndIOp>(x, y); }
  Value ior(Value x, Value y) const { return bin<arith::OrIOp>(x, y); }
  Value ixor(Value x, Value y) const { return bin<arith::XOrIOp>(x, y); }
  Value shl(Value x, Value y) const { return bin<arith::ShLIOp>(x, y); }
  Value sra(Value x, Value y) const { return bin<arith::ShRSIOp>(x, y); }
  Value cast(Type type, Value x) const { return arith::BitcastOp::create(b, loc, type, x); }
  Value cmp(P predicate, Value x, Value y) const {
    return arith::CmpFOp::create(b, loc, predicate, x, y);
  }
  Value ieq(Value x, Value y) const {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x, y);
  }
  Value select(Value condition, Value x, Value y) const {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
  /// NaN stays NaN: a compare with it fails and takes x.
  Value clamp(Value x, Value low, Value high) const {
    x = select(cmp(P::OGT, low, x), low, x);
    return select(cmp(P::OLT, high, x), high, x);
  }
  /// sum of coefficients[i] * x^i, in the precision of `one`'s type.
  Value poly(Value x, ArrayRef<double> coefficients) const {
    bool wide = getElementTypeOrSelf(x.getType()).isF64();
    auto c = [&](double value) { return wide ? D(value) : F(value); };
    Value result = c(coefficients.back());
    for (double coefficient : llvm::reverse(coefficients.drop_back()))
      result = fma(result, x, c(coefficient));
    return result;
  }
};

/// Adding it to |x| < 2^22 leaves round(x) in the low mantissa bits.
constexpr double kMagic = 12582912.0;
constexpr double kMagic64 = 6755399441055744.0;

/// x * 2^n for the n in the low bits of `shifted` = n + kMagic, n in [-252, 254].
Value scaleByPower(const MathBuilder &m, Value x, Value shifted) {
  auto vector = dyn_cast<VectorType>(m.shape);
  if (m.target.maskedMemory && vector && vector.getRank() == 1 && vector.getNumElements() == 16) {
    Value n = m.sub(shifted, m.F(kMagic));
    Value mask = arith::ConstantOp::create(m.b, m.loc, m.b.getI16IntegerAttr(-1));
    Value rounding = arith::ConstantOp::create(m.b, m.loc, m.b.getI32IntegerAttr(4));
    return LLVM::CallIntrinsicOp::create(m.b, m.loc, m.f32(),
                                         m.b.getStringAttr("llvm.x86.avx512.mask.scalef.ps.512"),
                                         ValueRange{x, n, x, mask, rounding})
        .getResults();
  }
  // Two factors, so that denormal results round once and 2^128 does not overflow too early.
  Value bits = m.cast(m.i32(), shifted);
  Value half = m.sra(bits, m.I(1));
  auto power = [&](Value n) { return m.cast(m.f32(), m.iadd(m.shl(n, m.I(23)), m.I(127 << 23))); };
  return m.mul(m.mul(x, power(half)), power(m.isub(bits, half)));
}

constexpr double kLn2Hi = 0.693145751953125, kLn2Lo = 1.42860682030941723212e-6;
constexpr double kLog2E = 1.44269504088896341;

Value expandExp(const MathBuilder &m, Value x) {
  x = m.clamp(x, m.F(-104.0), m.F(89.0));
  Value shifted = m.fma(x, m.F(kLog2E), m.F(kMagic));
  Value n = m.sub(shifted, m.F(kMagic));
  Value r = m.fma(n, m.F(-kLn2Hi), x);
  r = m.fma(n, m.F(-kLn2Lo), r);
  Value p = m.poly(r, {1.0, 1.0, 0.4999999403953552, 0.1666651964187622, 0.04166839271783829,
                       0.008368780836462975, 0.001381446490995586});
  return scaleByPower(m, p, shifted);
}

Value expandExp2(const MathBuilder &m, Value x) {
  x = m.clamp(x, m.F(-151.0), m.F(129.0));
  Value shifted = m.add(x, m.F(kMagic));
  Value f = m.sub(x, m.sub(shifted, m.F(kMagic)));
  Value p = m.poly(f, {1.0, 0.693147182464599609375, 0.24022650718688964844, 0.05550327897071838379,
                       0.00961807090789079666, 0.00133977446239441633, 0.00015353362551889});
  return scaleByPower(m, p, shifted);
}

/// 2^n * expm1(r) + (2^n - 1), at half scale so that 2^128 does not overflow.
Value expandExpM1(const MathBuilder &m, Value x) {
  Value argument = x;
  x = m.clamp(x, m.F(-20.0), m.F(89.0));
  Value shifted = m.fma(x, m.F(kLog2E), m.F(kMagic));
  Value n = m.sub(shifted, m.F(kMagic));
  Value r = m.fma(n, m.F(-kLn2Hi), x);
  r = m.fma(n, m.F(-kLn2Lo), r);
  Value q = m.poly(r, {0.5, 0.1666666567325592, 0.04166629537940025, 0.008333497680723667,
                       0.0013944759266451001, 0.00019790249643847346});
  Value p = m.fma(m.mul(r, r), q, r);
  Value bits = m.shl(m.cast(m.i32(), shifted), m.I(23));
  Value half = m.cast(m.f32(), m.iadd(bits, m.I(126 << 23)));
  Value result = m.fma(half, p, m.sub(half, m.F(0.5)));
  result = m.add(result, result);
  // -0 and denormals, which the sums above lose.
  return m.select(m.cmp(MathBuilder::P::OLT, m.abs(argument), m.F(1e-10)), argument, result);
}

struct LogParts {
  Value exponent, log; ///< x = 2^exponent * m, log = ln(m), m in [sqrt(1/2), sqrt(2))
};

LogParts splitLog(const MathBuilder &m, Value x) {
  Value tiny = m.cmp(MathBuilder::P::OLT, x, m.F(1.17549435e-38));
  Value scaled = m.select(tiny, m.mul(x, m.F(8388608.0)), x);
  Value bits = m.cast(m.i32(), scaled);
  Value e = m.sra(m.isub(bits, m.I(0x3f3504f3)), m.I(23));
  Value f = m.sub(m.cast(m.f32(), m.isub(bits, m.shl(e, m.I(23)))), m.F(1.0));
  e = m.isub(e, m.select(tiny, m.I(23), m.I(0)));
  Value z = m.mul(f, f);
  Value p = m.poly(f, {3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1,
                       1.4249322787e-1, -1.2420140846e-1, 1.1676998740e-1, -1.1514610310e-1,
                       7.0376836292e-2});
  Value log = m.fma(m.mul(f, z), p, m.mul(z, m.F(-0.5)));
  return {arith::SIToFPOp::create(m.b, m.loc, m.f32(), e), m.add(f, log)};
}

/// -inf at 0, NaN below, inf at inf, NaN at NaN.
Value logSpecials(const MathBuilder &m, Value x, Value log) {
  using P = MathBuilder::P;
  log = m.select(m.cmp(P::OEQ, x, m.inf()), x, log);
  log = m.select(m.cmp(P::OEQ, x, m.F(0.0)), m.F(-std::numeric_limits<float>::infinity()), log);
  return m.select(m.cmp(P::ULT, x, m.F(0.0)), m.nan(), log);
}

/// ln(x) * scale, with ln(2) * scale = high + low.
Value expandLogBase(const MathBuilder &m, Value x, double scale, double high, double low) {
  LogParts parts = splitLog(m, x);
  Value result = scale == 1.0 ? parts.log : m.mul(parts.log, m.F(scale));
  if (low != 0.0)
    result = m.fma(parts.exponent, m.F(low), result);
  return logSpecials(m, x, m.fma(parts.exponent, m.F(high), result));
}
Value expandLog(const MathBuilder &m, Value x) { return expandLogBase(m, x, 1.0, kLn2Hi, kLn2Lo); }
Value expandLog2(const MathBuilder &m, Value x) { return expandLogBase(m, x, kLog2E, 1.0, 0.0); }
Value expandLog10(const MathBuilder &m, Value x) {
  return expandLogBase(m, x, 0.43429448190325182765, 0.301025390625, 4.605038981195214e-6);
}

/// log(u) for u = 1 + x rounded, plus what the rounding lost over u.
Value expandLog1p(const MathBuilder &m, Value x) {
  using P = MathBuilder::P;
  Value u = m.add(x, m.F(1.0));
  Value lost = m.sub(x, m.sub(u, m.F(1.0)));
  Value result = m.add(expandLog(m, u), m.div(lost, u));
  // Where nothing was added, and where u is 0 or infinite, there is no correction to make.
  result = m.select(m.cmp(P::OLT, m.abs(x), m.F(1e-8)), x, result);
  result =
      m.select(m.cmp(P::OEQ, u, m.F(0.0)), m.F(-std::numeric_limits<float>::infinity()), result);
  return m.select(m.cmp(P::OEQ, x, m.inf()), x, result);
}

Value expandTanh(const MathBuilder &m, Value x) {
  x = m.clamp(x, m.F(-7.90531110763549805), m.F(7.90531110763549805));
  Value y = m.mul(x, x);
  Value p = m.poly(y, {4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05,
                       5.12229709037114e-08, -8.60467152213735e-11, 2.00018790482477e-13,
                       -2.76076847742355e-16});
  Value q = m.poly(
      y, {4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06});
  return m.mul(x, m.div(p, q));
}

Value expandErf(const MathBuilder &m, Value x) {
  x = m.clamp(x, m.F(-4.0), m.F(4.0));
  Value y = m.mul(x, x);
  Value p = m.poly(y, {-1.60960333262415e-02, -2.95459980854025e-03, -7.34990630326855e-04,
                       -5.69250639462346e-05, -2.10102402082508e-06, 2.77068142495902e-08,
                       -2.72614225801306e-10});
  Value q = m.poly(y, {-1.42647390514189e-02, -7.37332916720468e-03, -1.68282697438203e-03,
                       -2.13374055278905e-04, -1.45660718464996e-05});
  return m.mul(x, m.div(p, q));
}

/// sin(x + quadrants * pi / 2), reduced in f64: exact enough below kTrigLimit.
constexpr double kTrigLimit = 268435456.0;

Value trigPolynomial(const MathBuilder &m, Value x, int quadrants) {
  Value wide = arith::ExtFOp::create(m.b, m.loc, m.f64(), x);
  Value shifted = m.fma(wide, m.D(0.63661977236758134308), m.D(kMagic64));
  Value k = m.sub(shifted, m.D(kMagic64));
  // Parts of 24 bits: their products with k are exact without a fused multiply-add, too.
  Value r = m.fma(k, m.D(-1.570796251296997), wide);
  r = m.fma(k, m.D(-7.549789415861596e-08), r);
  r = m.fma(k, m.D(-5.390302858158119e-15), r);
  r = arith::TruncFOp::create(m.b, m.loc, m.f32(), r);
  Value quadrant = arith::TruncIOp::create(m.b, m.loc, m.i32(), m.cast(m.i64(), shifted));
  quadrant = m.iadd(quadrant, m.I(quadrants));

  Value z = m.mul(r, r);
  Value sine = m.poly(z, {-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4});
  sine = m.fma(m.mul(sine, z), r, r);
  Value cosine = m.poly(z, {4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5});
  cosine = m.fma(m.mul(cosine, z), z, m.fma(z, m.F(-0.5), m.F(1.0)));
  Value odd = m.ieq(m.iand(quadrant, m.I(1)), m.I(1));
  Value magnitude = m.select(odd, cosine, sine);
  Value sign = m.shl(m.iand(quadrant, m.I(2)), m.I(30));
  return m.cast(m.f32(), m.ixor(m.cast(m.i32(), magnitude), sign));
}

/// The polynomial, and libm lane by lane where an argument is huge.
template <typename Op> Value expandTrig(const MathBuilder &m, Value x, int quadrants) {
  Value fast = trigPolynomial(m, x, quadrants);
  Value huge = m.cmp(MathBuilder::P::OGT, m.abs(x), m.F(kTrigLimit));
  auto vector = dyn_cast<VectorType>(m.shape);
  Value any = huge;
  if (vector) {
    if (vector.getRank() != 1)
      return {};
    any = vector::ReductionOp::create(m.b, m.loc, vector::CombiningKind::OR, huge);
  }
  auto call = [&](OpBuilder &b, Location loc, Value scalar) -> Value {
    auto op = Op::create(b, loc, scalar);
    op->setAttr(kLeftToLibm, b.getUnitAttr());
    return op;
  };
  auto slow = [&](OpBuilder &b, Location loc) {
    Value result;
    if (!vector) {
      result = call(b, loc, x);
    } else {
      Value zero = arith::ConstantIndexOp::create(b, loc, 0);
      Value one = arith::ConstantIndexOp::create(b, loc, 1);
      Value lanes = arith::ConstantIndexOp::create(b, loc, vector.getNumElements());
      auto loop = scf::ForOp::create(
          b, loc, zero, lanes, one, x, [&](OpBuilder &b, Location loc, Value lane, ValueRange v) {
            Value scalar = vector::ExtractOp::create(b, loc, x, OpFoldResult(lane));
            Value next =
                vector::InsertOp::create(b, loc, call(b, loc, scalar), v[0], OpFoldResult(lane));
            scf::YieldOp::create(b, loc, next);
          });
      result = loop.getResult(0);
    }
    scf::YieldOp::create(b, loc, result);
  };
  return scf::IfOp::create(m.b, m.loc, any, slow,
                           [&](OpBuilder &b, Location loc) { scf::YieldOp::create(b, loc, fast); })
      .getResult(0);
}
Value expandSin(const MathBuilder &m, Value x) { return expandTrig<math::SinOp>(m, x, 0); }
Value expandCos(const MathBuilder &m, Value x) { return expandTrig<math::CosOp>(m, x, 1); }

/// f64 log2 of a positive finite f64.
Value wideLog2(const MathBuilder &m, Value x) {
  Value bits = m.cast(m.i64(), x);
  Value e = m.sra(m.isub(bits, m.L(0x3fe6a09e667f3bcd)), m.L(52));
  Value mantissa = m.cast(m.f64(), m.isub(bits, m.shl(e, m.L(52))));
  Value f = m.sub(mantissa, m.D(1.0));
  Value s = m.div(f, m.add(f, m.D(2.0)));
  Value p =
      m.poly(m.mul(s, s), {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15});
  // |e| < 2048, so the low half converts.
  Value narrow = arith::TruncIOp::create(m.b, m.loc, m.i32(), e);
  Value exponent = arith::SIToFPOp::create(m.b, m.loc, m.f64(), narrow);
  return m.fma(m.mul(s, p), m.D(kLog2E), exponent);
}

/// f64 2^x for |x| <= 1000.
Value wideExp2(const MathBuilder &m, Value x) {
  Value shifted = m.add(x, m.D(kMagic64));
  Value r = m.mul(m.sub(x, m.sub(shifted, m.D(kMagic64))), m.D(0.693147180559945309417));
  Value p = m.poly(r, {1.0, 1.0, 0.5, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040,
                       1.0 / 40320, 1.0 / 362880, 1.0 / 3628800});
  Value bits = m.shl(m.cast(m.i64(), shifted), m.L(52));
  return m.cast(m.f64(), m.iadd(m.cast(m.i64(), p), bits));
}

/// Above 2^23 every f32 is an integer.
Value isInteger(const MathBuilder &m, Value x) {
  using P = MathBuilder::P;
  Value magnitude = m.abs(x);
  Value rounded = m.sub(m.add(magnitude, m.F(8388608.0)), m.F(8388608.0));
  return m.ior(m.cmp(P::OGE, magnitude, m.F(8388608.0)), m.cmp(P::OEQ, magnitude, rounded));
}

Value expandPow(const MathBuilder &m, Value x, Value y) {
  using P = MathBuilder::P;
  Value magnitude = m.abs(x), zero = m.F(0.0), one = m.F(1.0);
  Value wide = arith::ExtFOp::create(m.b, m.loc, m.f64(), magnitude);
  Value log = wideLog2(m, wide);
  constexpr double inf = std::numeric_limits<double>::infinity();
  log = m.select(m.cmp(P::OEQ, magnitude, zero), m.D(-inf), log);
  log = m.select(m.cmp(P::OEQ, magnitude, m.inf()), m.D(inf), log);
  log = m.select(m.cmp(P::UNO, x, x), m.D(std::numeric_limits<double>::quiet_NaN()), log);
  Value exponent = m.mul(log, arith::ExtFOp::create(m.b, m.loc, m.f64(), y));
  exponent = m.select(m.cmp(P::OEQ, magnitude, one), m.D(0.0), exponent);
  exponent = m.clamp(exponent, m.D(-1000.0), m.D(1000.0));
  Value isNaN = m.cmp(P::UNO, exponent, exponent);
  Value result = arith::TruncFOp::create(m.b, m.loc, m.f32(), wideExp2(m, exponent));
  result = m.select(isNaN, m.nan(), result);

  Value integer = isInteger(m, y);
  Value even = isInteger(m, m.mul(y, m.F(0.5)));
  Value signBit = m.iand(m.cast(m.i32(), x), m.I(std::numeric_limits<int32_t>::min()));
  Value flip = m.select(even, m.I(0), m.select(integer, signBit, m.I(0)));
  result = m.cast(m.f32(), m.ixor(m.cast(m.i32(), result), flip));
  Value finiteNegative = m.iand(m.cmp(P::OLT, x, zero),
                                m.cmp(P::OGT, x, m.F(-std::numeric_limits<float>::infinity())));
  Value undefined = m.iand(finiteNegative, m.ixor(integer, m.ieq(m.I(0), m.I(0))));
  result = m.select(undefined, m.nan(), result);
  Value isOne = m.ior(m.cmp(P::OEQ, y, zero), m.cmp(P::OEQ, x, one));
  return m.select(isOne, one, result);
}

template <typename Op, Value (*expand)(const MathBuilder &, Value)>
struct ExpandUnary : OpRewritePattern<Op> {
  ExpandUnary(MLIRContext *context, const CpuTarget &target)
      : OpRewritePattern<Op>(context), target(target) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32() || op->hasAttr(kLeftToLibm))
      return failure();
    MathBuilder m{rewriter, op.getLoc(), target, op.getType()};
    Value result = expand(m, op.getOperand());
    if (!result)
      return failure();
    rewriter.replaceOp(op, result);
    return success();
  }
  const CpuTarget &target;
};

struct ExpandPow : OpRewritePattern<math::PowFOp> {
  ExpandPow(MLIRContext *context, const CpuTarget &target)
      : OpRewritePattern(context), target(target) {}
  LogicalResult matchAndRewrite(math::PowFOp op, PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32())
      return failure();
    MathBuilder m{rewriter, op.getLoc(), target, op.getType()};
    Value x = op.getLhs();
    auto splat = [&]() -> std::optional<float> {
      FloatAttr scalar;
      DenseElementsAttr dense;
      if (matchPattern(op.getRhs(), m_Constant(&scalar)))
        return scalar.getValue().convertToFloat();
      if (matchPattern(op.getRhs(), m_Constant(&dense)) && dense.isSplat())
        return dense.getSplatValue<APFloat>().convertToFloat();
      return std::nullopt;
    }();
    Value result;
    if (splat == 2.0f)
      result = m.mul(x, x);
    else if (splat == 3.0f)
      result = m.mul(m.mul(x, x), x);
    else if (splat == -1.0f)
      result = m.div(m.F(1.0), x);
    else
      result = expandPow(m, x, op.getRhs());
    rewriter.replaceOp(op, result);
    return success();
  }
  const CpuTarget &target;
};

} // namespace

void populateMathPolynomialPatterns(RewritePatternSet &patterns, const CpuTarget &target) {
  patterns.add<ExpandUnary<math::ExpOp, expandExp>, ExpandUnary<math::Exp2Op, expandExp2>,
               ExpandUnary<math::ExpM1Op, expandExpM1>, ExpandUnary<math::LogOp, expandLog>,
               ExpandUnary<math::Log2Op, expandLog2>, ExpandUnary<math::Log10Op, expandLog10>,
               ExpandUnary<math::Log1pOp, expandLog1p>, ExpandUnary<math::TanhOp, expandTanh>,
               ExpandUnary<math::ErfOp, expandErf>, ExpandUnary<math::SinOp, expandSin>,
               ExpandUnary<math::CosOp, expandCos>, ExpandPow>(patterns.getContext(), target);
}

} // namespace attune::codegen
