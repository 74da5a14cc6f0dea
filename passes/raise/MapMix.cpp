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
  void raiseWeights(const Contraction &product) {
    for (unsigned side : {0, 1}) {
      Value weights = product.operands[side];
      if (cast<RankedTensorType>(weights.getType()).getRank() != 4 ||
          matchPattern(product.operands[1 - side], m_Constant()))
        continue;
      auto column = dyn_cast<AffineDimExpr>(product.maps[side].getResult(3));
      if (column && !product.resultMap.isFunctionOfDim(column.getPosition()))
        raise(weights, /*probabilities=*/true);
    }
  }

  void raise(Value root, bool probabilities) {
    MapMixMatch match(getOperation(), root);
    auto options = [&](StringRef name) {
      return remark::RemarkOpts::name(name)
          .category("attune-raise")
          .function(getOperation().getName());
    };
    MapMixMatch::Result result = match.match();
    // Of other contractions, nothing is to be said.
    if (probabilities && (result != MapMixMatch::Result::Matched || !match.mixesProbabilities()))
      return;
    switch (result) {
    case MapMixMatch::Result::NoMix:
      return;
    case MapMixMatch::Result::Refused:
      remark::missed(root.getLoc(), options("MapMixNotRaised"))
          << remark::reason("{0}", match.reason)
          << remark::add("nodes {0}", nodeNames(root.getLoc()));
      return;
    case MapMixMatch::Result::Matched:
      OpBuilder builder(root.getContext());
      MapMixOp op = match.build(builder);
      ++numRaised;
      remark::passed(op.getLoc(), options("MapMixRaised"))
          << remark::add("map mix of {0} stages{1}", op.getNumStages(),
                         op.getPrevious() ? " with previous maps" : "")
          << remark::add("nodes {0}", nodeNames(op.getLoc()));
      return;
    }
  }
};
} // namespace
} // namespace attune
