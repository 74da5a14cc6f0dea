// Weights that are a function of the scores without a softmax: relu squared, laplace, sigmoid.
#include "attune/passes/raise/AttentionMatch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/RegionUtils.h"
#include <cmath>

using namespace mlir;

namespace attune {

/// What the operator reads, as operands or in its regions.
static void appendRead(Operation *op, SmallVectorImpl<Value> &values) {
  llvm::append_range(values, op->getOperands());
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  llvm::append_range(values, captured);
}

/// True if some argument of the function reaches the tensor.
static bool isComputed(Value tensor) {
  SmallVector<Value> pending{tensor};
  llvm::SmallDenseSet<Value> seen;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    Operation *op = value.getDefiningOp();
    if (!op)
      return true;
    // Sizes of arguments are no data.
    if (!isa<tensor::DimOp, tensor::EmptyOp>(op))
      appendRead(op, pending);
  }
  return false;
}

/// True if the tensor is computed from the result of `op`.
static bool comesFrom(Value tensor, Operation *op) {
  SmallVector<Value> pending{tensor};
  llvm::SmallDenseSet<Operation *> seen;
  while (!pending.empty()) {
    Operation *producer = pending.pop_back_val().getDefiningOp();
    if (!producer || !seen.insert(producer).second)
      continue;
    if (producer == op)
      return true;
    if (producer->getBlock() != op->getBlock() || !producer->isBeforeInBlock(op))
      appendRead(producer, pending);
  }
  return false;
}

/// Whether an element of the scores, or of what was computed from them, is read beside the score
/// itself: it was rounded in another way than the attention will round.
bool AttentionMatch::readsOtherScores(Value scalar) {
  return scores && llvm::any_of(elements.loads(scalar), [&](Value load) {
           return load != dot && comesFrom(elements.load(load)->tensor, scores->op);
         });
}

/// True if the scalar is `dot` times something that does not depend on it.
static bool isMultiple(Elements &elements, Value scalar, Value dot) {
  if (scalar == dot || asFloat(scalar) == 0.0)
    return true;
  Operation *op = scalar.getDefiningOp();
  if (!op || !elements.depends(scalar, dot))
    return false;
  auto multiple = [&](unsigned n) { return isMultiple(elements, op->getOperand(n), dot); };
  auto depends = [&](unsigned n) { return elements.depends(op->getOperand(n), dot); };
  if (isa<arith::MulFOp>(op))
    return depends(0) ? multiple(0) && !depends(1) : multiple(1);
  if (isa<arith::DivFOp>(op))
    return multiple(0) && !depends(1);
  if (isa<arith::AddFOp, arith::SubFOp>(op))
    return multiple(0) && multiple(1);
  if (isa<arith::SelectOp>(op))
    return !depends(0) && multiple(1) && multiple(2);
  return isa<arith::NegFOp, arith::ExtFOp, arith::TruncFOp>(op) && multiple(0);
}

/// A contraction of computed queries and keys; the values are computed too. Layers with learned
/// matrices on either side of an activation are not.
bool AttentionMatch::findWeights() {
  if (!isComputed(output.operands[1 - side]))
    return false;
  score = weights;
  if (Operation *root = weights.getDefiningOp()) {
    if (isa<arith::DivFOp>(root))
      matchTotal(weights, root->getOperand(0));
    else if (isa<arith::MulFOp>(root))
      for (unsigned n : {0, 1})
        if (matchTotal(weights, root->getOperand(n)))
          break;
  }
  for (Value load : elements.loads(score)) {
    std::optional<ElementOf> element = elements.load(load);
    std::optional<Contraction> found = matchContraction(element->tensor.getDefiningOp());
    if (!found || !llvm::is_contained(element->indices, column) ||
        !isComputed(found->operands[0]) || !isComputed(found->operands[1]))
      continue;
    dot = load;
    source = element->tensor;
    scores = *found;
    break;
  }
  multiple = dot && isMultiple(elements, score, dot);
  return bool(dot);
}

