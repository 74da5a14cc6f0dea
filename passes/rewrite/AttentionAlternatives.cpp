// Attention as a kind of operators: softmax over all keys, over a window of keys, or linear.
#include "attune/passes/rewrite/Alternatives.h"
#include "attune/passes/rewrite/KeyWeights.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

#include <cmath>
#include <numbers>

using namespace mlir;

namespace attune {
namespace {

/// N of `localN`.
std::optional<int64_t> reachOf(StringRef alternative) {
  int64_t reach;
  if (!alternative.consume_front("local") || alternative.getAsInteger(10, reach) || reach < 1)
    return std::nullopt;
  return reach;
}

/// sin and cos of the positions, which start at 1, for lengths up to `longest`: [2, length].
Value positionTable(OpBuilder &builder, Location loc, int64_t length, int64_t longest,
                    FloatType type) {
  SmallVector<APFloat> values;
  for (bool cosine : {false, true})
    for (int64_t position = 1; position <= length; ++position) {
      double angle = std::numbers::pi / 2 * position / longest;
      APFloat value(cosine ? std::cos(angle) : std::sin(angle));
      bool lossy;
      value.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven, &lossy);
      values.push_back(value);
    }
  auto table = DenseElementsAttr::get(RankedTensorType::get({2, length}, type), values);
  return arith::ConstantOp::create(builder, loc, table);
}

class AttentionKind final : public OperatorKind {
public:
  StringRef name() const override { return "attention"; }
  StringRef current(Operation *op) const override {
    auto attention = dyn_cast<AttentionOp>(op);
    return attention && attention.getWeighting() == Weighting::Softmax ? "softmax" : "";
  }
  bool knows(StringRef alternative) const override {
    return alternative == "softmax" || alternative == "linear" || alternative == "cosformer" ||
           reachOf(alternative);
  }
  StringRef accepted() const override {
    return "softmax, linear, cosformer, localN (N positions to both sides)";
  }

  Value build(Operation *op, StringRef alternative, const Place &place,
              std::string &reason) const override {
    auto attention = cast<AttentionOp>(op);
    if (alternative == current(op))
      return place.builder.clone(*op, place.inside)->getResult(0);
    if (attention.getBlockIndex()) {
      reason = "it reads chosen blocks of keys";
      return {};
    }
    if (std::optional<int64_t> reach = reachOf(alternative))
      return buildWindow(attention, *reach, place, reason);
    return buildLinear(attention, alternative == "cosformer", place, reason);
  }

private:
  static bool sameLengths(AttentionOp op, Sizes &sizes) {
    Value rows = op.getQuery() ? op.getQuery() : op.getScores();
    return sizes.equal(sizes.of(rows, 2), sizes.of(op.getValue(), 2));
  }

  /// The same attention with a mask that is narrower. Rows that see nothing are 0, not NaN: what is
  /// masked for all queries need not be for a window.
  static Value buildWindow(AttentionOp op, int64_t reach, const Place &place, std::string &reason) {
    if (!op.getQOffset() && !sameLengths(op, place.sizes)) {
      reason = "it is not known to have as many queries as keys, so there is no window around a "
               "query";
      return {};
    }
    auto window = cast<AttentionOp>(place.builder.clone(*op, place.inside));
    window.setEmptyRow(EmptyRow::Zero);
    OpBuilder::InsertionGuard guard(place.builder);
    OpBuilder &builder = place.builder;
    Location loc = op.getLoc();
    Value allowed;
    if (window.hasMask()) {
      Operation *yield = window.getMask().front().getTerminator();
      allowed = yield->getOperand(0);
      yield->erase();
    } else {
      window.addMask(builder);
    }
    AttentionOp::RegionArgs args = window.getMaskArgs();
    builder.setInsertionPointToEnd(&window.getMask().front());
    Value size = arith::ConstantIndexOp::create(builder, loc, reach);
    auto within = [&](Value a, Value b) {
      Value last = arith::AddIOp::create(builder, loc, b, size);
      Value near = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sle, a, last);
      allowed = allowed ? arith::AndIOp::create(builder, loc, allowed, near).getResult() : near;
    };
    within(args.i, args.j);
    within(args.j, args.i);
    YieldOp::create(builder, loc, allowed);
    return window.getResult();
  }

  static Value buildLinear(AttentionOp op, bool cosine, const Place &place, std::string &reason) {
    FloatAttr scale;
    if (!op.getQuery() || op.getScores()) {
      reason = "its scores do not come from queries and keys alone";
    } else if (op.getSink()) {
      reason = "it has a sink";
    } else if (op.getQOffset() || op.getKvLen()) {
      reason = "its keys lie in a cache";
    } else if (op.getScale() && (!matchPattern(op.getScale(), m_Constant(&scale)) ||
                                 scale.getValueAsDouble() <= 0)) {
      reason = "its scale is not a positive constant";
    }
    if (!reason.empty())
      return {};
    std::optional<KeyWeights> weights = KeyWeights::read(op, reason);
    if (!weights)
      return {};
    if (weights->isCausal() && !sameLengths(op, place.sizes)) {
      reason = "it is causal, and not known to have as many queries as keys";
      return {};
    }
    int64_t queries = op.getNumQueries(), keys = op.getNumKeys();
    if (cosine && (ShapedType::isDynamic(queries) || ShapedType::isDynamic(keys))) {
      reason = "its lengths are not static, and the weights of positions depend on the longest";
      return {};
    }

    OpBuilder &builder = place.builder;
    Location loc = op.getLoc();
    auto inside = [&](Value value) { return place.inside.lookup(value); };
    auto linear = LinearAttentionOp::create(
        builder, loc, op.getResult().getType(), inside(op.getQuery()), inside(op.getKey()),
        inside(op.getValue()), weights->isCausal() ? Direction::Causal : Direction::Bidirectional);
    linear.setNorm(Weighting::Sum);
    linear.setEps(APFloat(1e-6));
    linear.setAccumAttr(op.getAccumAttr());
    addFeatures(builder, linear, linear.getPhiQ(), scale ? scale.getValueAsDouble() : 1);
    addFeatures(builder, linear, linear.getPhiK(), 1);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(linear);
    FloatType type = linear.getAccumType();
    if (cosine) {
      linear.setEpsMode(EpsMode::Clamp);
      int64_t longest = std::max(queries, keys);
      linear.getQueryPosMutable().assign(positionTable(builder, loc, queries, longest, type));
      linear.getKeyPosMutable().assign(positionTable(builder, loc, keys, longest, type));
    }
    auto captures = llvm::map_to_vector(op.getCaptures(), inside);
    if (Value mask = weights->build(builder, loc, inside(op.getKey()), captures, type))
      linear.getKeyMaskMutable().assign(mask);
    return linear.getResult();
  }

  static void addFeatures(OpBuilder &builder, LinearAttentionOp op, Region &features,
                          double scale) {
    OpBuilder::InsertionGuard guard(builder);
    Location loc = op.getLoc();
    Value x = op.addMap(builder, features);
    builder.setInsertionPointToEnd(&features.front());
    auto number = [&](double value) {
      return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(x.getType(), value));
    };
    Value y = arith::MaximumFOp::create(builder, loc, x, number(0));
    if (scale != 1)
      y = arith::MulFOp::create(builder, loc, y, number(scale));
    YieldOp::create(builder, loc, y);
  }
};

} // namespace

const OperatorKind &attentionKind() {
  static const AttentionKind kind;
  return kind;
}

} // namespace attune
