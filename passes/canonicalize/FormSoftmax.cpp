#include "attune/passes/Passes.h"
#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <cmath>

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_FORMSOFTMAX
#include "attune/passes/Passes.h.inc"

namespace {

/// exp of anything below this stays finite in f32, also when many are added.
constexpr double kSafeExponent = 60;

/// A bound on the magnitude of a scalar that holds for all inputs (NaN aside), or infinity.
double magnitude(Value scalar) {
  constexpr double unknown = std::numeric_limits<double>::infinity();
  if (std::optional<double> constant = asFloat(scalar))
    return std::abs(*constant);
  Operation *op = scalar.getDefiningOp();
  auto of = [&](unsigned n) { return magnitude(op->getOperand(n)); };
  if (!op)
    return unknown;
  if (isa<math::TanhOp, math::ErfOp, math::SinOp, math::CosOp>(op))
    return 1;
  if (isa<arith::AddFOp, arith::SubFOp>(op))
    return of(0) + of(1);
  if (isa<arith::MulFOp>(op))
    return of(0) * of(1);
  if (isa<arith::DivFOp>(op))
    if (std::optional<double> divisor = asFloat(op->getOperand(1)); divisor && *divisor != 0)
      return of(0) / std::abs(*divisor);
  if (isa<arith::NegFOp, arith::ExtFOp, arith::TruncFOp, math::AbsFOp>(op))
    return of(0);
  if (isa<arith::SelectOp>(op))
    return std::max(of(1), of(2));
  // max(low, min(high, x)) in either order.
  if (isa<arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp, arith::MinNumFOp>(op))
    for (unsigned n : {0, 1}) {
      std::optional<double> outer = asFloat(op->getOperand(1 - n));
      Operation *inner = op->getOperand(n).getDefiningOp();
      if (!outer || !inner || inner->getName() == op->getName() ||
          !isa<arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp, arith::MinNumFOp>(inner))
        continue;
      for (unsigned m : {0, 1})
        if (std::optional<double> other = asFloat(inner->getOperand(m)))
          return std::max(std::abs(*outer), std::abs(*other));
    }
  return unknown;
}

struct FormSoftmax : impl::FormSoftmaxBase<FormSoftmax> {
  using FormSoftmaxBase::FormSoftmaxBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> candidates;
    getOperation().walk([&](linalg::LinalgOp op) {
      auto isQuotient = [](Operation &inner) { return isa<arith::DivFOp, arith::MulFOp>(inner); };
      if (op.getNumLoops() == op.getNumParallelLoops() && op->getNumResults() == 1 &&
          llvm::any_of(*op.getBlock(), isQuotient) && op.hasPureTensorSemantics())
        candidates.push_back(op);
    });
    Sizes sizes(getOperation());
    for (linalg::LinalgOp op : candidates)
      form(op, sizes);
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  void form(linalg::LinalgOp op, Sizes &sizes) {
    Value result = op->getResult(0);
    Elements elements(sizes);
    elements.setBudget(256);
    SmallVector<Value> indices = elements.addIndices(result);
    Operation *root = elements.at(result, indices).getDefiningOp();
    if (!isa_and_nonnull<arith::DivFOp, arith::MulFOp>(root))
      return;
    // e / s, e * (1 / s).
    for (unsigned n : {0, 1}) {
      Value exponential = root->getOperand(n), sum = root->getOperand(1 - n);
      if (isa<arith::MulFOp>(root)) {
        auto inverse = sum.getDefiningOp<arith::DivFOp>();
        if (!inverse || asFloat(inverse.getLhs()) != 1.0)
          continue;
        sum = inverse.getRhs();
      } else if (n == 1) {
        break;
      }
      if (match(op, elements, indices, exponential, sum))
        return;
    }
  }

  /// The axis whose index the load lacks, if its reduction combines `element`.
  std::optional<int64_t> reducedAxis(Elements &elements, ArrayRef<Value> indices, Value load,
                                     Value element, bool isSum) {
    std::optional<ElementOf> source = elements.load(load);
    if (!source || !source->tensor)
      return std::nullopt;
    for (auto [axis, index] : llvm::enumerate(indices)) {
      if (elements.depends(load, index))
        continue;
      std::optional<Elements::Reduced> reduced = elements.reduced(*source, index);
      if (reduced && reduced->isSum == isSum && reduced->element == element)
        return axis;
    }
    return std::nullopt;
  }

  bool match(linalg::LinalgOp op, Elements &elements, ArrayRef<Value> indices, Value exponential,
             Value sum) {
    auto exp = exponential.getDefiningOp<math::ExpOp>();
    if (!exp)
      return false;
    std::optional<int64_t> axis = reducedAxis(elements, indices, sum, exponential, true);
    if (!axis)
      return false;
    Value x = exp.getOperand();
    auto shifted = x.getDefiningOp<arith::SubFOp>();
    bool isShifted = shifted && reducedAxis(elements, indices, shifted.getRhs(), shifted.getLhs(),
                                            false) == axis;
    if (isShifted) {
      x = shifted.getLhs();
    } else if (double bound = magnitude(x); bound > kSafeExponent) {
      ++numRefused;
      remark::missed(op.getLoc(), remark::RemarkOpts::name("SoftmaxNotFormed")
                                      .category("attune-canonicalize")
                                      .function(getOperation().getName()))
          << remark::reason("exp is not shifted by the maximum and its argument is not bounded: "
                            "where it overflows, the result is NaN, and softmax would be finite")
          << remark::suggest("subtract the maximum, or clip the argument")
          << remark::add("nodes {0}", nodeNames(op.getLoc()));
      return false;
    }
    Value result = op->getResult(0);
    auto type = cast<RankedTensorType>(result.getType());
    Value input = elements.tensorAt(x, indices, type);
    if (!input || input == result)
      return false;
    OpBuilder builder(op);
    auto softmax = linalg::SoftmaxOp::create(builder, op.getLoc(), TypeRange{type}, input,
                                             op.getDpsInits()[0], uint64_t(*axis));
    result.replaceAllUsesWith(softmax->getResult(0));
    ++numFormed;
    return true;
  }
};
} // namespace
} // namespace attune