/// Multiples of the scores are linear attention, which has cheaper forms and was looked for before;
/// what it did not take is worth an attention only if the factor is a whole map, like a decay.
bool AttentionMatch::isWorthwhile() {
  if (!multiple)
    return true;
  Value one = elements.constantFloat(dot.getType(), 1);
  Value factor = substitute(elements, score, dot, one);
  return row && elements.depends(factor, row) && elements.depends(factor, column);
}

/// quotient = weight / (sum of the row's weights + eps), or / max(sum, eps).
bool AttentionMatch::matchTotal(Value quotient, Value weight) {
  Operation *op = quotient.getDefiningOp();
  Value total = op->getOperand(op->getOperand(0) == weight ? 1 : 0);
  if (isa<arith::MulFOp>(op)) {
    auto inverse = total.getDefiningOp<arith::DivFOp>();
    if (!inverse || asFloat(inverse.getLhs()) != 1.0)
      return false;
    total = inverse.getRhs();
  }
  double floor = 0;
  EpsMode mode = EpsMode::Add;
  Value more;
  Operation *guard = total.getDefiningOp();
  bool adds = isa_and_nonnull<arith::AddFOp>(guard);
  if (adds || isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(guard))
    for (unsigned n : {0, 1}) {
      Value other = guard->getOperand(n);
      std::optional<double> constant = asFloat(other);
      bool isExponential = adds && other.getDefiningOp<math::ExpOp>();
      if (!constant && !isExponential)
        continue;
      floor = constant.value_or(0);
      more = constant ? Value() : other;
      mode = adds ? EpsMode::Add : EpsMode::Clamp;
      total = guard->getOperand(1 - n);
      break;
    }
  std::optional<ElementOf> element = elements.load(total);
  if (!element || !element->tensor || elements.depends(total, column))
    return false;
  // The sum runs over the keys of the weights themselves.
  std::optional<Elements::Reduced> reduced = elements.reduced(*element, column);
  Value own = quotient == weights ? weight : weights;
  if (!reduced || !reduced->isSum || reduced->element != own)
    return false;
  score = own;
  weighting = Weighting::Sum;
  eps = floor;
  epsMode = mode;
  beside = more;
  return true;
}

/// The division by the sum may also come after the contraction with the values.
bool AttentionMatch::matchQuotient() {
  if (weighting != Weighting::Sum) {
    weighting = Weighting::None;
    SmallVector<Value> place;
    for (AffineExpr expr : output.resultMap.getResults())
      place.push_back(outputLoops[cast<AffineDimExpr>(expr).getPosition()]);
    Value unscaled = elements.at(output.result(), place);
    for (Operation *user : output.result().getUsers()) {
      auto quotient = dyn_cast<linalg::LinalgOp>(user);
      if (!quotient || !output.result().hasOneUse() || quotient->getNumResults() != 1 ||
          quotient->getResult(0).getType() != output.result().getType())
        continue;
      Value scalar = elements.at(quotient->getResult(0), place);
      Operation *root = scalar.getDefiningOp();
      if (isa_and_nonnull<arith::DivFOp, arith::MulFOp>(root) &&
          (root->getOperand(0) == unscaled ||
           (isa<arith::MulFOp>(root) && root->getOperand(1) == unscaled)) &&
          matchTotal(scalar, unscaled))
        end = quotient;
    }
  }
  if (weighting == Weighting::Sum && !(eps >= 0))
    return refuse("the sum of the weights is guarded by a negative number");
  return true;
}

