#include "attune/passes/Passes.h"
#include "attune/passes/canonicalize/FlattenConcats.h"
#include "attune/passes/raise/Elements.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_CLEANVIEWS
#include "attune/passes/Passes.h.inc"

namespace {

bool isView(Operation *op) {
  return isa<linalg::TransposeOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp,
             tensor::ExtractSliceOp>(op);
}

bool isElementwise(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return linalgOp && linalgOp.hasPureTensorSemantics() && op->getNumResults() == 1 &&
         linalgOp.getNumLoops() == linalgOp.getNumParallelLoops() && !isa<linalg::FillOp>(op);
}

struct CleanViews : impl::CleanViewsBase<CleanViews> {
  using CleanViewsBase::CleanViewsBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateFlattenConcats(patterns);
    GreedyRewriteConfig config;
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
    (void)applyPatternsGreedily(getOperation(), std::move(patterns), config);

    Sizes sizes(getOperation());
    for (Block &block : getOperation().getBody())
      for (Operation &op : llvm::make_early_inc_range(block)) {
        if (!isView(&op) && !isElementwise(&op))
          continue;
        dropChecks(&op, sizes);
        replace(&op, sizes);
      }
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  /// Removes checks of an elementwise operator that hold for all of its elements.
  void dropChecks(Operation *op, Sizes &sizes) {
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp || linalgOp.getBlock()->getOps<cf::AssertOp>().empty())
      return;
    Elements elements(sizes);
    elements.setBudget(256);
    // A load of the result itself means that some check was not proved.
    std::optional<ElementOf> load =
        elements.load(elements.at(op->getResult(0), elements.addIndices(op->getResult(0))));
    if (load && load->tensor == op->getResult(0))
      return;
    for (auto check : llvm::make_early_inc_range(linalgOp.getBlock()->getOps<cf::AssertOp>())) {
      check.erase();
      ++numChecks;
    }
  }

  void replace(Operation *op, Sizes &sizes) {
    Value result = op->getResult(0);
    auto type = cast<RankedTensorType>(result.getType());
    Elements elements(sizes);
    elements.setBudget(128);
    SmallVector<Value> indices = elements.addIndices(result);
    Value scalar = elements.at(result, indices);
    Value same = elements.tensorAt(scalar, indices, type);
    if (same && same != result) {
      result.replaceAllUsesWith(same);
      ++numRemoved;
      return;
    }
    if (isView(op))
      transposeOnce(op, sizes, elements, scalar, indices);
  }

  /// A chain of views that only permutes axes becomes one transpose.
  void transposeOnce(Operation *op, Sizes &sizes, Elements &elements, Value scalar,
                     ArrayRef<Value> indices) {
    SmallVector<ElementOf> candidates(elements.sources(scalar));
    if (std::optional<ElementOf> load = elements.load(scalar))
      candidates.insert(candidates.begin(), *load);
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    for (const ElementOf &source : candidates) {
      if (source.tensor == op->getResult(0) || source.tensor == op->getOperand(0))
        return;
      SmallVector<int64_t> order(indices.size(), -1);
      bool permutes = source.indices.size() == indices.size();
      for (auto [axis, index] : llvm::enumerate(source.indices)) {
        auto position = llvm::find(indices, index);
        permutes = permutes && position != indices.end() &&
                   sizes.equal(sizes.of(source.tensor, axis), elements.extentOf(index));
        if (permutes)
          order[position - indices.begin()] = axis;
      }
      if (!permutes || llvm::is_contained(order, -1))
        continue;
      OpBuilder builder(op);
      SmallVector<OpFoldResult> shape;
      auto sourceType = cast<RankedTensorType>(source.tensor.getType());
      for (auto [index, axis] : llvm::zip(indices, order)) {
        shape.push_back(sizes.get(builder, op->getLoc(), elements.extentOf(index)));
        // Known to be constant, but not to the type of the source.
        if (sourceType.isDynamicDim(axis))
          shape.back() = getValueOrCreateConstantIndexOp(builder, op->getLoc(), shape.back());
      }
      Value init = tensor::EmptyOp::create(builder, op->getLoc(), shape, type.getElementType());
      Value transposed =
          linalg::TransposeOp::create(builder, op->getLoc(), source.tensor, init, order)
              ->getResult(0);
      if (transposed.getType() != type)
        transposed = tensor::CastOp::create(builder, op->getLoc(), type, transposed);
      op->getResult(0).replaceAllUsesWith(transposed);
      ++numJoined;
      return;
    }
  }
};
} // namespace
} // namespace attune
