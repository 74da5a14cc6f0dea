#include "attune/passes/rewrite/KeyWeights.h"
#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

/// exp of this is 0 in f32: such an addend hides a key as -inf does, but where it hides all.
static constexpr double kHidden = -104;

static std::optional<double> asConstant(Value value) {
  FloatAttr attr;
  if (matchPattern(value, m_Constant(&attr)))
    return attr.getValueAsDouble();
  return std::nullopt;
}

static AttentionOp::RegionArgs argsOf(AttentionOp op, Value value) {
  bool score = value.getParentRegion() == &op.getScore();
  return score ? op.getScoreArgs() : op.getMaskArgs();
}

bool KeyWeights::dependsOnQuery(Value value) {
  AttentionOp::RegionArgs args = argsOf(op, value);
  SmallVector<Value> work{value};
  DenseSet<Value> seen;
  while (!work.empty()) {
    Value next = work.pop_back_val();
    if (!seen.insert(next).second)
      continue;
    if (llvm::is_contained({args.score, args.h, args.i, args.n}, next))
      return true;
    if (Operation *producer = next.getDefiningOp())
      llvm::append_range(work, producer->getOperands());
  }
  return false;
}

bool KeyWeights::isPast(Value condition, bool negated) {
  auto compare = condition.getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return false;
  AttentionOp::RegionArgs args = argsOf(op, condition);
  arith::CmpIPredicate predicate = compare.getPredicate();
  if (negated)
    predicate = arith::invertPredicate(predicate);
  Value lhs = compare.getLhs(), rhs = compare.getRhs();
  auto isKey = [&](Value value) { return value == args.j || value == args.m; };
  auto isQuery = [&](Value value) { return value == args.i || value == args.n; };
  using P = arith::CmpIPredicate;
  if (isKey(lhs) && isQuery(rhs))
    return predicate == P::sle || predicate == P::ule;
  if (isQuery(lhs) && isKey(rhs))
    return predicate == P::sge || predicate == P::uge;
  // j < i + 1
  bool less = predicate == P::slt || predicate == P::ult;
  if (!less && predicate != P::sgt && predicate != P::ugt)
    return false;
  if (!less)
    std::swap(lhs, rhs);
  auto next = rhs.getDefiningOp<arith::AddIOp>();
  return isKey(lhs) && next && isQuery(next.getLhs()) && matchPattern(next.getRhs(), m_One());
}

bool KeyWeights::readCondition(Value value, bool negated) {
  if (!dependsOnQuery(value)) {
    conditions.push_back({value, negated});
    return true;
  }
  Operation *producer = value.getDefiningOp();
  if (producer && (negated ? isa<arith::OrIOp>(producer) : isa<arith::AndIOp>(producer)))
    return readCondition(producer->getOperand(0), negated) &&
           readCondition(producer->getOperand(1), negated);
  if (producer && isa<arith::XOrIOp>(producer) && matchPattern(producer->getOperand(1), m_One()))
    return readCondition(producer->getOperand(0), !negated);
  if (!isPast(value, negated))
    return false;
  causal = true;
  return true;
}

bool KeyWeights::readAddend(Value value) {
  Value inner = value;
  while (inner.getDefiningOp<arith::ExtFOp>() || inner.getDefiningOp<arith::TruncFOp>())
    inner = inner.getDefiningOp()->getOperand(0);
  if (auto select = inner.getDefiningOp<arith::SelectOp>()) {
    std::optional<double> yes = asConstant(select.getTrueValue()),
                          no = asConstant(select.getFalseValue());
    if (yes == 0 && no && *no <= kHidden)
      return readCondition(select.getCondition(), /*negated=*/false);
    if (no == 0 && yes && *yes <= kHidden)
      return readCondition(select.getCondition(), /*negated=*/true);
  }
  if (!dependsOnQuery(value)) {
    addends.push_back(value);
    return true;
  }
  auto sum = value.getDefiningOp<arith::AddFOp>();
  return sum && readAddend(sum.getLhs()) && readAddend(sum.getRhs());
}

/// A sum of the product of query and key, which must be there once, and addends.
bool KeyWeights::readScore(Value value, unsigned &dots) {
  if (value == op.getScoreArgs().score)
    return ++dots == 1;
  if (auto select = value.getDefiningOp<arith::SelectOp>()) {
    std::optional<double> yes = asConstant(select.getTrueValue()),
                          no = asConstant(select.getFalseValue());
    if (no && *no <= kHidden && !yes)
      return readCondition(select.getCondition(), /*negated=*/false) &&
             readScore(select.getTrueValue(), dots);
    if (yes && *yes <= kHidden && !no)
      return readCondition(select.getCondition(), /*negated=*/true) &&
             readScore(select.getFalseValue(), dots);
  }
  auto sum = value.getDefiningOp<arith::AddFOp>();
  unsigned before = dots;
  if (sum && readScore(sum.getLhs(), dots) && readScore(sum.getRhs(), dots))
    return true;
  return dots == before && readAddend(value);
}

std::optional<KeyWeights> KeyWeights::read(AttentionOp op, std::string &reason) {
  KeyWeights weights(op);
  unsigned dots = 0;
  if (op.hasScore() && (!weights.readScore(op.getScoreValue(), dots) || dots != 1)) {
    reason = "its scores are more than products of queries and keys, a bias per key and a mask";
    return std::nullopt;
  }
  if (op.hasMask() && !weights.readCondition(op.getMaskValue(), /*negated=*/false)) {
    reason = "its mask depends on query and key in another way than hiding the future";
    return std::nullopt;
  }
  return weights;
}

Value KeyWeights::build(OpBuilder &builder, Location loc, Value key, ValueRange captures,
                        FloatType type) {
  if (conditions.empty() && addends.empty())
    return {};
  Lowering lower(builder, loc);
  OpFoldResult batch = tensor::getMixedSize(builder, loc, key, 0);
  OpFoldResult length = tensor::getMixedSize(builder, loc, key, 2);
  return lower.elementwise({}, {}, {batch, length}, type, [&](ValueRange) {
    IRMapping map;
    Value b = lower.loop(0), j = lower.loop(1);
    for (bool score : {true, false}) {
      if (score ? !op.hasScore() : !op.hasMask())
        continue;
      AttentionOp::RegionArgs args = score ? op.getScoreArgs() : op.getMaskArgs();
      map.map(args.b, b);
      map.map(args.j, j);
      map.map(args.m, j);
      for (auto [argument, capture] : llvm::zip_equal(args.captures, captures))
        map.map(argument, capture);
    }
    // Regions are scalar code without side effects, so order does not matter but for operands.
    std::function<Value(Value)> copy = [&](Value value) -> Value {
      if (Value known = map.lookupOrNull(value))
        return known;
      Operation *producer = value.getDefiningOp();
      for (Value operand : producer->getOperands())
        copy(operand);
      builder.clone(*producer, map);
      return map.lookup(value);
    };
    Value weight = lower.constant(type, 1), hidden = lower.constant(type, 0);
    for (auto [position, addend] : llvm::enumerate(addends)) {
      Value factor = lower.op<math::ExpOp>(lower.cast(copy(addend), type));
      weight = position == 0 ? factor : lower.op<arith::MulFOp>(weight, factor);
    }
    for (auto [condition, negated] : conditions)
      weight = negated ? lower.select(copy(condition), hidden, weight)
                       : lower.select(copy(condition), weight, hidden);
    return weight;
  });
}

} // namespace attune
