#include "attune/passes/raise/BroadcastSum.h"
#include "attune/passes/raise/Match.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune {

/// The extent of a loop of the operator, or null.
static AffineExpr extentOf(Sizes &sizes, linalg::LinalgOp op, unsigned loop) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<RankedTensorType>(operand.get().getType()))
      continue;
    for (auto [axis, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
      if (expr == getAffineDimExpr(loop, op.getContext()))
        return sizes.of(operand.get(), axis);
  }
  return {};
}

std::optional<ElementOf> SumMatcher::held(Value scalar) {
  std::optional<ElementOf> element = elements.load(scalar);
  if (!element && !elements.sources(scalar).empty())
    element = elements.sources(scalar).front();
  if (element && element->tensor)
    return element;
  reason = "the operands are not held by tensors";
  return std::nullopt;
}

/// Operands that are bytes of one code, whose sum fits in i32 (or wraps as the graph's does).
bool SumMatcher::matchBytes(Value a, Value b, ArrayRef<Value> inner) {
  std::optional<ByteElement> codes[] = {matchByteElement(elements, a),
                                        matchByteElement(elements, b)};
  if (!codes[0] && !codes[1])
    return false;
  int64_t depth = 1, most = INT32_MAX / 255;
  for (Value index : inner) {
    std::optional<int64_t> extent = Sizes::asConstant(elements.extentOf(index));
    depth = extent && *extent <= most && depth * *extent <= most ? depth * *extent : most + 1;
  }
  if (depth > most && !getElementTypeOrSelf(op->getResult(0)).isInteger(32)) {
    notInBytes = "the sum of bytes may not fit in 32 bits";
    return false;
  }
  if (codes[0] && codes[1] && !(codes[0]->code == codes[1]->code)) {
    notInBytes = "the operands have different scales, zero points or signs";
    return false;
  }
  sum.code = codes[codes[0] ? 0 : 1]->code;
  Value scalars[] = {a, b};
  ElementOf *places[] = {&sum.a, &sum.b};
  for (unsigned n : {0u, 1u}) {
    std::optional<ElementOf> element = codes[n] ? codes[n]->element : held(scalars[n]);
    if (!element || (!codes[n] && !holdsBytes(element->tensor, sum.code))) {
      notInBytes = "only one operand is a code of a byte";
      return false;
    }
    *places[n] = *element;
    sum.codes[n] = codes[n];
  }
  sum.kind = SumTerms::ByteDistances;
  return true;
}

bool SumMatcher::matchDistance(Value a, Value b, ArrayRef<Value> inner) {
  sum.kind = SumTerms::Distances;
  if (matchBytes(a, b, inner))
    return true;
  if (!a.getType().isF32()) {
    reason = notInBytes.empty() ? "the operands are integers, but not bytes" : notInBytes;
    return false;
  }
  std::optional<ElementOf> left = held(a), right = held(b);
  if (!left || !right)
    return false;
  sum.a = *left;
  sum.b = *right;
  return true;
}

bool SumMatcher::matchTerm(Value term, ArrayRef<Value> results, ArrayRef<Value> inner) {
  Value signless = term;
  for (;;) {
    auto difference = signless.getDefiningOp<arith::SubIOp>();
    if (difference && matchPattern(difference.getLhs(), m_Zero())) {
      sum.negated = !sum.negated;
      signless = difference.getRhs();
    } else if (auto negation = signless.getDefiningOp<arith::NegFOp>()) {
      sum.negated = !sum.negated;
      signless = negation.getOperand();
    } else if (auto wider = signless.getDefiningOp<arith::ExtSIOp>()) {
      signless = wider.getIn();
    } else {
      break;
    }
  }
  Operation *magnitude = signless.getDefiningOp();
  if (isa_and_present<math::AbsFOp, math::AbsIOp>(magnitude)) {
    Operation *difference = magnitude->getOperand(0).getDefiningOp();
    if (isa_and_present<arith::SubFOp, arith::SubIOp>(difference))
      return matchDistance(difference->getOperand(0), difference->getOperand(1), inner);
  }
  auto isShared = [&](const ElementOf &element) {
    return llvm::any_of(results, [&](Value index) {
      return llvm::none_of(element.indices,
                           [&](Value position) { return elements.depends(position, index); });
    });
  };
  bool isInteger = term.getType().isSignlessInteger();
  sum.shifts = isInteger ? matchIntegerShifts(elements, term, isShared, reason)
                         : matchFloatsOfShifts(elements, term, isShared);
  if (sum.shifts)
    sum.a = sum.shifts->input;
  if (isInteger || sum.shifts) {
    sum.kind = SumTerms::Shifts;
    return sum.shifts.has_value();
  }
  auto product = term.getDefiningOp<arith::MulFOp>();
  if (!product)
    return false;
  std::optional<ElementOf> a = held(product.getLhs()), b = held(product.getRhs());
  if (!a || !b)
    return false;
  sum.a = *a;
  sum.b = *b;
  return true;
}

