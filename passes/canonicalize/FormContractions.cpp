#include "attune/passes/Passes.h"
#include "attune/passes/raise/Sizes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_FORMCONTRACTIONS
#include "attune/passes/Passes.h.inc"

namespace {

/// Any spelling of a contraction over projected permutations as linalg.contract.
struct Specialise : OpInterfaceRewritePattern<linalg::LinalgOp> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;

  LogicalResult matchAndRewrite(linalg::LinalgOp op, PatternRewriter &rewriter) const override {
    if (isa<linalg::ContractOp>(op.getOperation()))
      return rewriter.notifyMatchFailure(op, "is one already");
    if (!op.hasPureTensorSemantics() || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 ||
        !linalg::isaContractionOpInterface(op))
      return rewriter.notifyMatchFailure(op, "is no contraction");
    // `cast` attributes and casts in bodies decide signedness; linalg.contract has one choice.
    Type type = getElementTypeOrSelf(op->getResult(0));
    for (Value input : op.getDpsInputs())
      if (getElementTypeOrSelf(input) != type && !isa<FloatType>(type))
        return rewriter.notifyMatchFailure(op, "widens integers");
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    if (!llvm::all_of(maps, [](AffineMap map) { return map.isProjectedPermutation(); }))
      return rewriter.notifyMatchFailure(op, "maps are not projected permutations");
    rewriter.replaceOpWithNewOp<linalg::ContractOp>(op, op->getResultTypes(), op.getDpsInputs(),
                                                    op.getDpsInits(),
                                                    rewriter.getAffineMapArrayAttr(maps));
    return success();
  }
};

