#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace attune;

namespace {

/// Loops of everything over the logits; contractions have a fifth.
enum Loop : int64_t { B, H, N, M, Inner };

/// Lowers attention over a range of keys. What such a range hands on (the state, one value per
/// result row) lets the next range continue; the reference lowering is one range of all keys.
class AttentionLowering : Lowering {
public:
  struct Range {
    OpFoldResult offset, size;
  };
  AttentionLowering(AttentionOp op, OpBuilder &builder, std::optional<Range> range = std::nullopt);

  /// The state before the first key.
  SmallVector<Value> initialState();
  /// The state after this range. An empty `state` is the initial one.
  SmallVector<Value> advance(ValueRange state);
  /// `result` and, for softmax, `lse`.
  SmallVector<Value> results(ValueRange state);
  /// The whole op, `logits` included.
  SmallVector<Value> run();

private:
  Value slice(Value tensor, int64_t axis);
  Value logits();
  Value contract(Value lhs, AffineMap lhsMap, Value kv, ArrayRef<int64_t> kvLoops, AffineMap outMap,
                 Value init, std::optional<int64_t> keyLoop);
  Value inlineRegion(AttentionOp::RegionArgs args, Region &region, Value score);
  Value allowed();
  bool restricted() { return attention.hasMask() || attention.getKvLen(); }
  Value atBatch(Value tensor, Value batch);
  Value absolute(Value key);
  Value zeros(ArrayRef<OpFoldResult> shape, FloatType type) {
    return fill(shape, constant(type, 0));
  }
  Value mask(Value x, FloatType type, double disallowed);
  Value contractValues(Value weights, Value init);
  Value shiftOf(Value top);
  SmallVector<Value> advanceSoftmax(Value x, ValueRange state);
  SmallVector<Value> advanceLinear(Value x, ValueRange state);
  Value finish(ValueRange inputs, ArrayRef<AffineMap> maps, Body body);
  Value softmaxResult(ValueRange state);
  Value logSumExp(ValueRange state);
  Value linearResult(ValueRange state);

  OpFoldResult extent(ArrayRef<std::pair<Value, int64_t>> candidates) {
    return Lowering::extent(attention, candidates);
  }

  AttentionOp attention;
  std::optional<Range> range;
  Value key, value, given; // of the range
  FloatType accum, weight;
  Shape rows, scores, result; // [B,H,N], [B,H,N,M], [B,H,N,E]
  OpFoldResult heads;
  AffineMap full = prefix(4, 4), perRow = prefix(4, 3), row = prefix(3, 3);
};

} // namespace

AttentionLowering::AttentionLowering(AttentionOp op, OpBuilder &builder, std::optional<Range> range)
    : Lowering(builder, op.getLoc()), attention(op), range(range), accum(op.getAccumType()),
      weight(op.getWeightType()) {
  Value q = op.getQuery(), k = op.getKey(), v = op.getValue(), s = op.getScores();
  OpFoldResult b = extent({{op.getResult(), 0}, {v, 0}, {q, 0}, {s, 0}});
  OpFoldResult n = extent({{op.getResult(), 2}, {q, 2}, {s, 2}});
  OpFoldResult m = range ? range->size : extent({{v, 2}, {k, 2}, {s, 3}});
  OpFoldResult e = extent({{op.getResult(), 3}, {v, 3}});
  heads = extent({{op.getResult(), 1}, {q, 1}, {s, 1}});
  rows = {b, heads, n};
  scores = {b, heads, n, m};
  result = {b, heads, n, e};
  key = slice(k, 2);
  value = slice(v, 2);
  given = slice(s, 3);
}

/// The range's part of `tensor`, whose keys are along `axis`.
Value AttentionLowering::slice(Value tensor, int64_t axis) {
  if (!tensor || !range)
    return tensor;
  auto type = llvm::cast<RankedTensorType>(tensor.getType());
  Shape offsets(type.getRank(), builder.getIndexAttr(0)), extents = sizes(tensor);
  Shape strides(type.getRank(), builder.getIndexAttr(1));
  offsets[axis] = range->offset;
  extents[axis] = range->size;
  SmallVector<int64_t> shape(type.getShape());
  shape[axis] = getConstantIntValue(range->size).value_or(ShapedType::kDynamic);
  return op<tensor::ExtractSliceOp>(type.clone(shape), tensor, offsets, extents, strides);
}

/// Number of a key of the range among all keys.
Value AttentionLowering::absolute(Value key) {
  return range ? op<arith::AddIOp>(index(range->offset), key) : key;
}