bool SumMatcher::match() {
  if (op->getNumResults() != 1 || op.getNumReductionLoops() == 0)
    return false;
  Value result = op->getResult(0);
  ElementOf element{result, elements.addIndices(result)};
  SmallVector<unsigned> reductions;
  op.getReductionDims(reductions);
  SmallVector<Value> inner;
  for (unsigned loop : reductions) {
    AffineExpr extent = extentOf(sizes, op, loop);
    if (!extent)
      return false;
    inner.push_back(elements.addIndex(extent));
  }
  std::optional<Elements::Reduced> reduced = elements.reduced(element, inner);
  if (!reduced || !reduced->isSum || !matchTerm(reduced->element, element.indices, inner))
    return false;
  SmallVector<Value> indices(element.indices);
  llvm::append_range(indices, inner);
  for (Value index : indices) {
    llvm::SmallDenseSet<int64_t> boundaries;
    for (const ElementOf &operand : {sum.a, sum.b})
      for (Value position : operand.indices)
        findBoundaries(position, index, boundaries);
    if (!split(loops.emplace_back(SumLoop{index, {index}, {1}}), boundaries)) {
      reason = "an index is divided in more than one way";
      return false;
    }
  }
  for (const SumLoop &loop : loops)
    llvm::append_range(parts, loop.parts);
  return true;
}

/// How many steps of `index` a step of the scalar is, if it is made of it by divisions.
static std::optional<int64_t> unitOf(Value scalar, Value index) {
  if (scalar == index)
    return 1;
  Operation *op = scalar.getDefiningOp();
  if (!op || !isa<arith::DivUIOp, arith::RemUIOp>(op))
    return std::nullopt;
  std::optional<int64_t> unit = unitOf(op->getOperand(0), index);
  std::optional<int64_t> divisor = getConstantIntValue(op->getOperand(1));
  if (!unit || !divisor || *divisor < 1)
    return std::nullopt;
  return isa<arith::DivUIOp>(op) ? *unit * *divisor : *unit;
}

/// The steps of `index` at which quotients and remainders below the scalar begin anew.
void SumMatcher::findBoundaries(Value scalar, Value index, llvm::SmallDenseSet<int64_t> &found) {
  Operation *op = scalar.getDefiningOp();
  if (!op || !elements.depends(scalar, index))
    return;
  if (isa<arith::DivUIOp, arith::RemUIOp>(op)) {
    std::optional<int64_t> unit = unitOf(op->getOperand(0), index);
    std::optional<int64_t> divisor = getConstantIntValue(op->getOperand(1));
    if (unit && divisor && *divisor > 0)
      found.insert(*unit * *divisor);
  }
  for (Value operand : op->getOperands())
    findBoundaries(operand, index, found);
}

/// Replaces the loop by loops over its parts, so that no quotient or remainder is left.
bool SumMatcher::split(SumLoop &loop, llvm::SmallDenseSet<int64_t> boundaries) {
  AffineExpr extent = elements.extentOf(loop.index);
  SmallVector<int64_t> units(boundaries.begin(), boundaries.end());
  llvm::sort(units);
  if (std::optional<int64_t> size = Sizes::asConstant(extent))
    llvm::erase_if(units, [&](int64_t unit) { return unit >= *size; });
  llvm::erase(units, 1);
  if (units.empty())
    return true;
  loop.parts.clear();
  loop.units.clear();
  int64_t before = 1;
  Value index = elements.constantIndex(0);
  auto add = [&](AffineExpr size, int64_t unit) {
    Value part = elements.addIndex(size);
    loop.parts.insert(loop.parts.begin(), part);
    loop.units.insert(loop.units.begin(), unit);
    Value step = elements.make<arith::MulIOp>(part, elements.constantIndex(unit));
    index = elements.make<arith::AddIOp>(step, index);
  };
  for (int64_t unit : units) {
    if (unit % before != 0)
      return false;
    add(sizes.constant(unit / before), before);
    before = unit;
  }
  AffineExpr rest = extent.floorDiv(before);
  if (!sizes.equal(rest * before, extent))
    return false;
  add(rest, before);
  for (ElementOf *operand : {&sum.a, &sum.b})
    for (Value &position : operand->indices)
      position = substitute(elements, position, loop.index, index);
  return true;
}

} // namespace attune
