#include "attune/codegen/gpu/Math.h"

#include "attune/codegen/cpu/Math.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace attune::codegen {

namespace {

/// Scalars of a huge angle.
struct Angle {
  OpBuilder &b;
  Location loc;

  Value constant(Type type, int64_t value) const {
    return arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, value));
  }
  Value F(double value) const {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(value)));
  }
  Value i32(int64_t value) const { return constant(b.getI32Type(), value); }
  Value i64(int64_t value) const { return constant(b.getI64Type(), value); }
  template <typename Op> Value bin(Value x, Value y) const { return Op::create(b, loc, x, y); }
  Value wide(Value x) const { return arith::ExtUIOp::create(b, loc, b.getI64Type(), x); }
  Value select(Value condition, Value x, Value y) const {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
  Value isZero(Value x) const {
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(x.getType()));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x, zero);
  }
  Value cast(Type type, Value x) const { return arith::BitcastOp::create(b, loc, type, x); }
  /// sum of coefficients[i] * x^i
  Value poly(Value x, ArrayRef<double> coefficients) const {
    Value result = F(coefficients.back());
    for (double coefficient : llvm::reverse(coefficients.drop_back()))
      result = math::FmaOp::create(b, loc, result, x, F(coefficient));
    return result;
  }

  /// The quadrant of |x| and the rest in [-pi/4, pi/4], for |x| >= 1: the mantissa times the bits
  /// of 2/pi that its exponent leaves below 4, as 2.62 bit fixed point (Payne and Hanek, 1983).
  std::pair<Value, Value> reduce(Value bits) const {
    constexpr uint32_t kTwoOverPi[] = {0x28be60db, 0x9391054a, 0x7f09d5f4, 0x7d4d3770,
                                       0x36d8a566, 0x4f10e410, 0x7f9458ea};
    Value mantissa = bin<arith::ShLIOp>(bits, i32(8));
    mantissa = wide(bin<arith::OrIOp>(mantissa, i32(int32_t(0x80000000))));
    Value exponent = bin<arith::AndIOp>(bin<arith::ShRUIOp>(bits, i32(23)), i32(255));
    exponent = bin<arith::SubIOp>(exponent, i32(126));
    Value word = bin<arith::ShRUIOp>(exponent, i32(5));
    Value shift = wide(bin<arith::AndIOp>(exponent, i32(31)));
    // Words `word` - 1 to `word` + 2; each with the bits of the next one behind it.
    Value part[3];
    auto at = [&](int64_t offset) {
      Value result = i64(0);
      for (int64_t first = 0; first <= 4; ++first) {
        int64_t number = first + offset;
        Value is = isZero(bin<arith::SubIOp>(word, i32(first)));
        result = select(is, i64(number < 0 ? 0 : kTwoOverPi[number]), result);
      }
      return result;
    };
    for (int64_t i = 0; i < 3; ++i) {
      Value two = bin<arith::OrIOp>(bin<arith::ShLIOp>(at(i - 1), i64(32)), at(i));
      part[i] = bin<arith::ShRUIOp>(bin<arith::ShLIOp>(two, shift), i64(32));
    }
    Value product = bin<arith::ShRUIOp>(bin<arith::MulIOp>(mantissa, part[2]), i64(32));
    product = bin<arith::AddIOp>(product, bin<arith::MulIOp>(mantissa, part[1]));
    Value high = bin<arith::ShLIOp>(bin<arith::MulIOp>(mantissa, part[0]), i64(32));
    product = bin<arith::AddIOp>(product, high);
    // Rounded to the nearest quadrant, the rest has a sign.
    Value rounded = bin<arith::AddIOp>(product, i64(int64_t(1) << 61));
    Value quadrant = bin<arith::ShRUIOp>(rounded, i64(62));
    Value rest = bin<arith::SubIOp>(product, bin<arith::ShLIOp>(quadrant, i64(62)));
    Value angle = arith::SIToFPOp::create(b, loc, b.getF64Type(), rest);
    Value scale = arith::ConstantOp::create(b, loc, b.getF64FloatAttr(0x1.921fb54442d18p-62));
    angle = bin<arith::MulFOp>(angle, scale);
    return {arith::TruncIOp::create(b, loc, b.getI32Type(), quadrant),
            arith::TruncFOp::create(b, loc, b.getF32Type(), angle)};
  }

  /// sin(x + quadrants * pi / 2)
  Value sine(Value x, int64_t quadrants) const {
    Value bits = cast(b.getI32Type(), x);
    auto [quadrant, r] = reduce(bits);
    Value negative = isZero(bin<arith::ShRUIOp>(bits, i32(31)));
    quadrant = select(negative, quadrant, bin<arith::SubIOp>(i32(0), quadrant));
    r = select(negative, r, arith::NegFOp::create(b, loc, r));
    quadrant = bin<arith::AddIOp>(quadrant, i32(quadrants));
    Value z = bin<arith::MulFOp>(r, r);
    Value sine = poly(z, {0, -1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4});
    sine = math::FmaOp::create(b, loc, sine, r, r);
    Value cosine =
        poly(z, {1, -0.5, 4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5});
    Value even = isZero(bin<arith::AndIOp>(quadrant, i32(1)));
    Value sign = bin<arith::ShLIOp>(bin<arith::AndIOp>(quadrant, i32(2)), i32(30));
    Value result = cast(b.getI32Type(), select(even, sine, cosine));
    result = cast(b.getF32Type(), bin<arith::XOrIOp>(result, sign));
    // NaN, and infinity minus itself.
    Value gap = bin<arith::SubFOp>(x, x);
    Value finite = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, gap, gap);
    return select(finite, result, gap);
  }
};

