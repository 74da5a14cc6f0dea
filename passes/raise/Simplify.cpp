// Simplification of the scalars of `Elements`: what folding alone does not see.
#include "attune/passes/raise/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

static bool isConstant(Value value) { return matchPattern(value, m_Constant()); }

/// A choice between two constants.
static arith::SelectOp asConstantChoice(Value value) {
  auto select = value.getDefiningOp<arith::SelectOp>();
  return select && isConstant(select.getTrueValue()) && isConstant(select.getFalseValue())
             ? select
             : arith::SelectOp();
}

Value Elements::finish(Operation *op) {
  if (budget > 0)
    --budget;
  while (!isa<arith::ConstantOp>(op)) {
    SmallVector<OpFoldResult> folded;
    if (failed(op->fold(folded)))
      break;
    if (folded.empty())
      continue;
    op->erase();
    if (auto value = dyn_cast<Value>(folded[0]))
      return value;
    return make<arith::ConstantOp>(cast<TypedAttr>(cast<Attribute>(folded[0])));
  }
  if (!isa<arith::ConstantOp>(op))
    if (Value simpler = simplify(op)) {
      op->erase();
      return simpler;
    }
  size_t hash = OperationEquivalence::computeHash(op, OperationEquivalence::directHashValue,
                                                  OperationEquivalence::ignoreHashValue,
                                                  OperationEquivalence::IgnoreLocations);
  for (Operation *other : unique[hash])
    if (OperationEquivalence::isEquivalentTo(op, other, OperationEquivalence::exactValueMatch,
                                             nullptr, OperationEquivalence::IgnoreLocations)) {
      op->erase();
      return other->getResult(0);
    }
  unique[hash].push_back(op);
  return op->getResult(0);
}

Value Elements::simplify(Operation *op) {
  if (auto select = dyn_cast<arith::SelectOp>(op)) {
    Value condition = select.getCondition(), yes = select.getTrueValue(),
          no = select.getFalseValue();
    if (select.getType().isInteger(1) && matchPattern(yes, m_Zero()) && matchPattern(no, m_One()))
      return negate(condition);
    if (auto negation = condition.getDefiningOp<arith::XOrIOp>();
        negation && matchPattern(negation.getRhs(), m_One()))
      return make<arith::SelectOp>(negation.getLhs(), no, yes);
    if (auto inner = yes.getDefiningOp<arith::SelectOp>(); inner && inner.getFalseValue() == no)
      return make<arith::SelectOp>(make<arith::AndIOp>(condition, inner.getCondition()),
                                   inner.getTrueValue(), no);
    return {};
  }
  if (auto negation = dyn_cast<arith::XOrIOp>(op);
      negation && negation.getType().isInteger(1) && matchPattern(negation.getRhs(), m_One())) {
    if (auto inner = negation.getLhs().getDefiningOp<arith::XOrIOp>();
        inner && matchPattern(inner.getRhs(), m_One()))
      return inner.getLhs();
    if (auto compare = negation.getLhs().getDefiningOp<arith::CmpIOp>())
      return make<arith::CmpIOp>(arith::invertPredicate(compare.getPredicate()), compare.getLhs(),
                                 compare.getRhs());
    return {};
  }
  // A truth value turned into a number is a choice between constants.
  if (isa<arith::ExtUIOp, arith::ExtSIOp, arith::UIToFPOp, arith::SIToFPOp>(op) &&
      op->getOperand(0).getType().isInteger(1)) {
    Type type = op->getResult(0).getType();
    bool isSigned = isa<arith::ExtSIOp, arith::SIToFPOp>(op);
    Value one = isa<FloatType>(type) ? constantFloat(type, isSigned ? -1 : 1)
                                     : constantInt(type, isSigned ? -1 : 1);
    Value zero = isa<FloatType>(type) ? constantFloat(type, 0) : constantInt(type, 0);
    return make<arith::SelectOp>(op->getOperand(0), one, zero);
  }
  if (Value value = distribute(op))
    return value;
  if (isa<arith::CmpIOp, arith::CmpFOp>(op))
    return simplifyCompare(op);
  return simplifyInteger(op);
}