/// `init` plus the sum over the loops that `outMap` leaves out of `lhs` times key or value.
/// `kvLoops` are its last two axes; its head is the query head's group. Rows of `kv` beyond
/// `kv_len` count as 0.
Value AttentionLowering::contract(Value lhs, AffineMap lhsMap, Value kv, ArrayRef<int64_t> kvLoops,
                                  AffineMap outMap, Value init, std::optional<int64_t> keyLoop) {
  return accumulateGrouped(lhs, lhsMap, kv, kvLoops, heads, init, outMap, [&](ValueRange args) {
    Value other = cast(args[1], accum);
    if (keyLoop && attention.getKvLen()) {
      Value length = atBatch(attention.getKvLen(), loop(B));
      Value inside = compare(arith::CmpIPredicate::slt, absolute(loop(*keyLoop)), length);
      other = select(inside, other, constant(accum, 0));
    }
    Value product = op<arith::MulFOp>(cast(args[0], accum), other);
    return op<arith::AddFOp>(args.back(), product);
  });
}

/// Element `batch` of a [B] or [1] tensor of integers.
Value AttentionLowering::atBatch(Value tensor, Value batch) {
  int64_t size = cast<RankedTensorType>(tensor.getType()).getDimSize(0);
  if (size == 1) {
    batch = index(0);
  } else if (ShapedType::isDynamic(size)) {
    Value one = compare(arith::CmpIPredicate::eq, op<tensor::DimOp>(tensor, 0), index(1));
    batch = select(one, index(0), batch);
  }
  return toIndex(op<tensor::ExtractOp>(tensor, batch));
}

/// The region's value at the current point of (b, h, n, m).
Value AttentionLowering::inlineRegion(AttentionOp::RegionArgs args, Region &region, Value score) {
  IRMapping values;
  auto bind = [&](Value arg, llvm::function_ref<Value()> value) {
    if (!arg.use_empty())
      values.map(arg, value());
  };
  if (score)
    values.map(args.score, score);
  bind(args.b, [&] { return loop(B); });
  bind(args.h, [&] { return loop(H); });
  bind(args.n, [&] { return loop(N); });
  bind(args.m, [&] { return absolute(loop(M)); });
  bind(args.j, [&] { return absolute(loop(M)); });
  bind(args.i, [&] {
    if (!attention.getQOffset())
      return loop(N);
    return op<arith::AddIOp>(atBatch(attention.getQOffset(), loop(B)), loop(N));
  });
  for (auto [arg, capture] : llvm::zip_equal(args.captures, attention.getCaptures()))
    values.map(arg, capture);
  for (Operation &inner : region.front().without_terminator())
    builder.clone(inner, values);
  return values.lookup(region.front().getTerminator()->getOperand(0));
}

/// Whether the current key may be seen; only if `restricted()`.
Value AttentionLowering::allowed() {
  Value result;
  if (attention.hasMask())
    result = inlineRegion(attention.getMaskArgs(), attention.getMask(), Value());
  if (attention.getKvLen()) {
    Value length = atBatch(attention.getKvLen(), loop(B));
    Value inside = compare(arith::CmpIPredicate::slt, absolute(loop(M)), length);
    result = result ? op<arith::AndIOp>(result, inside) : inside;
  }
  return result;
}

/// [B,H,N,M] in the accumulation type, before the mask.
Value AttentionLowering::logits() {
  SmallVector<Value> inputs;
  if (attention.getQuery())
    inputs.push_back(contract(attention.getQuery(), map(5, {d(B), d(H), d(N), d(Inner)}), key,
                              {M, Inner}, prefix(5, 4), zeros(scores, accum), std::nullopt));
  if (given)
    inputs.push_back(given);
  SmallVector<AffineMap> maps(inputs.size(), full);
  return elementwise(inputs, maps, scores, accum, [&](ValueRange args) {
    Value x;
    if (attention.getQuery())
      x = args.front();
    if (attention.getScale())
      x = op<arith::MulFOp>(x, cast(attention.getScale(), accum));
    if (given) {
      Value bias = cast(args.back(), accum);
      x = x ? op<arith::AddFOp>(x, bias) : bias;
    }
    return attention.hasScore() ? inlineRegion(attention.getScoreArgs(), attention.getScore(), x)
                                : x;
  });
}

/// `x` as `type`, with `disallowed` where the key may not be seen.
Value AttentionLowering::mask(Value x, FloatType type, double disallowed) {
  return elementwise(x, full, scores, type, [&](ValueRange args) {
    Value value = cast(args[0], type);
    return restricted() ? select(allowed(), value, constant(type, disallowed)) : value;
  });
}

