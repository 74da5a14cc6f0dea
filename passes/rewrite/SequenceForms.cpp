#include "attune/passes/Passes.h"
#include "attune/passes/raise/Convolution.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StructuredOpsUtils.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_SEQUENCEFORMS
#include "attune/passes/Passes.h.inc"

/// The next even number without prime factors beyond 5.
static int64_t smoothLength(int64_t least) {
  for (int64_t length = std::max<int64_t>(2, least + least % 2);; length += 2) {
    int64_t rest = length;
    for (int64_t factor : {2, 3, 5})
      while (rest % factor == 0)
        rest /= factor;
    if (rest == 1)
      return length;
  }
}

namespace {
struct SequenceForms : impl::SequenceFormsBase<SequenceForms> {
  using SequenceFormsBase::SequenceFormsBase;

  void runOnOperation() override {
    SmallVector<EmaOp> averages(getOperation().getOps<EmaOp>());
    for (EmaOp op : averages) {
      dropTruncation(op);
      if (op.getTruncation() && op.getForm() == Form::Auto)
        op.setForm(op.getTruncatedForm());
      if (op.getForm() == Form::Quadratic || op.getForm() == Form::Fft)
        expand(op);
    }
    SmallVector<ToeplitzOp> products(getOperation().getOps<ToeplitzOp>());
    for (ToeplitzOp op : products)
      if (op.getForm() == Form::Fft)
        expand(op);
  }

private:
  /// No sequence is longer.
  void dropTruncation(EmaOp op) {
    std::optional<int64_t> truncation = op.getTruncation();
    if (!truncation)
      return;
    Sizes sizes(getOperation());
    AffineExpr length = sizes.of(op.getInput(), 1);
    if (!isNonNegative(sizes, sizes.constant(*truncation) - length))
      return;
    op.removeTruncationAttr();
    if (op.getForm() == Form::Chunked)
      op.setForm(Form::Auto);
  }

  /// The kernel is the average of an impulse.
  void expand(EmaOp op) {
    if (op.getBidirectional() || op.getInitState() || op.getFinalState())
      return refuse(op, "only forward averages without states are convolutions");
    OpBuilder builder(op);
    Location loc = op.getLoc();
    Sizes sizes(getOperation());
    AffineExpr taps = sizes.of(op.getInput(), 1);
    if (std::optional<int64_t> truncation = op.getTruncation())
      taps = sizes.constant(*truncation);
    Type element = op.getInputType().getElementType();
    SmallVector<OpFoldResult> shape{builder.getIndexAttr(1), sizes.get(builder, loc, taps),
                                    sizes.get(builder, loc, sizes.of(op.getInput(), 2))};
    Value init = tensor::EmptyOp::create(builder, loc, shape, element);
    SmallVector<utils::IteratorType> loops(3, utils::IteratorType::parallel);
    auto body = [&](OpBuilder &b, Location loc, ValueRange) {
      Value zero = arith::ConstantIndexOp::create(b, loc, 0);
      Value first = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                          linalg::IndexOp::create(b, loc, 1), zero);
      Value one = arith::ConstantOp::create(b, loc, b.getFloatAttr(element, 1));
      Value none = arith::ConstantOp::create(b, loc, b.getFloatAttr(element, 0));
      linalg::YieldOp::create(b, loc,
                              arith::SelectOp::create(b, loc, first, one, none).getResult());
    };
    Value impulse = linalg::GenericOp::create(builder, loc, init.getType(), ValueRange(), init,
                                              builder.getMultiDimIdentityMap(3), loops, body)
                        .getResult(0);
    Value kernel = EmaOp::create(builder, loc, impulse, op.getDecay(), op.getInputWeight(),
                                 op.getOutputWeight(), op.getSkip())
                       .getResult();
    SmallVector<ReassociationIndices> groups{{0, 1}, {2}};
    kernel = tensor::CollapseShapeOp::create(builder, loc, kernel, groups);
    Form form = op.getForm() == Form::Fft ? Form::Fft : Form::Auto;
    Value product = ToeplitzOp::create(builder, loc, op.getResult().getType(), kernel,
                                       op.getInput(), Direction::Causal, form);
    op.getResult().replaceAllUsesWith(product);
    op.erase();
    passed(product, "moving average as a convolution");
  }

