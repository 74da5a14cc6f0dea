// What stands between the softmax and the values: factors, and any other map of the probabilities.
#include "attune/passes/raise/AttentionMatch.h"
#include "attune/passes/raise/ConstantMasks.h"
#include "attune/passes/raise/Region.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <limits>

using namespace mlir;

namespace attune {

/// Takes factors that do not depend on the probability off the weights.
Value AttentionMatch::stripWeightFactors(Value weight) {
  while (auto product = weight.getDefiningOp<arith::MulFOp>()) {
    unsigned own = elements.depends(product.getLhs(), loaded) ? 0 : 1;
    Value factor = product->getOperand(1 - own);
    if (elements.depends(factor, loaded))
      break;
    weightFactors.push_back(factor);
    weight = product->getOperand(own);
  }
  return weight;
}

/// What stands between softmax and the values: factors, casts, the guard against rows of NaN, and
/// the mask of the scores once more; or anything else, as a map.
bool AttentionMatch::matchGuard() {
  Value weight = stripWeightFactors(weights);
  while (weight != loaded) {
    Operation *op = weight.getDefiningOp();
    if (op && isa<arith::ExtFOp, arith::TruncFOp>(op)) {
      weight = op->getOperand(0);
      continue;
    }
    auto select = dyn_cast_or_null<arith::SelectOp>(op);
    if (!select)
      return takeMap();
    // select(p is NaN, 0, p), or the other way round.
    auto compare = select.getCondition().getDefiningOp<arith::CmpFOp>();
    Operation *isNan = select.getCondition().getDefiningOp();
    bool ordered = compare && compare.getPredicate() == arith::CmpFPredicate::ORD;
    Value kept = ordered ? select.getTrueValue() : select.getFalseValue();
    Value filled = ordered ? select.getFalseValue() : select.getTrueValue();
    bool guards = false;
    if (compare)
      guards = compare.getLhs() == kept && compare.getRhs() == kept &&
               (ordered || compare.getPredicate() == arith::CmpFPredicate::UNO ||
                compare.getPredicate() == arith::CmpFPredicate::UNE);
    else if (auto nan = dyn_cast_or_null<math::IsNaNOp>(isNan))
      guards = nan.getOperand() == kept;
    if (guards) {
      emptyRow = EmptyRow::Zero;
    } else if (!keptAfter) {
      // Disallowed weights set to 0: exact if the scores had the same mask.
      bool negated = asFloat(select.getTrueValue()) == 0.0;
      kept = negated ? select.getFalseValue() : select.getTrueValue();
      filled = negated ? select.getTrueValue() : select.getFalseValue();
      keptAfter = negated ? elements.negate(select.getCondition()) : select.getCondition();
      guards = true;
    }
    if (!guards || asFloat(filled) != 0.0)
      return takeMap();
    weight = kept;
  }
  return true;
}

/// The weights as a map of single probabilities, whatever it is.
bool AttentionMatch::takeMap() {
  probability = weights;
  for (auto *list : {&weightFactors, &resultFactors, &valueFactors})
    list->clear();
  keptAfter = keptRows = {};
  emptyRow = EmptyRow::NaN;
  return true;
}

/// A factor that is the same for a whole row scales the result; one that is the same for all
/// queries scales the values. Others change single probabilities.
bool AttentionMatch::matchFactors() {
  for (Value factor : weightFactors) {
    if (!elements.depends(factor, column)) {
      resultFactors.push_back(factor);
      continue;
    }
    bool ofValues = !row || !elements.depends(factor, row);
    for (Value head : heads)
      ofValues &= !elements.depends(factor, head) || llvm::is_contained(valueGroups[1], head);
    if (!ofValues)
      return takeMap();
    valueFactors.push_back(factor);
  }
  return true;
}

/// The tensor [b, h, n or m, e], or 0 where its rows are not `kept`, times factors of its first
/// three indices.
Value AttentionMatch::scaled(OpBuilder &builder, Location loc, Value tensor,
                             ArrayRef<Value> inHeads, Value position, ArrayRef<Value> factors,
                             Value kept) {
  if (factors.empty() && !kept)
    return tensor;
  RegionBuilder region(elements);
  if (kept)
    region.plan(kept);
  for (Value factor : factors)
    region.plan(factor);
  auto type = cast<RankedTensorType>(tensor.getType());
  Value init = tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, tensor),
                                       type.getElementType());
  AffineMap identity = builder.getMultiDimIdentityMap(4);
  SmallVector<utils::IteratorType> loops(4, utils::IteratorType::parallel);
  auto body = [&](OpBuilder &b, Location loc, ValueRange arguments) {
    IRMapping map;
    auto index = [&](int64_t axis) -> Value { return linalg::IndexOp::create(b, loc, axis); };
    mapIndices(b, loc, batch, index(0), map);
    mapIndices(b, loc, inHeads, index(1), map);
    if (position)
      map.map(position, index(2));
    region.start(b, map, region.captures());
    Value result = arguments[0];
    if (kept) {
      Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type.getElementType()));
      result = arith::SelectOp::create(b, loc, region.emit(kept), result, zero);
    }
    for (Value factor : factors) {
      result = convertFloat(b, loc, result, factor.getType());
      result = arith::MulFOp::create(b, loc, result, region.emit(factor));
    }
    linalg::YieldOp::create(b, loc, convertFloat(b, loc, result, type.getElementType()));
  };
  return linalg::GenericOp::create(builder, loc, init.getType(), tensor, init,
                                   ArrayRef<AffineMap>{identity, identity}, loops, body)
      .getResult(0);
}

