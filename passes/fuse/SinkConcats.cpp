#include "attune/passes/Passes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_SINKCONCATS
#include "attune/passes/Passes.h.inc"

namespace {

/// The axis of an operand that a loop runs over, or nothing; failure if the loop occurs in any
/// other way than as an axis of its own.
FailureOr<std::optional<int64_t>> axisOf(AffineMap map, unsigned loop) {
  std::optional<int64_t> found;
  for (auto [axis, expr] : llvm::enumerate(map.getResults())) {
    if (!expr.isFunctionOfDim(loop))
      continue;
    if (found || !isa<AffineDimExpr>(expr))
      return failure();
    found = axis;
  }
  return found;
}

struct SinkConcat : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const override {
    if (!op.getNumReductionLoops() || op->getNumResults() != 1)
      return failure();
    for (OpOperand *operand : op.getDpsInputOperands()) {
      auto concat = operand->get().getDefiningOp<tensor::ConcatOp>();
      if (!concat || !concat->hasOneUse())
        continue;
      auto loop =
          dyn_cast<AffineDimExpr>(op.getMatchingIndexingMap(operand).getResult(concat.getDim()));
      if (loop && succeeded(split(op, *operand, concat, loop.getPosition(), rewriter)))
        return success();
    }
    return failure();
  }

private:
  static LogicalResult split(linalg::GenericOp op, OpOperand &joined, tensor::ConcatOp concat,
                             unsigned loop, PatternRewriter &rewriter) {
    if (op.getIteratorTypesArray()[loop] != utils::IteratorType::parallel ||
        llvm::any_of(op.getBody()->getOps<linalg::IndexOp>(),
                     [&](linalg::IndexOp index) { return index.getDim() == loop; }))
      return failure();
    SmallVector<std::optional<int64_t>> axes;
    for (AffineMap map : op.getIndexingMapsArray()) {
      FailureOr<std::optional<int64_t>> axis = axisOf(map, loop);
      if (failed(axis))
        return failure();
      axes.push_back(*axis);
    }
    for (Value piece : concat.getInputs())
      if (cast<RankedTensorType>(piece.getType()).isDynamicDim(concat.getDim()))
        return failure();

    Location loc = op.getLoc();
    int64_t offset = 0;
    SmallVector<Value> results;
    for (Value piece : concat.getInputs()) {
      int64_t size = cast<RankedTensorType>(piece.getType()).getDimSize(concat.getDim());
      SmallVector<Value> operands;
      for (OpOperand &operand : op->getOpOperands()) {
        std::optional<int64_t> axis = axes[operand.getOperandNumber()];
        Value value = operand.get();
        if (&operand == &joined)
          value = piece;
        else if (axis)
          value = slice(rewriter, loc, value, *axis, offset, size);
        operands.push_back(value);
      }
      results.push_back(
          clone(rewriter, op, TypeRange(operands.back().getType()), operands)->getResult(0));
      offset += size;
    }
    auto type = cast<RankedTensorType>(op.getResult(0).getType());
    Value whole = tensor::ConcatOp::create(rewriter, loc, *axes.back(), results);
    if (whole.getType() != type)
      whole = tensor::CastOp::create(rewriter, loc, type, whole);
    rewriter.replaceOp(op, whole);
    return success();
  }

  /// Of a filled tensor a smaller one that is filled.
  static Value slice(PatternRewriter &rewriter, Location loc, Value value, int64_t axis,
                     int64_t offset, int64_t size) {
    SmallVector<OpFoldResult> extents = tensor::getMixedSizes(rewriter, loc, value);
    extents[axis] = rewriter.getIndexAttr(size);
    if (auto fill = value.getDefiningOp<linalg::FillOp>()) {
      Value empty =
          tensor::EmptyOp::create(rewriter, loc, extents, getElementTypeOrSelf(value.getType()));
      return linalg::FillOp::create(rewriter, loc, fill.getInputs()[0], empty).getResult(0);
    }
    SmallVector<OpFoldResult> offsets(extents.size(), rewriter.getIndexAttr(0));
    SmallVector<OpFoldResult> strides(extents.size(), rewriter.getIndexAttr(1));
    offsets[axis] = rewriter.getIndexAttr(offset);
    return tensor::ExtractSliceOp::create(rewriter, loc, value, offsets, extents, strides);
  }
};

struct SinkConcats : impl::SinkConcatsBase<SinkConcats> {
  using SinkConcatsBase::SinkConcatsBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<SinkConcat>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
} // namespace attune