/// `init` plus the product of `weights` and the range's values.
Value AttentionLowering::contractValues(Value weights, Value init) {
  // Loops (b, h, n, e, m).
  return contract(weights, map(5, {d(B), d(H), d(N), d(4)}), value, {4, 3}, prefix(5, 4), init, 4);
}

//===-- Softmax: the state is (greatest score, sum of weights, weighted sum of values)
//---------===//

/// What scores are shifted by. Rows without any weight by 0: -inf - -inf would be NaN.
Value AttentionLowering::shiftOf(Value top) {
  return elementwise(top, row, rows, weight, [&](ValueRange args) {
    return select(isMinusInfinity(args[0]), constant(weight, 0), args[0]);
  });
}

SmallVector<Value> AttentionLowering::advanceSoftmax(Value x, ValueRange state) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Value masked = mask(x, weight, -infinity);
  auto maximum = [&](ValueRange args) { return op<arith::MaximumFOp>(args[0], args[1]); };
  Value top = accumulate(masked, full, fill(rows, constant(weight, -infinity)), perRow, maximum);
  if (!state.empty())
    top = elementwise({state[0], top}, {row, row}, rows, weight, maximum);
  Value shift = shiftOf(top);
  Value weights =
      elementwise({masked, shift}, {full, perRow}, scores, weight, [&](ValueRange args) {
        return op<math::ExpOp>(op<arith::SubFOp>(args[0], args[1]));
      });
  Value sum, values;
  if (state.empty()) {
    sum = zeros(rows, weight);
    values = zeros(result, accum);
  } else {
    Value scale = elementwise({state[0], shift}, {row, row}, rows, weight, [&](ValueRange args) {
      return op<math::ExpOp>(op<arith::SubFOp>(args[0], args[1]));
    });
    auto rescale = [&](ValueRange args) {
      Value factor = cast(args[0], llvm::cast<FloatType>(args[1].getType()));
      return op<arith::MulFOp>(args[1], factor);
    };
    sum = accumulate(scale, row, state[1], row, rescale);
    values = accumulate(scale, perRow, state[2], full, rescale);
    // After the last use of the old maximum, so that the state stays in its buffers.
    top = accumulate(top, row, state[0], row, [&](ValueRange args) { return args[0]; });
  }
  sum = accumulate(weights, full, sum, perRow,
                   [&](ValueRange args) { return op<arith::AddFOp>(args[1], args[0]); });
  return {top, sum, contractValues(weights, values)};
}

Value AttentionLowering::softmaxResult(ValueRange state) {
  double empty = attention.getEmptyRow() == EmptyRow::NaN ? std::nan("") : 0;
  return finish({state[2], state[1], state[0]}, {full, perRow, perRow}, [&](ValueRange args) {
    Value quotient = op<arith::DivFOp>(args[0], cast(args[1], accum));
    return select(isMinusInfinity(args[2]), constant(accum, empty), quotient);
  });
}

Value AttentionLowering::logSumExp(ValueRange state) {
  auto type = llvm::cast<RankedTensorType>(attention.getLse().getType());
  auto element = llvm::cast<FloatType>(type.getElementType());
  Value lse =
      elementwise({shiftOf(state[0]), state[1]}, {row, row}, rows, element, [&](ValueRange args) {
        Value log = op<math::LogOp>(args[1]);
        return cast(op<arith::AddFOp>(args[0], log), element);
      });
  return castTo(lse, type);
}

//===-- Other weightings: the state is (weighted sum of values, denominator if any)
//------------===//

SmallVector<Value> AttentionLowering::advanceLinear(Value x, ValueRange state) {
  Value weights = mask(x, accum, 0);
  SmallVector<Value> next{contractValues(weights, state.empty() ? zeros(result, accum) : state[0])};
  if (attention.getWeighting() == Weighting::None)
    return next;
  bool count = attention.getWeighting() == Weighting::Count;
  Value init = state.empty() ? zeros(rows, accum) : state[1];
  next.push_back(accumulate(weights, full, init, perRow, [&](ValueRange args) {
    Value term = args[0];
    if (count)
      term = restricted() ? select(allowed(), constant(accum, 1), constant(accum, 0))
                          : constant(accum, 1);
    return op<arith::AddFOp>(args[1], term);
  }));
  return next;
}

