#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace attune;

namespace {

/// Loops of everything over the logits; contractions have a fifth.
enum Loop : int64_t { B, H, N, M, Inner };

class AttentionLowering : Lowering {
public:
  AttentionLowering(AttentionOp op, OpBuilder &builder);
  SmallVector<Value> run();

private:
  Value logits();
  Value contract(Value lhs, AffineMap lhsMap, Value kv, ArrayRef<int64_t> kvLoops, AffineMap outMap,
                 ArrayRef<OpFoldResult> shape, std::optional<int64_t> keyLoop);
  Value inlineRegion(AttentionOp::RegionArgs args, Region &region, Value score);
  Value allowed();
  bool restricted() { return attention.hasMask() || attention.getKvLen(); }
  Value atBatch(Value tensor, Value batch);
  Value mask(Value x, FloatType type, double disallowed);
  Value reduceKeys(Value x, double init, Body body);
  Value contractValues(Value weights);
  Value finish(ValueRange inputs, ArrayRef<AffineMap> maps, Body body);
  Value softmax(Value x, Value &lse);
  Value linear(Value x);

  OpFoldResult extent(ArrayRef<std::pair<Value, int64_t>> candidates);

  AttentionOp attention;
  FloatType accum, weight;
  Shape rows, scores, result; // [B,H,N], [B,H,N,M], [B,H,N,E]
  OpFoldResult heads, kvHeads;
  AffineMap full = prefix(4, 4), perRow = prefix(4, 3), row = prefix(3, 3);
};

} // namespace

AttentionLowering::AttentionLowering(AttentionOp op, OpBuilder &builder)
    : Lowering(builder, op.getLoc()), attention(op), accum(op.getAccumType()),
      weight(op.getWeightType()) {
  Value q = op.getQuery(), k = op.getKey(), v = op.getValue(), s = op.getScores();
  OpFoldResult b = extent({{op.getResult(), 0}, {v, 0}, {q, 0}, {s, 0}});
  OpFoldResult n = extent({{op.getResult(), 2}, {q, 2}, {s, 2}});
  OpFoldResult m = extent({{v, 2}, {k, 2}, {s, 3}});
  OpFoldResult e = extent({{op.getResult(), 3}, {v, 3}});
  heads = extent({{op.getResult(), 1}, {q, 1}, {s, 1}});
  kvHeads = extent({{v, 1}, {k, 1}});
  rows = {b, heads, n};
  scores = {b, heads, n, m};
  result = {b, heads, n, e};
}

/// The extent that these axes share, static if any type knows it.
OpFoldResult AttentionLowering::extent(ArrayRef<std::pair<Value, int64_t>> candidates) {
  for (auto [value, dim] : candidates)
    if (value && !cast<RankedTensorType>(value.getType()).isDynamicDim(dim))
      return builder.getIndexAttr(cast<RankedTensorType>(value.getType()).getDimSize(dim));
  for (auto [value, dim] : candidates)
    if (value && value.getDefiningOp() != attention.getOperation())
      return tensor::getMixedSize(builder, loc, value, dim);
  return {};
}