  void expand(ToeplitzOp op) {
    RankedTensorType type = op.getInputType();
    auto coeffs = cast<RankedTensorType>(op.getCoeffs().getType());
    int64_t inputs = type.getDimSize(1), taps = coeffs.getDimSize(0);
    if (ShapedType::isDynamic(inputs) || ShapedType::isDynamic(taps) || inputs + taps < 2)
      return refuse(op, "transforms need a length that is known");
    OpBuilder builder(op);
    Location loc = op.getLoc();
    int64_t length = smoothLength(inputs + taps - 1);
    Value size = arith::ConstantIndexOp::create(builder, loc, length);
    auto expanded = [&](Value tensor, ArrayRef<ReassociationIndices> groups,
                        ArrayRef<OpFoldResult> shape) -> Value {
      SmallVector<Value> dynamic;
      SmallVector<int64_t> extents;
      dispatchIndexOpFoldResults(shape, dynamic, extents);
      auto to = RankedTensorType::get(extents, type.getElementType());
      return tensor::ExpandShapeOp::create(builder, loc, to, tensor, groups, shape);
    };
    OpFoldResult one = builder.getIndexAttr(1);
    auto extent = [&](Value tensor, int64_t axis) {
      return tensor::getMixedSize(builder, loc, tensor, axis);
    };
    SmallVector<ReassociationIndices> last{{0}, {1}, {2, 3}};
    Value x = expanded(
        op.getInput(), last,
        {extent(op.getInput(), 0), builder.getIndexAttr(inputs), extent(op.getInput(), 2), one});
    Value k =
        op.hasChannelCoeffs()
            ? expanded(op.getCoeffs(), {{0, 1}, {2, 3}},
                       {one, builder.getIndexAttr(taps), extent(op.getCoeffs(), 1), one})
            : expanded(op.getCoeffs(), {{0, 1, 2, 3}}, {one, builder.getIndexAttr(taps), one, one});
    auto transformed = [&](Value signal) -> Value {
      SmallVector<int64_t> shape(cast<RankedTensorType>(signal.getType()).getShape());
      shape[1] = length / 2 + 1;
      shape[3] = 2;
      return DftOp::create(builder, loc, RankedTensorType::get(shape, type.getElementType()),
                           signal, size, /*axis=*/1, /*inverse=*/false, /*onesided=*/true);
    };
    Value product = complexProduct(builder, loc, transformed(x), transformed(k));
    SmallVector<int64_t> shape(cast<RankedTensorType>(product.getType()).getShape());
    shape[1] = length;
    shape[3] = 1;
    Value y = DftOp::create(builder, loc, RankedTensorType::get(shape, type.getElementType()),
                            product, size, /*axis=*/1, /*inverse=*/true, /*onesided=*/true);
    int64_t outputs = op.isCausal() ? inputs : taps - inputs + 1;
    OpFoldResult zero = builder.getIndexAttr(0);
    SmallVector<OpFoldResult> offsets{zero, builder.getIndexAttr(op.isCausal() ? 0 : inputs - 1),
                                      zero, zero};
    SmallVector<OpFoldResult> extents{extent(y, 0), builder.getIndexAttr(outputs), extent(y, 2),
                                      one};
    SmallVector<OpFoldResult> steps(4, one);
    shape[1] = outputs;
    shape.pop_back();
    Value result = tensor::ExtractSliceOp::create(
        builder, loc, RankedTensorType::get(shape, type.getElementType()), y, offsets, extents,
        steps);
    if (result.getType() != op.getResult().getType())
      result = tensor::CastOp::create(builder, loc, op.getResult().getType(), result);
    op.getResult().replaceAllUsesWith(result);
    op.erase();
    passed(result, "Toeplitz product by transforms");
  }

  /// [B,K,E,2] times [1,K,E or 1,2], element by element.
  static Value complexProduct(OpBuilder &builder, Location loc, Value a, Value b) {
    auto type = cast<RankedTensorType>(a.getType());
    bool shared = cast<RankedTensorType>(b.getType()).getDimSize(2) == 1;
    AffineExpr d[3], zero = builder.getAffineConstantExpr(0),
                     one = builder.getAffineConstantExpr(1);
    for (int64_t axis = 0; axis < 3; ++axis)
      d[axis] = builder.getAffineDimExpr(axis);
    auto map = [&](ArrayRef<AffineExpr> exprs) {
      return AffineMap::get(3, 0, exprs, builder.getContext());
    };
    AffineExpr channel = shared ? zero : d[2];
    SmallVector<AffineMap> maps{map({d[0], d[1], d[2], zero}), map({d[0], d[1], d[2], one}),
                                map({zero, d[1], channel, zero}), map({zero, d[1], channel, one}),
                                map(d)};
    SmallVector<OpFoldResult> shape = tensor::getMixedSizes(builder, loc, a);
    shape.pop_back();
    Value init = tensor::EmptyOp::create(builder, loc, shape, type.getElementType());
    SmallVector<utils::IteratorType> loops(3, utils::IteratorType::parallel);
    auto part = [&](bool imaginary) -> Value {
      auto body = [&](OpBuilder &nested, Location loc, ValueRange args) {
        auto times = [&](unsigned i, unsigned j) -> Value {
          return arith::MulFOp::create(nested, loc, args[i], args[j]);
        };
        Value sum = imaginary
                        ? arith::AddFOp::create(nested, loc, times(0, 3), times(1, 2)).getResult()
                        : arith::SubFOp::create(nested, loc, times(0, 2), times(1, 3)).getResult();
        linalg::YieldOp::create(nested, loc, sum);
      };
      Value flat = linalg::GenericOp::create(builder, loc, init.getType(), ValueRange{a, a, b, b},
                                             init, maps, loops, body)
                       .getResult(0);
      SmallVector<OpFoldResult> wide(shape);
      wide.push_back(builder.getIndexAttr(1));
      SmallVector<Value> dynamic;
      SmallVector<int64_t> extents;
      dispatchIndexOpFoldResults(wide, dynamic, extents);
      SmallVector<ReassociationIndices> groups{{0}, {1}, {2, 3}};
      return tensor::ExpandShapeOp::create(
          builder, loc, RankedTensorType::get(extents, type.getElementType()), flat, groups, wide);
    };
    return tensor::ConcatOp::create(builder, loc, 3, ValueRange{part(false), part(true)});
  }

  void refuse(Operation *op, StringRef reason) {
    remark::missed(op->getLoc(), options("FormNotUsed"))
        << remark::reason("{0}", reason) << remark::add("nodes {0}", nodeNames(op->getLoc()));
  }
  void passed(Value value, StringRef text) {
    ++numRewritten;
    remark::passed(value.getLoc(), options("FormUsed"))
        << remark::add("{0}", text) << remark::add("nodes {0}", nodeNames(value.getLoc()));
  }
  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-rewrite")
        .function(getOperation().getName());
  }
};
} // namespace
} // namespace attune