/// A transposed operand is read through its map.
struct AbsorbTranspose : OpRewritePattern<linalg::ContractOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::ContractOp op, PatternRewriter &rewriter) const override {
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    for (unsigned n : {0, 1}) {
      auto transpose = op.getInputs()[n].getDefiningOp<linalg::TransposeOp>();
      if (!transpose)
        continue;
      SmallVector<AffineExpr> exprs(maps[n].getNumResults());
      for (auto [axis, source] : llvm::enumerate(transpose.getPermutation()))
        exprs[source] = maps[n].getResult(axis);
      maps[n] = AffineMap::get(maps[n].getNumDims(), 0, exprs, op.getContext());
      rewriter.modifyOpInPlace(op, [&] {
        op.getInputsMutable()[n].set(transpose.getInput());
        op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no operand is transposed");
  }
};

/// Operands that merged axes (rows, or batches) before the contraction: the axes stay apart, and
/// the result is merged instead, where a following reshape usually undoes it.
struct SplitMergedLoops : OpRewritePattern<linalg::ContractOp> {
  SplitMergedLoops(MLIRContext *context, Sizes &sizes) : OpRewritePattern(context), sizes(sizes) {}

  LogicalResult matchAndRewrite(linalg::ContractOp op, PatternRewriter &rewriter) const override {
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    for (unsigned loop = 0; loop < maps[0].getNumDims(); ++loop)
      if (maps[2].isFunctionOfDim(loop))
        if (succeeded(split(op, maps, loop, rewriter)))
          return success();
    return rewriter.notifyMatchFailure(op, "no loop runs over merged axes of all operands");
  }

private:
  static std::optional<int64_t> axisOf(AffineMap map, unsigned loop) {
    for (auto [axis, expr] : llvm::enumerate(map.getResults()))
      if (cast<AffineDimExpr>(expr).getPosition() == loop)
        return axis;
    return std::nullopt;
  }

  /// True if a reshape behind elementwise operators and contractions splits the axis again.
  bool isUndone(Value value, int64_t axis, ArrayRef<AffineExpr> extents, int depth) const {
    if (depth == 0)
      return false;
    for (OpOperand &use : value.getUses()) {
      Operation *user = use.getOwner();
      if (auto expand = dyn_cast<tensor::ExpandShapeOp>(user)) {
        ReassociationIndices group = expand.getReassociationIndices()[axis];
        bool same = group.size() == extents.size();
        for (auto [part, extent] : llvm::zip(group, extents))
          same = same && sizes.equal(sizes.of(expand.getResult(), part), extent);
        if (same)
          return true;
        continue;
      }
      if (auto softmax = dyn_cast<linalg::SoftmaxOp>(user);
          softmax && use.getOperandNumber() == 0 && int64_t(softmax.getDimension()) != axis &&
          isUndone(softmax.getResult()[0], axis, extents, depth - 1))
        return true;
      auto op = dyn_cast<linalg::LinalgOp>(user);
      if (!op || !op.hasPureTensorSemantics() || op->getNumResults() != 1 || op.isDpsInit(&use))
        continue;
      auto loop = dyn_cast<AffineDimExpr>(op.getMatchingIndexingMap(&use).getResult(axis));
      AffineMap out = op.getIndexingMapMatchingResult(op->getResult(0));
      std::optional<unsigned> next = loop ? out.getResultPosition(loop) : std::nullopt;
      if (next && isUndone(op->getResult(0), *next, extents, depth - 1))
        return true;
    }
    return false;
  }

  LogicalResult split(linalg::ContractOp op, ArrayRef<AffineMap> maps, unsigned loop,
                      PatternRewriter &rewriter) const {
    // The same merge in every operand that the loop indexes.
    SmallVector<AffineExpr> extents;
    SmallVector<OpFoldResult> sizesOfParts;
    std::optional<int64_t> axes[2];
    for (unsigned n : {0, 1}) {
      axes[n] = axisOf(maps[n], loop);
      if (!axes[n])
        continue;
      auto collapse = op.getInputs()[n].getDefiningOp<tensor::CollapseShapeOp>();
      if (!collapse)
        return failure();
      ReassociationIndices group = collapse.getReassociationIndices()[*axes[n]];
      if (group.size() < 2)
        return failure();
      SmallVector<AffineExpr> own;
      for (int64_t source : group)
        own.push_back(sizes.of(collapse.getSrc(), source));
      if (extents.empty())
        extents = own;
      if (own.size() != extents.size() || !llvm::all_of(llvm::zip(own, extents), [&](auto pair) {
            return sizes.equal(std::get<0>(pair), std::get<1>(pair));
          }))
        return failure();
    }
    if (extents.empty())
      return failure();
    std::optional<int64_t> resultAxis = axisOf(maps[2], loop);
    if (!isUndone(op.getResult(0), *resultAxis, extents, /*depth=*/8))
      return rewriter.notifyMatchFailure(op, "no reshape splits the axes again");
    int64_t parts = extents.size();
    for (AffineExpr extent : extents)
      sizesOfParts.push_back(sizes.get(rewriter, op.getLoc(), extent));

    unsigned numLoops = maps[0].getNumDims() + parts - 1;
    auto widen = [&](AffineMap map) {
      SmallVector<AffineExpr> exprs;
      for (AffineExpr expr : map.getResults()) {
        unsigned position = cast<AffineDimExpr>(expr).getPosition();
        if (position != loop) {
          unsigned shifted = position < loop ? position : position + parts - 1;
          exprs.push_back(rewriter.getAffineDimExpr(shifted));
          continue;
        }
        for (int64_t part = 0; part < parts; ++part)
          exprs.push_back(rewriter.getAffineDimExpr(loop + part));
      }
      return AffineMap::get(numLoops, 0, exprs, op.getContext());
    };
    SmallVector<Value> inputs(op.getInputs());
    for (unsigned n : {0, 1}) {
      if (!axes[n])
        continue;
      // Undo this group only.
      auto collapse = inputs[n].getDefiningOp<tensor::CollapseShapeOp>();
      SmallVector<ReassociationIndices> rest;
      int64_t next = 0;
      for (auto [axis, group] : llvm::enumerate(collapse.getReassociationIndices()))
        if (int64_t(axis) == *axes[n])
          for (size_t k = 0; k < group.size(); ++k)
            rest.push_back({next++});
        else {
          auto &merged = rest.emplace_back();
          for (size_t k = 0; k < group.size(); ++k)
            merged.push_back(next++);
        }
      inputs[n] = collapse.getSrc();
      if (int64_t(rest.size()) < next)
        inputs[n] = tensor::CollapseShapeOp::create(rewriter, op.getLoc(), inputs[n], rest);
    }
    // The init is a fill: made again in the wider shape.
    auto fill = op.getOutputs()[0].getDefiningOp<linalg::FillOp>();
    if (!fill)
      return failure();
    SmallVector<OpFoldResult> shape;
    SmallVector<ReassociationIndices> merge;
    Value result = op.getResult(0);
    int64_t next = 0;
    for (auto [axis, expr] : llvm::enumerate(maps[2].getResults())) {
      auto &group = merge.emplace_back();
      if (cast<AffineDimExpr>(expr).getPosition() != loop) {
        shape.push_back(sizes.get(rewriter, op.getLoc(), sizes.of(result, axis)));
        group.push_back(next++);
        continue;
      }
      llvm::append_range(shape, sizesOfParts);
      for (int64_t part = 0; part < parts; ++part)
        group.push_back(next++);
    }
    Type element = getElementTypeOrSelf(result);
    Value init = tensor::EmptyOp::create(rewriter, op.getLoc(), shape, element);
    init = linalg::FillOp::create(rewriter, op.getLoc(), fill.getInputs()[0], init)->getResult(0);
    auto wide = linalg::ContractOp::create(
        rewriter, op.getLoc(), TypeRange{init.getType()}, inputs, init,
        rewriter.getAffineMapArrayAttr({widen(maps[0]), widen(maps[1]), widen(maps[2])}));
    rewriter.replaceOpWithNewOp<tensor::CollapseShapeOp>(op, result.getType(), wide->getResult(0),
                                                         merge);
    return success();
  }

  Sizes &sizes;
};

/// softmax(merge(x)) is merge(softmax(x)) where the softmax runs over an axis of its own.
struct SplitMergedSoftmax : OpRewritePattern<linalg::SoftmaxOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::SoftmaxOp op, PatternRewriter &rewriter) const override {
    auto collapse = op.getInput().getDefiningOp<tensor::CollapseShapeOp>();
    if (!collapse || !op.hasPureTensorSemantics() ||
        !collapse.getSrc().getDefiningOp<linalg::LinalgOp>())
      return rewriter.notifyMatchFailure(op, "no computed axes were merged");
    ReassociationIndices group = collapse.getReassociationIndices()[op.getDimension()];
    if (group.size() != 1)
      return rewriter.notifyMatchFailure(op, "the softmax runs over merged axes");
    Value source = collapse.getSrc();
    Value init = tensor::EmptyOp::create(rewriter, op.getLoc(),
                                         tensor::getMixedSizes(rewriter, op.getLoc(), source),
                                         getElementTypeOrSelf(op.getResult()[0]));
    auto wide = linalg::SoftmaxOp::create(rewriter, op.getLoc(), TypeRange{init.getType()}, source,
                                          init, group.front());
    rewriter.replaceOpWithNewOp<tensor::CollapseShapeOp>(
        op, op.getResult()[0].getType(), wide.getResult()[0], collapse.getReassociationIndices());
    return success();
  }
};

struct FormContractions : impl::FormContractionsBase<FormContractions> {
  using FormContractionsBase::FormContractionsBase;

  void runOnOperation() override {
    Sizes sizes(getOperation());
    RewritePatternSet patterns(&getContext());
    patterns.add<Specialise, AbsorbTranspose, SplitMergedSoftmax>(&getContext());
    patterns.add<SplitMergedLoops>(&getContext(), sizes);
    // Elementwise operators between two reshapes work on the wide shape, so that the two meet.
    linalg::populateFoldReshapeOpsByExpansionPatterns(patterns, [](OpOperand *operand) {
      auto producer = operand->get().getDefiningOp<tensor::CollapseShapeOp>();
      auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
      return producer && consumer && consumer.getNumReductionLoops() == 0 &&
             producer.getSrc().getDefiningOp<linalg::LinalgOp>();
    });
    tensor::populateFoldTensorEmptyPatterns(patterns);
    tensor::CollapseShapeOp::getCanonicalizationPatterns(patterns, &getContext());
    tensor::ExpandShapeOp::getCanonicalizationPatterns(patterns, &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
} // namespace attune