/// op(select(c, K1, K2), K3) is select(c, op(K1, K3), op(K2, K3)).
Value Elements::distribute(Operation *op) {
  if (!isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) || op->getNumResults() != 1)
    return {};
  arith::SelectOp choice;
  for (Value operand : op->getOperands()) {
    if (isConstant(operand))
      continue;
    arith::SelectOp select = asConstantChoice(operand);
    if (!select || (choice && choice != select))
      return {};
    choice = select;
  }
  if (!choice)
    return {};
  Value results[2];
  for (bool side : {false, true}) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(isConstant(operand) ? operand : choice.getOperand(side ? 1 : 2));
    results[side] = rebuild(op, operands);
    if (!isConstant(results[side]))
      return {};
  }
  return make<arith::SelectOp>(choice.getCondition(), results[1], results[0]);
}

Value Elements::asIndex(Value integer) {
  if (integer.getType().isIndex())
    return integer;
  APInt value;
  if (matchPattern(integer, m_ConstantInt(&value)))
    return constantIndex(value.getSExtValue());
  if (auto cast = integer.getDefiningOp<arith::IndexCastOp>())
    return cast.getIn();
  return {};
}

Value Elements::simplifyInteger(Operation *op) {
  if (op->getNumOperands() == 0 || !op->getResult(0).getType().isIntOrIndex())
    return {};
  Type type = op->getResult(0).getType();
  auto fromIndex = [&](Value index) {
    return type.isIndex() ? index : make<arith::IndexCastOp>(type, index);
  };
  if (auto cast = dyn_cast<arith::IndexCastOp>(op)) {
    Value index = asIndex(cast.getIn());
    return index && !cast.getIn().getType().isIndex() ? fromIndex(index) : Value();
  }
  // Positions fit every integer type that exporters compute them in.
  if (isa<arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp>(op)) {
    auto cast = op->getOperand(0).getDefiningOp<arith::IndexCastOp>();
    return cast && type.getIntOrFloatBitWidth() >= 32 ? fromIndex(cast.getIn()) : Value();
  }
  if (op->getNumOperands() != 2 || type.isInteger(1))
    return {};
  Value a = asIndex(op->getOperand(0)), b = asIndex(op->getOperand(1));
  if (!a || !b)
    return {};
  // (x div s) * s + x mod s is x.
  if (isa<arith::AddIOp>(op))
    if (auto product = a.getDefiningOp<arith::MulIOp>())
      if (auto quotient = product.getLhs().getDefiningOp<arith::DivUIOp>())
        if (auto rest = b.getDefiningOp<arith::RemUIOp>();
            rest && rest.getLhs() == quotient.getLhs() && rest.getRhs() == quotient.getRhs() &&
            rest.getRhs() == product.getRhs())
          return fromIndex(rest.getLhs());
  if (isa<arith::MinSIOp, arith::MinUIOp, arith::MaxSIOp, arith::MaxUIOp>(op)) {
    bool isUnsigned = isa<arith::MinUIOp, arith::MaxUIOp>(op);
    bool isMin = isa<arith::MinSIOp, arith::MinUIOp>(op);
    Value zero = constantIndex(0);
    if (isUnsigned &&
        (difference(a, zero).low.value_or(-1) < 0 || difference(b, zero).low.value_or(-1) < 0))
      return {};
    Range range = difference(a, b);
    if (range.high.value_or(1) <= 0)
      return fromIndex(isMin ? a : b);
    if (range.low.value_or(-1) >= 0)
      return fromIndex(isMin ? b : a);
  }
  if (isa<arith::RemUIOp, arith::RemSIOp, arith::DivUIOp, arith::DivSIOp, arith::FloorDivSIOp>(
          op) &&
      difference(a, constantIndex(0)).low.value_or(-1) >= 0)
    if (auto parts = divide(a, b))
      return fromIndex(isa<arith::RemUIOp, arith::RemSIOp>(op) ? parts->second : parts->first);
  if (type.isIndex())
    return simplifyPosition(op);
  if (isa<arith::AddIOp>(op))
    return fromIndex(make<arith::AddIOp>(a, b));
  if (isa<arith::SubIOp>(op))
    return fromIndex(make<arith::SubIOp>(a, b));
  if (isa<arith::MulIOp>(op))
    return fromIndex(make<arith::MulIOp>(a, b));
  if (isa<arith::MinSIOp>(op))
    return fromIndex(make<arith::MinSIOp>(a, b));
  if (isa<arith::MaxSIOp>(op))
    return fromIndex(make<arith::MaxSIOp>(a, b));
  return {};
}