/// Sum over the loops that `outMap` leaves out of `lhs` times key or value. `kvLoops` are its last
/// two axes; its head is the query head's group. Rows of `kv` beyond `kv_len` count as 0.
Value AttentionLowering::contract(Value lhs, AffineMap lhsMap, Value kv, ArrayRef<int64_t> kvLoops,
                                  AffineMap outMap, ArrayRef<OpFoldResult> shape,
                                  std::optional<int64_t> keyLoop) {
  SmallVector<Value> inputs{lhs};
  SmallVector<AffineMap> maps{lhsMap};
  auto staticHeads = getConstantIntValue(heads), staticKvHeads = getConstantIntValue(kvHeads);
  bool byMap = staticHeads && staticKvHeads;
  Value group;
  if (byMap) {
    int64_t size = *staticKvHeads ? *staticHeads / *staticKvHeads : 1;
    AffineExpr head = size > 1 ? d(H).floorDiv(size) : d(H);
    inputs.push_back(kv);
    maps.push_back(map(5, {d(B), head, d(kvLoops[0]), d(kvLoops[1])}));
  } else {
    // The guard keeps the division defined when there are no heads at all.
    Value atLeastOne = op<arith::MaxUIOp>(index(kvHeads), index(1));
    group = op<arith::DivUIOp>(index(heads), atLeastOne);
    group = op<arith::MaxUIOp>(group, index(1));
  }
  Value init = fill(shape, constant(accum, 0));
  return accumulate(inputs, maps, init, outMap, [&](ValueRange args) {
    Value other = byMap ? args[1] : Value();
    if (!byMap) {
      Value head = op<arith::DivUIOp>(loop(H), group);
      other =
          op<tensor::ExtractOp>(kv, ValueRange{loop(B), head, loop(kvLoops[0]), loop(kvLoops[1])});
    }
    other = cast(other, accum);
    if (keyLoop && attention.getKvLen()) {
      Value length = atBatch(attention.getKvLen(), loop(B));
      Value inside = compare(arith::CmpIPredicate::slt, loop(*keyLoop), length);
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
  bind(args.m, [&] { return loop(M); });
  bind(args.j, [&] { return loop(M); });
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
    Value inside = compare(arith::CmpIPredicate::slt, loop(M), length);
    result = result ? op<arith::AndIOp>(result, inside) : inside;
  }
  return result;
}

/// [B,H,N,M] in the accumulation type, before the mask.
Value AttentionLowering::logits() {
  SmallVector<Value> inputs;
  if (attention.getQuery())
    inputs.push_back(contract(attention.getQuery(), map(5, {d(B), d(H), d(N), d(Inner)}),
                              attention.getKey(), {M, Inner}, prefix(5, 4), scores, std::nullopt));
  if (attention.getScores())
    inputs.push_back(attention.getScores());
  SmallVector<AffineMap> maps(inputs.size(), full);
  return elementwise(inputs, maps, scores, accum, [&](ValueRange args) {
    Value x;
    if (attention.getQuery())
      x = args.front();
    if (attention.getScale())
      x = op<arith::MulFOp>(x, cast(attention.getScale(), accum));
    if (attention.getScores()) {
      Value given = cast(args.back(), accum);
      x = x ? op<arith::AddFOp>(x, given) : given;
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

Value AttentionLowering::reduceKeys(Value x, double init, Body body) {
  Type type = getElementTypeOrSelf(x);
  return accumulate(x, full, fill(rows, constant(type, init)), perRow, body);
}

Value AttentionLowering::contractValues(Value weights) {
  // Loops (b, h, n, e, m).
  return contract(weights, map(5, {d(B), d(H), d(N), d(4)}), attention.getValue(), {4, 3},
                  prefix(5, 4), result, 4);
}

/// The result: `body` over [B,H,N,E], cast once.
Value AttentionLowering::finish(ValueRange inputs, ArrayRef<AffineMap> maps, Body body) {
  auto type = llvm::cast<RankedTensorType>(attention.getResult().getType());
  auto element = llvm::cast<FloatType>(type.getElementType());
  Value value = elementwise(inputs, maps, result, element,
                            [&](ValueRange args) { return cast(body(args), element); });
  return castTo(value, type);
}

Value AttentionLowering::softmax(Value x, Value &lse) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  AffineMap perHead = map(3, d(H));
  Value sink = attention.getSink();
  Value masked = mask(x, weight, -infinity);
  Value top = reduceKeys(masked, -infinity,
                         [&](ValueRange args) { return op<arith::MaximumFOp>(args[0], args[1]); });
  if (sink)
    top = elementwise({top, sink}, {row, perHead}, rows, weight, [&](ValueRange args) {
      return op<arith::MaximumFOp>(args[0], cast(args[1], weight));
    });
  // Rows without any weight are shifted by 0: -inf - -inf would be NaN.
  Value shift = elementwise(top, row, rows, weight, [&](ValueRange args) {
    return select(isMinusInfinity(args[0]), constant(weight, 0), args[0]);
  });
  Value weights =
      elementwise({masked, shift}, {full, perRow}, scores, weight, [&](ValueRange args) {
        return op<math::ExpOp>(op<arith::SubFOp>(args[0], args[1]));
      });
  Value sum =
      reduceKeys(weights, 0, [&](ValueRange args) { return op<arith::AddFOp>(args[1], args[0]); });
  if (sink)
    sum = elementwise({sum, shift, sink}, {row, row, perHead}, rows, weight, [&](ValueRange args) {
      Value shifted = op<arith::SubFOp>(cast(args[2], weight), args[1]);
      return op<arith::AddFOp>(args[0], op<math::ExpOp>(shifted));
    });
  if (attention.getLse()) {
    auto type = llvm::cast<RankedTensorType>(attention.getLse().getType());
    auto element = llvm::cast<FloatType>(type.getElementType());
    lse = elementwise({shift, sum}, {row, row}, rows, element, [&](ValueRange args) {
      return cast(op<arith::AddFOp>(args[0], op<math::LogOp>(args[1])), element);
    });
    lse = castTo(lse, type);
  }
  double empty = attention.getEmptyRow() == EmptyRow::NaN ? std::nan("") : 0;
  return finish({contractValues(weights), sum, top}, {full, perRow, perRow}, [&](ValueRange args) {
    Value quotient = op<arith::DivFOp>(args[0], cast(args[1], accum));
    return select(isMinusInfinity(args[2]), constant(accum, empty), quotient);
  });
}

/// Weightings without exponentials.
Value AttentionLowering::linear(Value x) {
  Value weights = mask(x, accum, 0);
  Value numerator = contractValues(weights);
  if (attention.getWeighting() == Weighting::None)
    return finish(numerator, full, [&](ValueRange args) { return args[0]; });
  bool count = attention.getWeighting() == Weighting::Count;
  Value sum = reduceKeys(weights, 0, [&](ValueRange args) {
    Value term = args[0];
    if (count)
      term = restricted() ? select(allowed(), constant(accum, 1), constant(accum, 0))
                          : constant(accum, 1);
    return op<arith::AddFOp>(args[1], term);
  });
  double least = count ? 1 : attention.getEps()->convertToDouble();
  bool add = !count && attention.getEpsMode() == EpsMode::Add;
  return finish({numerator, sum}, {full, perRow}, [&](ValueRange args) {
    Value guard = constant(accum, least);
    Value denominator =
        add ? op<arith::AddFOp>(args[1], guard) : op<arith::MaximumFOp>(args[1], guard);
    return op<arith::DivFOp>(args[0], denominator);
  });
}

SmallVector<Value> AttentionLowering::run() {
  Value x = logits(), lse;
  SmallVector<Value> results{attention.getWeighting() == Weighting::Softmax ? softmax(x, lse)
                                                                            : linear(x)};
  if (lse)
    results.push_back(lse);
  if (attention.getLogits()) {
    auto type = llvm::cast<RankedTensorType>(attention.getLogits().getType());
    auto element = llvm::cast<FloatType>(type.getElementType());
    Value value = elementwise(x, full, scores, element,
                              [&](ValueRange args) { return cast(args[0], element); });
    results.push_back(castTo(value, type));
  }
  return results;
}

FailureOr<SmallVector<Value>> AttentionOp::decompose(OpBuilder &builder) {
  if (getBlockIndex())
    return emitOpError("unsupported: block_index has no reference lowering");
  return AttentionLowering(*this, builder).run();
}