/// Angles above 2^28, which the CPU's polynomials leave to libm: marked so.
template <typename Op> struct ExpandHugeAngle : OpRewritePattern<Op> {
  ExpandHugeAngle(MLIRContext *context, int64_t quadrants)
      : OpRewritePattern<Op>(context), quadrants(quadrants) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    if (!op.getType().isF32() || !op->hasAttr(kLeftToLibm))
      return failure();
    rewriter.replaceOp(op, Angle{rewriter, op.getLoc()}.sine(op.getOperand(), quadrants));
    return success();
  }
  int64_t quadrants;
};

struct ExpandDeviceMathPass : PassWrapper<ExpandDeviceMathPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandDeviceMathPass)
  StringRef getArgument() const override { return "attune-expand-device-math"; }
  StringRef getDescription() const override { return "Polynomials for f32 math functions"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, LLVM::LLVMDialect, math::MathDialect, scf::SCFDialect,
                    vector::VectorDialect>();
  }
  void runOnOperation() override {
    CpuTarget arithmetic;
    arithmetic.fma = true;
    RewritePatternSet patterns(&getContext());
    populateMathPolynomialPatterns(patterns, arithmetic);
    patterns.add<ExpandHugeAngle<math::SinOp>>(&getContext(), 0);
    patterns.add<ExpandHugeAngle<math::CosOp>>(&getContext(), 1);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

/// With instructions for f32 and f64.
bool isInstruction(Operation *op) {
  return isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::CopySignOp, math::CountLeadingZerosOp,
             math::CountTrailingZerosOp, math::CtPopOp, math::FloorOp, math::FmaOp,
             math::IsFiniteOp, math::IsInfOp, math::IsNaNOp, math::IsNormalOp, math::RoundOp,
             math::RoundEvenOp, math::RsqrtOp, math::SqrtOp, math::TruncOp>(op);
}

/// With a polynomial for f32; narrower floats go through it.
bool isPolynomial(Operation *op) {
  return isa<math::ExpOp, math::Exp2Op, math::ExpM1Op, math::LogOp, math::Log2Op, math::Log10Op,
             math::Log1pOp, math::TanhOp, math::ErfOp, math::SinOp, math::CosOp, math::PowFOp>(op);
}

bool isKnownType(Type type) {
  Type element = getElementTypeOrSelf(type);
  if (auto integer = dyn_cast<IntegerType>(element))
    return llvm::is_contained({1u, 8u, 16u, 32u, 64u}, integer.getWidth());
  return isa<IndexType, Float16Type, BFloat16Type, Float32Type, Float64Type>(element);
}

/// A type that only appears between operators here, such as a wider product of integers, is LLVM's.
bool isMemory(Type type) { return isa<ShapedType>(type) && !isa<VectorType>(type); }

} // namespace

std::unique_ptr<Pass> createExpandDeviceMathPass() {
  return std::make_unique<ExpandDeviceMathPass>();
}

std::optional<std::string> findRefused(Operation *root) {
  std::optional<std::string> reason;
  llvm::raw_string_ostream os(reason.emplace());
  WalkResult walked = root->walk([&](Operation *op) {
    auto refuse = [&](const llvm::Twine &why, Type type) {
      os << why << " of " << getElementTypeOrSelf(type);
      return WalkResult::interrupt();
    };
    if (isa<arith::RemFOp>(op))
      return refuse("`arith.remf`", op->getResult(0).getType());
    if (isa_and_nonnull<math::MathDialect>(op->getDialect()) && !isInstruction(op) &&
        !(isPolynomial(op) && !getElementTypeOrSelf(op->getResult(0).getType()).isF64()))
      return refuse("`" + op->getName().getStringRef() + "`", op->getResult(0).getType());
    for (Type type : op->getOperandTypes())
      if (isMemory(type) && !isKnownType(type))
        return refuse("tensors", type);
    return WalkResult::advance();
  });
  if (!walked.wasInterrupted())
    return std::nullopt;
  return reason;
}

} // namespace attune::codegen