Value AttentionMatch::withoutChannels(OpBuilder &builder, Location loc, Value values) {
  auto type = cast<RankedTensorType>(values.getType());
  SmallVector<OpFoldResult> shape = tensor::getMixedSizes(builder, loc, values);
  SmallVector<OpFoldResult> start(4, builder.getIndexAttr(0)), step(4, builder.getIndexAttr(1));
  SmallVector<int64_t> extents(type.getShape());
  shape[3] = builder.getIndexAttr(0);
  extents[3] = 0;
  return tensor::ExtractSliceOp::create(builder, loc, type.clone(extents), values, start, shape,
                                        step);
}

/// The logarithm of a row's sum, which is the capture.
static Value sumOf(OpBuilder &builder, Location loc, const AttentionOp::RegionArgs &args,
                   Value capture) {
  Value sum = tensor::ExtractOp::create(builder, loc, capture, ValueRange{args.b, args.h, args.n});
  return convertFloat(builder, loc, sum, args.score.getType());
}

static Value isMinusInfinity(OpBuilder &builder, Location loc, Value value) {
  double never = -std::numeric_limits<double>::infinity();
  Value constant =
      arith::ConstantOp::create(builder, loc, builder.getFloatAttr(value.getType(), never));
  return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, value, constant);
}

bool AttentionMatch::mayHideSums() {
  constexpr double kExact = 128;
  return !sink && !isOrdinary(score, dot, kExact);
}

/// The same sums of exp(x - lse), where `lse` are the sums of `op`.
AttentionOp AttentionMatch::addRelativeSums(OpBuilder &builder, AttentionOp op) {
  Location loc = op.getLoc();
  RegionBuilder region(elements);
  region.given(dot);
  for (Value scalar : {score, allowed})
    if (scalar)
      region.plan(scalar);
  auto relative = cast<AttentionOp>(builder.clone(*op));
  for (Region &old : relative->getRegions()) {
    old.dropAllReferences();
    old.getBlocks().clear();
  }
  relative.getCapturesMutable().assign(region.captures());
  relative.getCapturesMutable().append(op.getLse());
  OpBuilder::InsertionGuard guard(builder);
  AttentionOp::RegionArgs args = relative.addScore(builder);
  builder.setInsertionPointToStart(&relative.getScore().front());
  startRegion(builder, relative, args, region);
  Type type = args.score.getType();
  Value x = score == dot ? args.score : convertFloat(builder, loc, region.emit(score), type);
  Value sum = sumOf(builder, loc, args, args.captures.back());
  Value zero = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, 0));
  sum = arith::SelectOp::create(builder, loc, isMinusInfinity(builder, loc, sum), zero, sum);
  YieldOp::create(builder, loc, arith::SubFOp::create(builder, loc, x, sum).getResult());
  if (allowed) {
    args = relative.addMask(builder);
    builder.setInsertionPointToStart(&relative.getMask().front());
    startRegion(builder, relative, args, region);
    YieldOp::create(builder, loc, region.emit(allowed));
  }
  boundConstantMasks(relative);
  return relative;
}

/// Weights f(exp(x - sums)), with logarithms of parts of the rows' sums as the last captures.
void AttentionMatch::addProbabilityRegion(OpBuilder &builder, AttentionOp op, RegionBuilder &region,
                                          size_t parts) {
  Location loc = op.getLoc();
  AttentionOp::RegionArgs args = op.addScore(builder);
  builder.setInsertionPointToStart(&op.getScore().front());
  startRegion(builder, op, args, region);
  auto type = cast<FloatType>(args.score.getType());
  auto constant = [&](double value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, value));
  };
  Value x = score == dot ? args.score : convertFloat(builder, loc, region.emit(score), type);
  Value isEmpty;
  for (Value capture : args.captures.take_back(parts)) {
    Value sum = sumOf(builder, loc, args, capture);
    x = arith::SubFOp::create(builder, loc, x, sum);
    if (!isEmpty)
      isEmpty = isMinusInfinity(builder, loc, sum);
  }
  Value p = math::ExpOp::create(builder, loc, x);
  if (allowed)
    p = arith::SelectOp::create(builder, loc, region.emit(allowed), p, constant(0));
  // Of rows without keys, all probabilities are 0 / 0.
  Value nan = constant(std::numeric_limits<double>::quiet_NaN());
  p = arith::SelectOp::create(builder, loc, isEmpty, nan, p);
  region.define(loaded, convertFloat(builder, loc, p, loaded.getType()));
  YieldOp::create(builder, loc, convertFloat(builder, loc, region.emit(probability), type));
}

} // namespace attune
