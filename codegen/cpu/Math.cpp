#include "attune/codegen/cpu/Math.h"

#include "attune/codegen/cpu/HalfFloats.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace attune::codegen {

namespace {

/// fma(x, y, z) as x * y + z: without the instruction it would be a call per lane.
template <typename Op> struct ExpandFma : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    Value product =
        arith::MulFOp::create(rewriter, op.getLoc(), op->getOperand(0), op->getOperand(1));
    rewriter.replaceOpWithNewOp<arith::AddFOp>(op, product, op->getOperand(2));
    return success();
  }
};

/// maximumf/minimumf (NaN wins) and maxnumf/minnumf (NaN loses) as compare + select.
template <typename Op> struct ExpandMinMax : OpRewritePattern<Op> {
  ExpandMinMax(MLIRContext *context, arith::CmpFPredicate predicate, bool propagatesNaN)
      : OpRewritePattern<Op>(context), predicate(predicate), propagatesNaN(propagatesNaN) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value x = op.getLhs(), y = op.getRhs();
    // An ordered compare that fails takes the second value: x86's max and min do just that.
    Value first = propagatesNaN ? y : x, second = propagatesNaN ? x : y;
    Value better = arith::CmpFOp::create(rewriter, loc, predicate, first, second);
    Value best = arith::SelectOp::create(rewriter, loc, better, first, second);
    Value isNaN = arith::CmpFOp::create(rewriter, loc, arith::CmpFPredicate::UNO, y, y);
    rewriter.replaceOpWithNewOp<arith::SelectOp>(op, isNaN, propagatesNaN ? y : x, best);
    return success();
  }
  arith::CmpFPredicate predicate;
  bool propagatesNaN;
};

struct ExpandMathPass : PassWrapper<ExpandMathPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMathPass)
  explicit ExpandMathPass(const CpuTarget &target) : target(target) {}
  StringRef getArgument() const override { return "attune-expand-math"; }
  StringRef getDescription() const override { return "Polynomials for f32 math functions"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, LLVM::LLVMDialect, math::MathDialect, scf::SCFDialect,
                    vector::VectorDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateExpandMathPatterns(patterns, target);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
  CpuTarget target;
};

} // namespace

void populateExpandMathPatterns(RewritePatternSet &patterns, const CpuTarget &target) {
  MLIRContext *context = patterns.getContext();
  if (!target.fma)
    patterns.add<ExpandFma<vector::FMAOp>, ExpandFma<math::FmaOp>>(context);
  populateExpandHalfFloatPatterns(patterns, target);
  using P = arith::CmpFPredicate;
  patterns.add<ExpandMinMax<arith::MaximumFOp>>(context, P::OGT, true);
  patterns.add<ExpandMinMax<arith::MinimumFOp>>(context, P::OLT, true);
  patterns.add<ExpandMinMax<arith::MaxNumFOp>>(context, P::OGT, false);
  patterns.add<ExpandMinMax<arith::MinNumFOp>>(context, P::OLT, false);
  populateMathPolynomialPatterns(patterns, target);
}

std::unique_ptr<Pass> createExpandMathPass(const CpuTarget &target) {
  return std::make_unique<ExpandMathPass>(target);
}

} // namespace attune::codegen
