#include "attune/passes/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_FUSEGATHERPRODUCERS
#include "attune/passes/Passes.h.inc"

namespace {

/// extract(elementwise(a, b), i) = body(extract(a, map_a(i)), extract(b, map_b(i)))
struct ExtractOfElementwise : OpRewritePattern<tensor::ExtractOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::ExtractOp extract,
                                PatternRewriter &rewriter) const override {
    auto producer = extract.getTensor().getDefiningOp<linalg::GenericOp>();
    if (!producer || !extract->getParentOfType<linalg::GenericOp>())
      return rewriter.notifyMatchFailure(extract, "does not gather from an elementwise result");
    if (producer.getNumDpsInits() != 1 || producer.getNumReductionLoops() != 0 ||
        producer.hasIndexSemantics() ||
        !producer.getMatchingIndexingMap(producer.getDpsInitOperand(0)).isIdentity())
      return rewriter.notifyMatchFailure(extract, "producer is not elementwise");
    Block *body = producer.getBody();
    if (!body->getArguments().back().use_empty())
      return rewriter.notifyMatchFailure(extract, "producer reads its init");
    if (!llvm::all_of(body->without_terminator(), [](Operation &op) { return isPure(&op); }))
      return rewriter.notifyMatchFailure(extract, "producer has effects");
    // A gather reads few of many elements; a table that others read too is computed anyway.
    bool constant = llvm::all_of(producer.getInputs(),
                                 [](Value input) { return matchPattern(input, m_Constant()); });
    if (!constant && !producer->hasOneUse())
      return rewriter.notifyMatchFailure(extract, "producer has other users");

    Location loc = extract.getLoc();
    IRMapping map;
    SmallVector<Value> indices(extract.getIndices());
    for (OpOperand *input : producer.getDpsInputOperands()) {
      AffineMap access = producer.getMatchingIndexingMap(input);
      SmallVector<Value> at;
      for (AffineExpr expr : access.getResults())
        at.push_back(affine::AffineApplyOp::create(
            rewriter, loc, AffineMap::get(access.getNumDims(), 0, expr), indices));
      map.map(body->getArgument(input->getOperandNumber()),
              tensor::ExtractOp::create(rewriter, loc, input->get(), at).getResult());
    }
    for (Operation &op : body->without_terminator())
      rewriter.clone(op, map);
    rewriter.replaceOp(extract, map.lookupOrDefault(body->getTerminator()->getOperand(0)));
    return success();
  }
};

struct FuseGatherProducers : impl::FuseGatherProducersBase<FuseGatherProducers> {
  using FuseGatherProducersBase::FuseGatherProducersBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<ExtractOfElementwise>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
} // namespace attune
