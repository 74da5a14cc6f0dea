#include "attune/codegen/cpu/HalfFloats.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/IR/BuiltinTypes.h"

using namespace mlir;

namespace attune::codegen {

namespace {

/// Integer arithmetic on the bits of floats, scalar or vector as `like`.
struct Bits {
  PatternRewriter &b;
  Location loc;
  Type like;

  Type type(Type element) const {
    auto shaped = dyn_cast<ShapedType>(like);
    return shaped ? Type(shaped.clone(element)) : element;
  }
  Type i32() const { return type(b.getI32Type()); }
  Value constant(uint32_t value) const {
    auto attr = b.getIntegerAttr(b.getI32Type(), static_cast<int32_t>(value));
    if (auto shaped = dyn_cast<ShapedType>(i32()))
      return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(shaped, Attribute(attr)));
    return arith::ConstantOp::create(b, loc, attr);
  }
  Value bitcast(Type element, Value x) const {
    return arith::BitcastOp::create(b, loc, type(element), x);
  }
  Value band(Value x, uint32_t y) const { return arith::AndIOp::create(b, loc, x, constant(y)); }
  Value bor(Value x, Value y) const { return arith::OrIOp::create(b, loc, x, y); }
  Value shl(Value x, uint32_t n) const { return arith::ShLIOp::create(b, loc, x, constant(n)); }
  Value shr(Value x, uint32_t n) const { return arith::ShRUIOp::create(b, loc, x, constant(n)); }
  Value add(Value x, Value y) const { return arith::AddIOp::create(b, loc, x, y); }
  Value above(Value x, uint32_t y) const {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ugt, x, constant(y));
  }
  Value select(Value condition, Value x, Value y) const {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
};

Type elementOf(Value x) { return getElementTypeOrSelf(x.getType()); }

struct ExpandExtF16 : OpRewritePattern<arith::ExtFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::ExtFOp op, PatternRewriter &rewriter) const override {
    if (!elementOf(op.getIn()).isF16() || !elementOf(op.getOut()).isF32())
      return failure();
    Bits bits{rewriter, op.getLoc(), op.getIn().getType()};
    Value half = bits.bitcast(rewriter.getI16Type(), op.getIn());
    half = arith::ExtUIOp::create(rewriter, op.getLoc(), bits.i32(), half);
    Value magnitude = bits.shl(bits.band(half, 0x7fff), 13);
    // The product with 2^112 sets the exponent's bias right, for subnormal numbers too.
    Value bias = bits.bitcast(rewriter.getF32Type(), bits.constant((127 + 112) << 23));
    Value finite = arith::MulFOp::create(rewriter, op.getLoc(),
                                         bits.bitcast(rewriter.getF32Type(), magnitude), bias);
    Value special = bits.bor(magnitude, bits.constant(0x7f800000));
    Value out = bits.select(bits.above(magnitude, (0x7c00 << 13) - 1), special,
                            bits.bitcast(rewriter.getI32Type(), finite));
    out = bits.bor(out, bits.shl(bits.band(half, 0x8000), 16));
    rewriter.replaceOp(op, bits.bitcast(rewriter.getF32Type(), out));
    return success();
  }
};

struct ExpandTruncF16 : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const override {
    if (!elementOf(op.getIn()).isF32() || !elementOf(op.getOut()).isF16())
      return failure();
    Bits bits{rewriter, op.getLoc(), op.getIn().getType()};
    Value x = bits.bitcast(rewriter.getI32Type(), op.getIn());
    Value magnitude = bits.band(x, 0x7fffffff);
    // Normal numbers: the exponent's bias, and half a unit less one plus the lowest bit kept.
    Value odd = bits.band(bits.shr(magnitude, 13), 1);
    Value normal = bits.add(magnitude, bits.constant(static_cast<uint32_t>(15 - 127) << 23));
    normal = bits.shr(bits.add(bits.add(normal, bits.constant(0xfff)), odd), 13);
    // Subnormal ones: the sum with 0.5 leaves them, rounded, in the low bits.
    Value half = bits.constant(126 << 23);
    Value sum =
        arith::AddFOp::create(rewriter, op.getLoc(), bits.bitcast(rewriter.getF32Type(), magnitude),
                              bits.bitcast(rewriter.getF32Type(), half));
    Value subnormal = arith::SubIOp::create(rewriter, op.getLoc(),
                                            bits.bitcast(rewriter.getI32Type(), sum), half);
    Value special = bits.select(bits.above(magnitude, 0x7f800000), bits.constant(0x7e00),
                                bits.constant(0x7c00));
    Value out = bits.select(bits.above(magnitude, (113 << 23) - 1), normal, subnormal);
    out = bits.select(bits.above(magnitude, (143 << 23) - 1), special, out);
    out = bits.bor(out, bits.band(bits.shr(x, 16), 0x8000));
    out = arith::TruncIOp::create(rewriter, op.getLoc(), bits.type(rewriter.getI16Type()), out);
    rewriter.replaceOp(op, bits.bitcast(rewriter.getF16Type(), out));
    return success();
  }
};

bool isHalf(Type type) { return type.isF16() || type.isBF16(); }

/// Without an instruction these become calls into a compiler run time.
template <typename ConvertOp> struct ThroughF32 : OpRewritePattern<ConvertOp> {
  using OpRewritePattern<ConvertOp>::OpRewritePattern;
  LogicalResult matchAndRewrite(ConvertOp op, PatternRewriter &rewriter) const override {
    Type from = elementOf(op.getIn());
    if (!isHalf(elementOf(op.getOut())) || from.isF32() || isHalf(from))
      return failure();
    Bits bits{rewriter, op.getLoc(), op.getIn().getType()};
    Value wide = ConvertOp::create(rewriter, op.getLoc(), bits.type(rewriter.getF32Type()),
                                   op.getIn());
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, op.getOut().getType(), wide);
    return success();
  }
};

} // namespace

void populateExpandHalfFloatPatterns(RewritePatternSet &patterns, const CpuTarget &target) {
  arith::populateExpandBFloat16Patterns(patterns);
  patterns.add<ThroughF32<arith::SIToFPOp>, ThroughF32<arith::UIToFPOp>,
               ThroughF32<arith::TruncFOp>>(patterns.getContext());
  // Every x86 with fused multiply-add converts f16.
  if (!target.fma)
    patterns.add<ExpandExtF16, ExpandTruncF16>(patterns.getContext());
}

} // namespace attune::codegen
