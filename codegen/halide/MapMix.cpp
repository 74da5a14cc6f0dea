#include "attune/codegen/halide/MapMix.h"

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::codegen::halide {
namespace {

/// One op as a chain; only f32 and f64 maps with static filters.
class Chain {
public:
  Chain(MapMixOp mix, PatternRewriter &b) : mix(mix), b(b), loc(mix.getLoc()) {}

  Value run() {
    Value x = mix.getMaps();
    if (Value previous = mix.getPrevious())
      x = blend(x, previous, mix.getBeta().convertToDouble(), /*ofSecond=*/true);
    Value y = x;
    for (int64_t stage = 0; stage < mix.getNumStages(); ++stage)
      y = convolve(y, stage);
    if (double alpha = mix.getAlpha().convertToDouble(); alpha != 1)
      y = blend(y, x, alpha, /*ofSecond=*/false);
    return y;
  }

private:
  MapMixOp mix;
  PatternRewriter &b;
  Location loc;

  Type element() { return mix.getMapsType().getElementType(); }
  Value scalar(double value) {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(element(), value));
  }
  AffineExpr d(unsigned loop) { return b.getAffineDimExpr(loop); }
  AffineMap map(unsigned loops, ArrayRef<AffineExpr> exprs) {
    return AffineMap::get(loops, 0, exprs, b.getContext());
  }

  Value generic(ValueRange inputs, Value init, ArrayRef<AffineMap> maps, unsigned reductions,
                llvm::function_ref<Value(ValueRange)> body) {
    SmallVector<utils::IteratorType> loops(maps.front().getNumDims(),
                                           utils::IteratorType::parallel);
    std::fill(loops.end() - reductions, loops.end(), utils::IteratorType::reduction);
    return linalg::GenericOp::create(b, loc, init.getType(), inputs, init, maps, loops,
                                     [&](OpBuilder &, Location, ValueRange args) {
                                       linalg::YieldOp::create(b, loc, body(args));
                                     })
        .getResult(0);
  }

  Value empty(ArrayRef<OpFoldResult> shape) {
    return tensor::EmptyOp::create(b, loc, shape, element());
  }

  /// factor * x + (1 - factor) * y, or with x and y in each other's place.
  Value blend(Value x, Value y, double factor, bool ofSecond) {
    double ofX = ofSecond ? 1 - factor : factor;
    AffineMap all = b.getMultiDimIdentityMap(4);
    return generic({x, y}, empty(tensor::getMixedSizes(b, loc, x)), {all, all, all}, 0,
                   [&](ValueRange args) -> Value {
                     Value left = arith::MulFOp::create(b, loc, scalar(ofX), args[0]);
                     Value right = arith::MulFOp::create(b, loc, scalar(1 - ofX), args[1]);
                     return arith::AddFOp::create(b, loc, left, right);
                   });
  }

  Value activate(Value x, int64_t stage) {
    if (mix.getAct(stage) == MapAct::None)
      return x;
    Value zero = scalar(0);
    if (mix.getAct(stage) == MapAct::Relu)
      return arith::MaximumFOp::create(b, loc, x, zero);
    Value negative = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, zero);
    Value scaled = arith::MulFOp::create(b, loc, scalar(mix.getSlopes()[stage]), x);
    return arith::SelectOp::create(b, loc, negative, scaled, x);
  }

  Value pad(Value x, int64_t stage) {
    auto weight = cast<RankedTensorType>(mix.getWeights()[stage].getType());
    SmallVector<OpFoldResult> halo(4, b.getIndexAttr(0));
    for (unsigned axis : {2, 3})
      halo[axis] = b.getIndexAttr(weight.getDimSize(axis) / 2 * mix.getDilations()[stage]);
    if (isConstantIntValue(halo[2], 0) && isConstantIntValue(halo[3], 0))
      return x;
    SmallVector<int64_t> shape(cast<RankedTensorType>(x.getType()).getShape());
    for (unsigned axis : {2, 3})
      if (!ShapedType::isDynamic(shape[axis]))
        shape[axis] += 2 * *getConstantIntValue(halo[axis]);
    return tensor::PadOp::create(b, loc, RankedTensorType::get(shape, element()), x, halo, halo,
                                 scalar(0));
  }

  /// [B,G,N,M] in groups of channels as [B,groups,G/groups,N,M], convolved, and back.
  Value convolve(Value x, int64_t stage) {
    Value weight = mix.getWeights()[stage];
    auto type = cast<RankedTensorType>(weight.getType());
    int64_t groups = mix.getGroups()[stage], dilation = mix.getDilations()[stage];
    int64_t out = type.getDimSize(0) / groups, in = type.getDimSize(1);
    SmallVector<OpFoldResult> shape = tensor::getMixedSizes(b, loc, x);
    Value padded = pad(x, stage);
    auto split = [&](Value value, unsigned axis, int64_t inner) {
      SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, value);
      sizes[axis] = b.getIndexAttr(groups);
      sizes.insert(sizes.begin() + axis + 1, b.getIndexAttr(inner));
      SmallVector<int64_t> extents(cast<RankedTensorType>(value.getType()).getShape());
      extents[axis] = groups;
      extents.insert(extents.begin() + axis + 1, inner);
      SmallVector<ReassociationIndices> parts;
      for (unsigned i = 0, next = 0; i + 1 < extents.size(); ++i) {
        parts.push_back({next++});
        if (i == axis)
          parts.back().push_back(next++);
      }
      return tensor::ExpandShapeOp::create(b, loc, RankedTensorType::get(extents, element()), value,
                                           parts, sizes)
          .getResult();
    };
    SmallVector<OpFoldResult> result{shape[0], b.getIndexAttr(groups), b.getIndexAttr(out),
                                     shape[2], shape[3]};
    Value zeros = linalg::FillOp::create(b, loc, scalar(0), empty(result)).getResult(0);
    // Loops: b, group, out, n, m, in, p, q.
    AffineMap image = map(8, {d(0), d(1), d(5), d(3) + d(6) * dilation, d(4) + d(7) * dilation});
    Value sums = generic(
        {split(padded, 1, in), split(weight, 0, out)}, zeros,
        {image, map(8, {d(1), d(2), d(5), d(6), d(7)}), map(8, {d(0), d(1), d(2), d(3), d(4)})}, 3,
        [&](ValueRange args) -> Value {
          Value product = arith::MulFOp::create(b, loc, args[0], args[1]);
          return arith::AddFOp::create(b, loc, args[2], product);
        });
    AffineMap all = b.getMultiDimIdentityMap(5);
    Value biased =
        generic({sums, split(mix.getBiases()[stage], 0, out)}, empty(result),
                {all, map(5, {d(1), d(2)}), all}, 0, [&](ValueRange args) {
                  return activate(arith::AddFOp::create(b, loc, args[0], args[1]), stage);
                });
    SmallVector<ReassociationIndices> joined{{0}, {1, 2}, {3}, {4}};
    return tensor::CollapseShapeOp::create(b, loc, biased, joined);
  }
};

struct MapMixToConvolutions : OpRewritePattern<MapMixOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MapMixOp op, PatternRewriter &rewriter) const override {
    Type element = op.getMapsType().getElementType();
    auto same = [&](Value value) {
      auto type = cast<RankedTensorType>(value.getType());
      return type.getElementType() == element &&
             (value == op.getMaps() || value == op.getPrevious() || type.hasStaticShape());
    };
    if ((!element.isF32() && !element.isF64()) || op.getMapsType().isDynamicDim(1) ||
        !llvm::all_of(op->getOperands(), same))
      return rewriter.notifyMatchFailure(op, "has other types or dynamic filters");
    Value result = Chain(op, rewriter).run();
    if (result.getType() != op.getResult().getType())
      result = tensor::CastOp::create(rewriter, op.getLoc(), op.getResult().getType(), result);
    rewriter.replaceOp(op, result);
    return success();
  }
};

} // namespace

void populateMapMixPatterns(RewritePatternSet &patterns) {
  patterns.add<MapMixToConvolutions>(patterns.getContext());
}

} // namespace attune::codegen::halide