/// Whether the scalar is 0 wherever `part` is `constant`, whatever finite values the rest has.
bool AttentionMatch::vanishes(Value scalar, Value part, Value constant) {
  if (scalar == part)
    return asFloat(constant) == 0.0;
  Operation *op = scalar.getDefiningOp();
  if (!op || !elements.depends(scalar, part))
    return asFloat(scalar) == 0.0;
  auto zero = [&](unsigned n) { return vanishes(op->getOperand(n), part, constant); };
  if (isa<arith::MulFOp>(op) && (zero(0) || zero(1)))
    return true;
  if (isa<arith::DivFOp, arith::ExtFOp, arith::TruncFOp, arith::NegFOp>(op) && zero(0))
    return true;
  if (isa<arith::SelectOp>(op) && !elements.depends(op->getOperand(0), part) && zero(1) && zero(2))
    return true;
  return asFloat(substitute(elements, scalar, part, constant)) == 0.0;
}

/// Moves one choice that makes the weight 0 from the score to the mask.
bool AttentionMatch::splitWeightMask() {
  SmallVector<Value> pending{score};
  llvm::SmallDenseSet<Value> seen;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || !seen.insert(value).second || !isa<FloatType>(value.getType()) ||
        elements.load(value))
      continue;
    llvm::append_range(pending, op->getOperands());
    // Of a choice, and of a sum with a choice between 0 and "never", what is kept elsewhere.
    auto attempt = [&](arith::SelectOp select, Value kept) {
      if (!select || elements.depends(select.getCondition(), dot))
        return false;
      for (bool negated : {false, true}) {
        Value constant = negated ? select.getTrueValue() : select.getFalseValue();
        Value other = negated ? select.getFalseValue() : select.getTrueValue();
        std::optional<double> number = asFloat(constant);
        if (!number)
          continue;
        if (kept &&
            (asFloat(other) != 0.0 || !(isNegativeInfinity(constant) || isNever(*number, kept))))
          continue;
        if (!vanishes(score, value, constant))
          continue;
        Value condition = select.getCondition();
        if (negated)
          condition = elements.negate(condition);
        allowed = allowed ? elements.make<arith::AndIOp>(allowed, condition) : condition;
        score = substitute(elements, score, value, kept ? kept : other);
        return true;
      }
      return false;
    };
    if (attempt(dyn_cast<arith::SelectOp>(op), {}))
      return true;
    if (isa<arith::AddFOp>(op))
      for (unsigned n : {0, 1})
        if (attempt(op->getOperand(n).getDefiningOp<arith::SelectOp>(), op->getOperand(1 - n)))
          return true;
  }
  return false;
}

/// Masks are what makes a weight 0 by position or by data; the rest must not look at the row.
bool AttentionMatch::matchWeightRegions() {
  while (splitWeightMask())
    if (!elements.depends(score, dot))
      return refuse("the mask hides the scores");
  if (!matchExponentials())
    return false;
  if (readsOtherScores(score))
    return refuse("the weights are no function of single scores");
  if (allowed && (elements.depends(allowed, dot) || readsOtherScores(allowed)))
    return refuse("the mask depends on the scores");
  // Dividing by a number of keys that is the same for a row is multiplying by its inverse.
  while (true) {
    arith::DivFOp division;
    SmallVector<Value> pending{score};
    llvm::SmallDenseSet<Value> seen;
    while (!pending.empty() && !division) {
      Operation *op = pending.pop_back_val().getDefiningOp();
      if (!op || !seen.insert(op->getResult(0)).second || elements.load(op->getResult(0)))
        continue;
      division = dyn_cast<arith::DivFOp>(op);
      if (division && (elements.depends(division.getRhs(), column) ||
                       elements.depends(division.getRhs(), dot) || asFloat(division.getRhs()) ||
                       asFloat(division.getLhs())))
        division = {};
      llvm::append_range(pending, op->getOperands());
    }
    if (!division)
      return true;
    Value one = elements.constantFloat(division.getType(), 1);
    Value inverse = elements.make<arith::DivFOp>(one, division.getRhs());
    score = substitute(elements, score, division,
                       elements.make<arith::MulFOp>(division.getLhs(), inverse));
  }
}

} // namespace attune
