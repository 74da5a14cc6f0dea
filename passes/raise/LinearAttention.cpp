#include "attune/passes/Passes.h"
#include "attune/passes/raise/LinearMatch.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISELINEARATTENTION
#include "attune/passes/Passes.h.inc"

namespace {
/// Operators that may stand between the last sum and the division.
constexpr unsigned kMaxSteps = 6;

/// The tensors that a sum becomes on the way to its division, itself first.
SmallVector<Value> roots(Value sum) {
  SmallVector<Value> result{sum};
  while (result.size() <= kMaxSteps && result.back().hasOneUse()) {
    Operation *user = *result.back().user_begin();
    bool isView = isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(user);
    auto linalgOp = dyn_cast<linalg::LinalgOp>(user);
    bool isElementwise = linalgOp && linalgOp.getNumReductionLoops() == 0;
    if (user->getNumResults() != 1 || (!isView && !isElementwise))
      break;
    result.push_back(user->getResult(0));
  }
  return result;
}

struct RaiseLinearAttention : impl::RaiseLinearAttentionBase<RaiseLinearAttention> {
  using RaiseLinearAttentionBase::RaiseLinearAttentionBase;

  void runOnOperation() override {
    erased.clear();
    ofSteps.clear();
    // Steps written one by one, first: each has sums.
    for (auto steps : llvm::to_vector(getOperation().getBody().front().getOps<tensor::ConcatOp>()))
      if (!erased.contains(steps))
        raiseSteps(steps);
    SmallVector<Operation *> sums;
    getOperation().walk([&](linalg::LinalgOp op) {
      bool isSum = op.getNumReductionLoops() > 0 && op->getNumResults() == 1 &&
                   isa<RankedTensorType>(op->getResult(0).getType());
      if (isSum && op->getBlock() == &getOperation().getBody().front())
        sums.push_back(op);
    });
    for (Operation *op : sums)
      if (!erased.contains(op) && !ofSteps.contains(op))
        raise(op->getResult(0));
  }

private:
  void raiseSteps(Value steps) {
    std::string reason;
    SmallVector<Value> candidates = roots(steps);
    for (Value root : llvm::reverse(candidates))
      if (attempt(root, LinearMatch::Kind::Steps, reason))
        return;
    refuse(steps, reason);
    if (!sawState)
      return;
    // The sums of single steps are no attention, and there are many.
    SmallVector<Value> pending{steps};
    llvm::SmallDenseSet<Value> seen;
    while (!pending.empty()) {
      Operation *op = pending.pop_back_val().getDefiningOp();
      if (!op || !seen.insert(op->getResult(0)).second)
        continue;
      auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
      if (linalgOp && linalgOp.getNumReductionLoops() > 0)
        ofSteps.insert(op);
      else if (linalgOp || isa<tensor::TensorDialect>(op->getDialect()))
        llvm::append_range(pending, op->getOperands());
    }
  }

  void raise(Value sum) {
    std::string reason;
    // The division nearest to the output first, then the sum alone.
    SmallVector<Value> candidates = roots(sum);
    for (Value root : llvm::reverse(candidates))
      if (attempt(root, LinearMatch::Kind::Normalised, reason))
        return;
    for (Value root : llvm::reverse(candidates))
      if (attempt(root, LinearMatch::Kind::ChunkedSum, reason))
        return;
    if (!attempt(sum, LinearMatch::Kind::Sum, reason))
      refuse(sum, reason);
  }

  void refuse(Value sum, StringRef reason) {
    if (reason.empty())
      return;
    ++numRefused;
    remark::missed(sum.getLoc(), options("LinearAttnNotRaised"))
        << remark::reason("{0}", reason) << remark::add("nodes {0}", nodeNames(sum.getLoc()));
  }

  bool attempt(Value root, LinearMatch::Kind kind, std::string &reason) {
    LinearMatch match(getOperation(), root);
    if (!match.match(kind)) {
      sawState = match.hasState();
      if (kind != LinearMatch::Kind::Normalised && reason.empty())
        reason = match.reason;
      return false;
    }
    OpBuilder builder(root.getContext());
    LinearAttentionOp op = match.build(builder);
    Operation *replaced = root.getDefiningOp();
    root.replaceAllUsesWith(match.getReplacement());
    SmallVector<Location> locations;
    eraseDead(replaced, locations);
    op->setLoc(FusedLoc::get(op.getContext(), locations));
    ++numRaised;
    remark::passed(op.getLoc(), options("LinearAttnRaised"))
        << remark::add("{0}", describe(op)) << remark::add("nodes {0}", nodeNames(op.getLoc()));
    return true;
  }

  /// Erases the operator and what only it needed.
  void eraseDead(Operation *op, SmallVectorImpl<Location> &locations) {
    SmallVector<Operation *> pending{op};
    while (!pending.empty()) {
      Operation *next = pending.pop_back_val();
      if (erased.contains(next) || !isOpTriviallyDead(next))
        continue;
      for (Value operand : next->getOperands())
        if (Operation *producer = operand.getDefiningOp())
          pending.push_back(producer);
      if (!isa<arith::ConstantOp, tensor::EmptyOp, tensor::DimOp, linalg::FillOp>(next))
        locations.push_back(next->getLoc());
      erased.insert(next);
      next->erase();
    }
  }

  llvm::DenseSet<Operation *> erased, ofSteps;
  /// Whether what was matched last carries a state from step to step.
  bool sawState = false;

  static std::string describe(LinearAttentionOp op) {
    std::string text = "linear attention, ";
    llvm::raw_string_ostream out(text);
    out << stringifyDirection(op.getDirection()) << ", update " << stringifyUpdate(op.getUpdate())
        << ", norm " << stringifyWeighting(op.getNorm());
    if (op.getEps())
      out << " with eps " << stringifyEpsMode(op.getEpsMode());
    out << (op.getQueryPos() ? ", position tables" : "")
        << (op.getToeplitz() ? ", relative positions" : "")
        << (op.getKeyMask() ? ", key mask" : "");
    return text;
  }

  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-raise")
        .function(getOperation().getName());
  }
};
} // namespace
} // namespace attune
