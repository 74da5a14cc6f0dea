#include "attune/passes/Passes.h"
#include "attune/passes/raise/AttentionMatch.h"
#include "attune/passes/raise/ConstantMasks.h"
#include "attune/passes/raise/SplitProbabilities.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISEATTENTION
#include "attune/passes/Passes.h.inc"

namespace {
struct RaiseAttention : impl::RaiseAttentionBase<RaiseAttention> {
  using RaiseAttentionBase::RaiseAttentionBase;

  void runOnOperation() override {
    getOperation().walk(boundConstantMasks);
    SmallVector<Operation *> contractions;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (matchContraction(op))
        contractions.push_back(op);
    });
    for (Operation *op : contractions)
      raise(*matchContraction(op));
    // Uses go before definitions.
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  void raise(Contraction output) {
    for (unsigned operand : {0, 1}) {
      AttentionMatch match(getOperation(), output, operand);
      AttentionMatch::Result result = match.match();
      if (match.combinesProbabilities) {
        SmallVector<Operation *> parts = splitProbabilities(getOperation(), output, operand);
        for (Operation *part : parts)
          raise(*matchContraction(part));
        if (!parts.empty())
          return;
      }
      if (result == AttentionMatch::Result::NoAttention)
        continue;
      if (result == AttentionMatch::Result::Matched)
        return replace(match, output);
      if (match.scoresShared) {
        AttentionMatch given(getOperation(), output, operand, /*keepScores=*/true);
        if (given.match() == AttentionMatch::Result::Matched)
          return replace(given, output);
      }
      ++numRefused;
      remark::missed(match.getLoc(), options("AttnNotRaised"))
          << remark::reason("{0}", match.reason) << remark::add("nodes {0}", names(match, output));
      return;
    }
  }

  void replace(AttentionMatch &match, Contraction output) {
    OpBuilder builder(output.op);
    AttentionOp op = match.build(builder);
    ++numRaised;
    remark::passed(op.getLoc(), options("AttnRaised"))
        << remark::add("{0}", describe(op)) << remark::add("nodes {0}", nodeNames(op.getLoc()));
  }

  static std::string names(AttentionMatch &match, Contraction output) {
    return nodeNames(FusedLoc::get(output.op.getContext(), {match.getLoc(), output.op.getLoc()}));
  }

  static std::string describe(AttentionOp op) {
    std::string text;
    llvm::raw_string_ostream out(text);
    bool softmax = op.getWeighting() == Weighting::Softmax;
    if (softmax)
      out << "softmax attention";
    else
      out << "attention with elementwise weights"
          << (op.getWeighting() == Weighting::Sum ? ", divided by their sum" : "");
    out << (op.getScale() ? ", scale" : "") << (op.hasScore() ? ", score region" : "")
        << (op.hasMask() ? ", mask region" : "") << (op.getSink() ? ", sink" : "");
    if (softmax)
      out << ", empty rows " << stringifyEmptyRow(op.getEmptyRow());
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