Value AttentionLowering::linearResult(ValueRange state) {
  if (attention.getWeighting() == Weighting::None)
    return finish(state[0], full, [&](ValueRange args) { return args[0]; });
  bool count = attention.getWeighting() == Weighting::Count;
  double least = count ? 1 : attention.getEps() ? attention.getEps()->convertToDouble() : 0;
  bool add = !count && attention.getEpsMode() == EpsMode::Add;
  return finish(state, {full, perRow}, [&](ValueRange args) {
    Value guard = constant(accum, least);
    Value denominator =
        add ? op<arith::AddFOp>(args[1], guard) : op<arith::MaximumFOp>(args[1], guard);
    return op<arith::DivFOp>(args[0], denominator);
  });
}

//===-- All of it -----------------------------------------------------------------------------===//

/// The result: `body` over [B,H,N,E], cast once.
Value AttentionLowering::finish(ValueRange inputs, ArrayRef<AffineMap> maps, Body body) {
  auto type = llvm::cast<RankedTensorType>(attention.getResult().getType());
  auto element = llvm::cast<FloatType>(type.getElementType());
  Value values = elementwise(inputs, maps, result, element,
                             [&](ValueRange args) { return cast(body(args), element); });
  return castTo(values, type);
}

SmallVector<Value> AttentionLowering::initialState() {
  Value values = zeros(result, accum);
  if (attention.getWeighting() == Weighting::None)
    return {values};
  if (attention.getWeighting() != Weighting::Softmax)
    return {values, zeros(rows, accum)};
  Value sink = attention.getSink();
  if (!sink) {
    Value lowest = constant(weight, -std::numeric_limits<double>::infinity());
    return {fill(rows, lowest), zeros(rows, weight), values};
  }
  // The sink is a key of its own, without a value: its weight is exp(sink - sink).
  Value top = elementwise(sink, map(3, d(H)), rows, weight,
                          [&](ValueRange args) { return cast(args[0], weight); });
  Value sum = elementwise(top, row, rows, weight, [&](ValueRange args) {
    return select(isMinusInfinity(args[0]), constant(weight, 0), constant(weight, 1));
  });
  return {top, sum, values};
}

SmallVector<Value> AttentionLowering::advance(ValueRange state) {
  Value x = logits();
  return attention.getWeighting() == Weighting::Softmax ? advanceSoftmax(x, state)
                                                        : advanceLinear(x, state);
}

SmallVector<Value> AttentionLowering::results(ValueRange state) {
  if (attention.getWeighting() != Weighting::Softmax)
    return {linearResult(state)};
  SmallVector<Value> values{softmaxResult(state)};
  if (attention.getLse())
    values.push_back(logSumExp(state));
  return values;
}

SmallVector<Value> AttentionLowering::run() {
  Value x = logits();
  SmallVector<Value> state = attention.getSink() ? initialState() : SmallVector<Value>();
  state = attention.getWeighting() == Weighting::Softmax ? advanceSoftmax(x, state)
                                                         : advanceLinear(x, state);
  SmallVector<Value> values = results(state);
  if (attention.getLogits()) {
    auto type = llvm::cast<RankedTensorType>(attention.getLogits().getType());
    auto element = llvm::cast<FloatType>(type.getElementType());
    Value copy = elementwise(x, full, scores, element,
                             [&](ValueRange args) { return cast(args[0], element); });
    values.push_back(castTo(copy, type));
  }
  return values;
}

FailureOr<SmallVector<Value>> AttentionOp::decompose(OpBuilder &builder) {
  if (getBlockIndex())
    return emitOpError("unsupported: block_index has no reference lowering");
  return AttentionLowering(*this, builder).run();
}

//===-- Tiling with carried state -------------------------------------------------------------===//

StateInfo AttentionOp::getStateInfo() {
  if (getLogits())
    return {StateInfo::Kind::None, "its logits are a result"};
  if (getBlockIndex())
    return {StateInfo::Kind::None, "it has a block_index"};
  return {getWeighting() == Weighting::Softmax ? StateInfo::Kind::MaxAndSum : StateInfo::Kind::Sum,
          ""};
}

OpFoldResult AttentionOp::getCarriedExtent(OpBuilder &builder) {
  return tensor::getMixedSize(builder, getLoc(), getValue(), 2);
}

SmallVector<Value> AttentionOp::buildInitialState(OpBuilder &builder) {
  return AttentionLowering(*this, builder).initialState();
}

SmallVector<Value> AttentionOp::buildTile(OpBuilder &builder, OpFoldResult offset,
                                          OpFoldResult size, ValueRange state) {
  return AttentionLowering(*this, builder, AttentionLowering::Range{offset, size}).advance(state);
}

SmallVector<Value> AttentionOp::buildResults(OpBuilder &builder, ValueRange state) {
  return AttentionLowering(*this, builder).results(state);
}