Value Elements::simplifyCompare(Operation *op) {
  using IP = arith::CmpIPredicate;
  using FP = arith::CmpFPredicate;
  IP predicate;
  Value a, b;
  if (auto compare = dyn_cast<arith::CmpFOp>(op)) {
    // Comparisons of positions as floats: exact below 2^24.
    auto integer = [&](Value value) -> Value {
      if (auto cast = value.getDefiningOp<arith::SIToFPOp>())
        return asIndex(cast.getIn());
      APFloat constant(0.0f);
      if (!matchPattern(value, m_ConstantFloat(&constant)) || !constant.isInteger() ||
          !constant.isFinite())
        return {};
      llvm::APSInt whole(64, false);
      bool exact;
      if (constant.convertToInteger(whole, APFloat::rmTowardZero, &exact) != APFloat::opOK)
        return {};
      return constantIndex(whole.getSExtValue());
    };
    switch (compare.getPredicate()) {
    case FP::OEQ:
    case FP::UEQ:
      predicate = IP::eq;
      break;
    case FP::ONE:
    case FP::UNE:
      predicate = IP::ne;
      break;
    case FP::OLT:
    case FP::ULT:
      predicate = IP::slt;
      break;
    case FP::OLE:
    case FP::ULE:
      predicate = IP::sle;
      break;
    case FP::OGT:
    case FP::UGT:
      predicate = IP::sgt;
      break;
    case FP::OGE:
    case FP::UGE:
      predicate = IP::sge;
      break;
    default:
      return {};
    }
    a = integer(compare.getLhs());
    b = integer(compare.getRhs());
  } else {
    auto integers = cast<arith::CmpIOp>(op);
    predicate = integers.getPredicate();
    a = asIndex(integers.getLhs());
    b = asIndex(integers.getRhs());
  }
  if (!a || !b)
    return {};
  Range range = difference(a, b);
  Value zero = constantIndex(0);
  bool bothPositive =
      difference(a, zero).low.value_or(-1) >= 0 && difference(b, zero).low.value_or(-1) >= 0;
  if (predicate >= IP::ult) {
    // Unsigned comparison of a value that may be negative is left alone.
    if (!bothPositive)
      return {};
    predicate = predicate == IP::ult   ? IP::slt
                : predicate == IP::ule ? IP::sle
                : predicate == IP::ugt ? IP::sgt
                                       : IP::sge;
  }
  std::optional<bool> known;
  bool below = range.high && *range.high < 0, notAbove = range.high && *range.high <= 0;
  bool above = range.low && *range.low > 0, notBelow = range.low && *range.low >= 0;
  switch (predicate) {
  case IP::eq:
    if (below || above)
      known = false;
    else if (notAbove && notBelow)
      known = true;
    break;
  case IP::ne:
    if (below || above)
      known = true;
    else if (notAbove && notBelow)
      known = false;
    break;
  case IP::slt:
    known = below ? std::optional(true) : notBelow ? std::optional(false) : known;
    break;
  case IP::sle:
    known = notAbove ? std::optional(true) : above ? std::optional(false) : known;
    break;
  case IP::sgt:
    known = above ? std::optional(true) : notAbove ? std::optional(false) : known;
    break;
  case IP::sge:
    known = notBelow ? std::optional(true) : below ? std::optional(false) : known;
    break;
  default:
    break;
  }
  if (known)
    return constantInt(builder.getI1Type(), *known);
  auto same = dyn_cast<arith::CmpIOp>(op);
  if (same && same.getLhs() == a && same.getRhs() == b && same.getPredicate() == predicate)
    return {};
  return make<arith::CmpIOp>(predicate, a, b);
}

} // namespace attune
