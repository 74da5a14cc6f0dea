// Masks that are finite numbers, and masks that are applied to the probabilities once more.
#include "attune/passes/raise/AttentionMatch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;

namespace attune {

/// True if some key j of every row has condition(j).
bool AttentionMatch::alwaysKeepsKey(Value condition) {
  Value first = substitute(elements, condition, column, elements.constantIndex(0));
  if (matchPattern(first, m_One()))
    return true;
  return row && sizes.equal(extentOf(row), extentOf(column)) &&
         matchPattern(substitute(elements, condition, column, row), m_One());
}

bool isOrdinary(Value scalar, Value dot, double most) {
  if (scalar == dot)
    return true;
  if (std::optional<double> constant = asFloat(scalar))
    return std::abs(*constant) <= most;
  Operation *op = scalar.getDefiningOp();
  if (!op)
    return false;
  if (isa<arith::SIToFPOp, arith::UIToFPOp, math::TanhOp>(op))
    return true;
  if (!isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp, arith::NegFOp, arith::ExtFOp,
           arith::TruncFOp>(op))
    return false;
  return llvm::all_of(op->getOperands(), [&](Value operand) { return isOrdinary(operand, dot, most); });
}

bool AttentionMatch::isNever(double constant, Value kept) {
  return constant <= kNever && isOrdinary(kept, dot);
}

/// Moves a finite mask into `allowed` when that is exact: another key of the row has a weight, next
/// to which exp underflows to 0. Returns the score without it, or null.
Value AttentionMatch::finiteMask(Value masked) {
  auto choice = [&](Value scalar, bool whole) -> std::pair<Value, Value> {
    auto select = scalar.getDefiningOp<arith::SelectOp>();
    if (!select)
      return {};
    std::optional<double> yes = asFloat(select.getTrueValue()),
                          no = asFloat(select.getFalseValue());
    auto usable = [&](std::optional<double> never, Value kept, Value condition) {
      return never && alwaysKeepsKey(condition) &&
             (whole ? isNever(*never, kept) : *never <= kNever && asFloat(kept) == 0.0);
    };
    if (usable(no, select.getTrueValue(), select.getCondition()))
      return {select.getCondition(), select.getTrueValue()};
    Value negated = elements.negate(select.getCondition());
    if (usable(yes, select.getFalseValue(), negated))
      return {negated, select.getFalseValue()};
    return {};
  };
  if (auto [condition, kept] = choice(masked, true); condition) {
    allowed = condition;
    return kept;
  }
  if (auto sum = masked.getDefiningOp<arith::AddFOp>())
    for (unsigned n : {0, 1})
      if (auto [condition, zero] = choice(sum->getOperand(n), false);
          condition && isOrdinary(sum->getOperand(1 - n), dot)) {
        allowed = condition;
        return sum->getOperand(1 - n);
      }
  return {};
}

/// The mask after the softmax: that of the scores once more, or one of whole rows.
bool AttentionMatch::matchKept() {
  if (allowed == keptAfter) {
    emptyRow = EmptyRow::Zero;
    return true;
  }
  if (!elements.depends(keptAfter, column)) {
    keptRows = keptAfter;
    return true;
  }
  auto select = score.getDefiningOp<arith::SelectOp>();
  std::optional<double> never = select ? asFloat(select.getFalseValue()) : std::nullopt;
  if (allowed || !never || *never > kNever || select.getCondition() != keptAfter ||
      !isOrdinary(select.getTrueValue(), dot))
    return false;
  emptyRow = EmptyRow::Zero;
  allowed = keptAfter;
  score = select.getTrueValue();
  return true;
}

} // namespace attune
