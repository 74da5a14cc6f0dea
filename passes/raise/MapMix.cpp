#include "attune/passes/Passes.h"
#include "attune/passes/raise/MapMixMatch.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISEMAPMIX
#include "attune/passes/Passes.h.inc"

namespace {
struct RaiseMapMix : impl::RaiseMapMixBase<RaiseMapMix> {
  using RaiseMapMixBase::RaiseMapMixBase;

  void runOnOperation() override {
    SmallVector<linalg::SoftmaxOp> softmaxes;
    getOperation().walk([&](linalg::SoftmaxOp op) { softmaxes.push_back(op); });
    // In program order: mixed maps of one layer are the previous maps of the next.
    for (linalg::SoftmaxOp softmax : softmaxes)
      if (softmax.getDimension() == 3)
        raise(softmax.getInput(), /*probabilities=*/false);
    SmallVector<Operation *> products;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (matchContraction(op))
        products.push_back(op);
    });
    for (Operation *op : products)
      raiseWeights(*matchContraction(op));
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  /// Talking heads also mix the probabilities. Values that are constant make it a layer.
  void raiseWeights(Contraction product) {
    for (unsigned side : {0, 1}) {
      Value weights = product.operands[side];
      if (cast<RankedTensorType>(weights.getType()).getRank() != 4 ||
          matchPattern(product.operands[1 - side], m_Constant()))
        continue;
      // Batch, heads, queries, keys: the values have no queries, and the result no keys.
      SmallVector<int64_t> order, rows, columns;
      for (auto [axis, loop] : llvm::enumerate(product.maps[side].getResults())) {
        bool isColumn = !product.resultMap.isFunctionOfDim(cast<AffineDimExpr>(loop).getPosition());
        bool isRow = !isColumn && !product.maps[1 - side].getResultPosition(loop);
        (isColumn ? columns : isRow ? rows : order).push_back(axis);
      }
      if (rows.size() != 1 || columns.size() != 1)
        continue;
      order.append({rows[0], columns[0]});
      if (llvm::is_sorted(order))
        raise(weights, /*probabilities=*/true);
      else
        raiseTransposed(product, side, order);
    }
  }

  /// Mixed with the heads as the last axis: the maps are raised in their usual order.
  void raiseTransposed(Contraction product, unsigned side, ArrayRef<int64_t> order) {
    OpBuilder builder(product.op);
    Location loc = product.op.getLoc();
    Value weights = product.operands[side];
    auto type = cast<RankedTensorType>(weights.getType());
    SmallVector<OpFoldResult> shape;
    SmallVector<AffineExpr> loops;
    SmallVector<OpFoldResult> own = tensor::getMixedSizes(builder, loc, weights);
    for (int64_t axis : order) {
      shape.push_back(own[axis]);
      loops.push_back(product.maps[side].getResult(axis));
    }
    Value init = tensor::EmptyOp::create(builder, loc, shape, type.getElementType());
    Value maps = linalg::TransposeOp::create(builder, loc, weights, init, order)->getResult(0);
    Value operands[] = {product.operands[0], product.operands[1]};
    AffineMap access[] = {product.maps[0], product.maps[1], product.resultMap};
    operands[side] = maps;
    access[side] = AffineMap::get(product.resultMap.getNumDims(), 0, loops, builder.getContext());
    auto next =
        linalg::ContractOp::create(builder, loc, product.op->getResultTypes(), operands,
                                   product.op.getDpsInits(), builder.getAffineMapArrayAttr(access));
    // Without a use, both go away again.
    if (raise(maps, /*probabilities=*/true))
      product.result().replaceAllUsesWith(next->getResult(0));
  }

  bool raise(Value root, bool probabilities) {
    MapMixMatch match(getOperation(), root);
    auto options = [&](StringRef name) {
      return remark::RemarkOpts::name(name)
          .category("attune-raise")
          .function(getOperation().getName());
    };
    MapMixMatch::Result result = match.match();
    // Of other contractions, nothing is to be said.
    if (probabilities && (result != MapMixMatch::Result::Matched || !match.mixesProbabilities()))
      return false;
    switch (result) {
    case MapMixMatch::Result::NoMix:
      return false;
    case MapMixMatch::Result::Refused:
      remark::missed(root.getLoc(), options("MapMixNotRaised"))
          << remark::reason("{0}", match.reason)
          << remark::add("nodes {0}", nodeNames(root.getLoc()));
      return false;
    case MapMixMatch::Result::Matched:
      OpBuilder builder(root.getContext());
      MapMixOp op = match.build(builder);
      ++numRaised;
      remark::passed(op.getLoc(), options("MapMixRaised"))
          << remark::add("map mix of {0} stages{1}", op.getNumStages(),
                         op.getPrevious() ? " with previous maps" : "")
          << remark::add("nodes {0}", nodeNames(op.getLoc()));
      return true;
    }
    return false;
  }
};
} // namespace
} // namespace attune
