#include "attune/passes/Passes.h"
#include "attune/passes/raise/MapMixMatch.h"
#include "mlir/IR/Iterators.h"
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
      raise(softmax);
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  void raise(linalg::SoftmaxOp softmax) {
    MapMixMatch match(getOperation(), softmax);
    auto options = [&](StringRef name) {
      return remark::RemarkOpts::name(name)
          .category("attune-raise")
          .function(getOperation().getName());
    };
    switch (match.match()) {
    case MapMixMatch::Result::NoMix:
      return;
    case MapMixMatch::Result::Refused:
      remark::missed(softmax.getLoc(), options("MapMixNotRaised"))
          << remark::reason("{0}", match.reason)
          << remark::add("nodes {0}", nodeNames(softmax.getLoc()));
      return;
    case MapMixMatch::Result::Matched:
      OpBuilder builder(softmax);
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
