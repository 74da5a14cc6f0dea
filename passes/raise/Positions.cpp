// Index arithmetic of `Elements`: bounds, quotients and remainders over all values of free indices.
#include "attune/passes/raise/Elements.h"
#include "attune/passes/raise/Polynomial.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

Value Elements::sizeValue(AffineExpr extent) {
  extent = simplifyAffineExpr(extent, free.size(), sizes.numSymbols());
  if (std::optional<int64_t> value = Sizes::asConstant(extent))
    return constantIndex(*value);
  if (auto dim = dyn_cast<AffineDimExpr>(extent))
    return free[dim.getPosition()];
  if (auto binary = dyn_cast<AffineBinaryOpExpr>(extent)) {
    Value lhs = sizeValue(binary.getLHS());
    if (!lhs)
      return {};
    auto negated = dyn_cast<AffineBinaryOpExpr>(binary.getRHS());
    if (binary.getKind() == AffineExprKind::Add && negated &&
        negated.getKind() == AffineExprKind::Mul && Sizes::asConstant(negated.getRHS()) == -1) {
      Value rhs = sizeValue(negated.getLHS());
      return rhs ? make<arith::SubIOp>(lhs, rhs) : Value();
    }
    Value rhs = sizeValue(binary.getRHS());
    if (!rhs)
      return {};
    switch (binary.getKind()) {
    case AffineExprKind::Add:
      return make<arith::AddIOp>(lhs, rhs);
    case AffineExprKind::Mul:
      return make<arith::MulIOp>(lhs, rhs);
    case AffineExprKind::FloorDiv:
      return make<arith::FloorDivSIOp>(lhs, rhs);
    case AffineExprKind::CeilDiv:
      return make<arith::CeilDivSIOp>(lhs, rhs);
    default:
      return {};
    }
  }
  Value symbol = sizes.symbolValue(extent);
  return symbol && symbol.getType().isIndex() ? fromOutside(symbol) : Value();
}

AffineExpr Elements::asAffine(Value index) {
  if (auto position = llvm::find(free, index); position != free.end())
    return getAffineDimExpr(position - free.begin(), context);
  APInt value;
  if (matchPattern(index, m_ConstantInt(&value)))
    return sizes.constant(value.getSExtValue());
  if (Value host = outsideOf.lookup(index))
    return sizes.of(host);
  Operation *op = index.getDefiningOp();
  if (!op || !isa<arith::AddIOp, arith::SubIOp, arith::MulIOp>(op))
    return {};
  AffineExpr a = asAffine(op->getOperand(0)), b = asAffine(op->getOperand(1));
  if (!a || !b)
    return {};
  if (!isa<arith::MulIOp>(op))
    return isa<arith::AddIOp>(op) ? a + b : a - b;
  if (!b.isSymbolicOrConstant())
    std::swap(a, b);
  return b.isSymbolicOrConstant() ? a * b : AffineExpr();
}

Elements::Range Elements::difference(Value a, Value b) {
  AffineExpr x = asAffine(a), y = asAffine(b);
  if (!x || !y)
    return {};
  Polynomial low = Polynomial(x) - Polynomial(y), high = low;
  for (auto [position, index] : llvm::enumerate(free)) {
    AffineExpr dim = getAffineDimExpr(position, context);
    if (!low.has(dim) && !high.has(dim))
      continue;
    // The same slope in both: what is put in for other indices has none of them.
    std::optional<Polynomial> slope = low.slope(dim);
    std::optional<int64_t> factor = slope ? slope->asConstant() : std::nullopt;
    if (!factor)
      return {};
    Polynomial last(extents.lookup(index) - 1), term = Polynomial(dim) * *factor;
    low = low - term;
    high = high - term;
    (*factor >= 0 ? high : low) = (*factor >= 0 ? high : low) + last * *factor;
  }
  // Extents and other symbols that are sizes are not negative; nothing bounds them from above.
  auto bound = [&](Polynomial sum, bool lower) -> std::optional<int64_t> {
    for (unsigned position = 0; position < sizes.numSymbols(); ++position) {
      AffineExpr symbol = getAffineSymbolExpr(position, context);
      if (!sum.has(symbol))
        continue;
      std::optional<Polynomial> slope = sum.slope(symbol);
      std::optional<int64_t> factor = slope ? slope->asConstant() : std::nullopt;
      if (!factor || !sizes.symbolValue(symbol).getDefiningOp<tensor::DimOp>() ||
          (*factor >= 0) != lower)
        return std::nullopt;
      sum = sum - Polynomial(symbol) * *factor;
    }
    return sum.asConstant();
  };
  return {bound(low, true), bound(high, false)};
}

/// The multiple of `size` nearest to the slope of an index.
static int64_t nearestMultiple(const Polynomial &slope, const Polynomial &size) {
  auto a = slope.asConstant(), b = size.asConstant();
  if (a && b)
    return *b > 0 ? llvm::divideFloorSigned(2 * *a + *b, 2 * *b) : 0;
  for (int64_t factor : {1, 2, -1, -2})
    if ((slope - size * factor).asConstant())
      return factor;
  return 0;
}

std::optional<std::pair<Value, Value>> Elements::divide(Value index, Value size) {
  AffineExpr whole = asAffine(index), by = asAffine(size);
  if (!whole || !by || !by.isSymbolicOrConstant())
    return std::nullopt;
  Polynomial rest(whole), unit(by), quotient;
  auto take = [&](const Polynomial &multiples) {
    quotient = quotient + multiples;
    AffineExpr product = multiples.toExpr(context) * by;
    rest = rest - Polynomial(product);
  };
  for (unsigned position = 0; position < free.size(); ++position) {
    AffineExpr dim = getAffineDimExpr(position, context);
    if (!rest.has(dim))
      continue;
    std::optional<Polynomial> slope = rest.slope(dim);
    if (!slope)
      return std::nullopt;
    take(Polynomial(dim) * nearestMultiple(*slope, unit));
  }
  for (int64_t constant : {0, 1, -1}) {
    take(Polynomial(sizes.constant(constant)));
    Value remainder = sizeValue(rest.toExpr(context));
    if (remainder && difference(remainder, constantIndex(0)).low.value_or(-1) >= 0 &&
        difference(remainder, size).high.value_or(0) < 0) {
      Value multiple = sizeValue(quotient.toExpr(context));
      return multiple ? std::optional(std::pair(multiple, remainder)) : std::nullopt;
    }
    take(Polynomial(sizes.constant(-constant)));
  }
  return std::nullopt;
}

/// Sums of positions that cancel: `n - 1 - (n - 1 - i)` is i.
Value Elements::simplifyPosition(Operation *op) {
  if (!isa<arith::AddIOp, arith::SubIOp>(op))
    return {};
  AffineExpr a = asAffine(op->getOperand(0)), b = asAffine(op->getOperand(1));
  if (!a || !b)
    return {};
  Polynomial sum =
      isa<arith::AddIOp>(op) ? Polynomial(a) + Polynomial(b) : Polynomial(a) - Polynomial(b);
  if (std::optional<int64_t> constant = sum.asConstant())
    return constantIndex(*constant);
  auto variable = sum.asVariable();
  Value base = variable ? sizeValue(variable->first) : Value();
  if (!base || variable->second == 0)
    return base;
  Value rest = constantIndex(variable->second);
  bool isSimple = isa<arith::AddIOp>(op) && op->getOperand(0) == base && op->getOperand(1) == rest;
  return isSimple ? Value() : make<arith::AddIOp>(base, rest);
}

} // namespace attune
