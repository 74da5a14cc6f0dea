#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace attune;

namespace {

/// Loops of everything per query head, and of everything per key head.
enum Loop : int64_t { B, H, N, M };
enum StateLoop : int64_t { F = 2, E = 3 };

/// Three reference lowerings, by what the op asks for: the quadratic form with Toeplitz
/// coefficients or if a causal sum without state says so, two contractions if bidirectional, else
/// the recurrence.
class LinearAttentionLowering : Lowering {
public:
  LinearAttentionLowering(LinearAttentionOp op, OpBuilder &builder);
  SmallVector<Value> run();

private:
  /// What the recurrence carries; null where the op has none of it.
  struct State {
    Value s, z;                   // [B,Hk,F,E], [B,Hk,F]
    Value momentum, momentumZ;    // likewise
    Value numerator, denominator; // [B,H,N,E], [B,H,N]

    SmallVector<Value *> parts() {
      SmallVector<Value *> present;
      for (Value *part : {&s, &z, &momentum, &momentumZ, &numerator, &denominator})
        if (*part)
          present.push_back(part);
      return present;
    }
  };
  /// What one step reads.
  struct Step {
    Value number, y, v; // index, [B,Hk,F], [B,Hk,E]
    Value gate, beta;   // [B,Hk] or [B,Hk,F], [B,Hk]
    Value mu, rate;     // [B,Hk], scalar; of momentum
  };

  OpFoldResult extent(ArrayRef<std::pair<Value, int64_t>> candidates) {
    return Lowering::extent(attention, candidates);
  }
  Value features(Value input, OpFoldResult heads, Value table, Region &map, Value mask);
  Value zeros(ArrayRef<OpFoldResult> shape) { return fill(shape, constant(accum, 0)); }
  Value given(Value tensor, ArrayRef<OpFoldResult> shape);
  Value add(Value lhs, Value rhs) { return op<arith::AddFOp>(lhs, rhs); }
  Value sub(Value lhs, Value rhs) { return op<arith::SubFOp>(lhs, rhs); }
  Value mul(Value lhs, Value rhs) { return op<arith::MulFOp>(lhs, rhs); }
  Value sumRows(Value x, AffineMap map, Value init, AffineMap outMap);

  void quadratic();
  void contractions();
  void recurrence();
  State initial();
  void advance(State &state, Step step);
  void decay(State &state, const Step &step);
  void correct(const State &state, Step &step);
  void push(State &state, const Step &step);
  void read(State &state, const Step &step);
  Value adaptiveMu(const State &state, const Step &step);
  Value norm(Value x);
  Value updateNorm(const Step &step, Value y, Value v);

  Value finish();

  LinearAttentionOp attention;
  FloatType accum;
  bool weighs;                               // whether a denominator sums weights
  Shape rows, result, stateShape, normShape; // [B,H,N], [B,H,N,E], [B,Hk,F,E], [B,Hk,F]
  OpFoldResult keys;
  Value u, y;    // [B,H,N,F], [B,Hk,M,F]
  Value fixedMu; // [B,Hk], of update momentum
  Value numerator, denominator, finalState, finalNorm;
};

} // namespace

LinearAttentionLowering::LinearAttentionLowering(LinearAttentionOp op, OpBuilder &builder)
    : Lowering(builder, op.getLoc()), attention(op), accum(op.getAccumType()),
      weighs(op.getNorm() == Weighting::Sum) {
  Value q = op.getQuery(), k = op.getKey(), v = op.getValue();
  OpFoldResult b = extent({{op.getResult(), 0}, {q, 0}, {k, 0}, {v, 0}});
  OpFoldResult h = extent({{op.getResult(), 1}, {q, 1}}), hk = extent({{k, 1}, {v, 1}});
  OpFoldResult n = extent({{op.getResult(), 2}, {q, 2}}), e = extent({{op.getResult(), 3}, {v, 3}});
  keys = extent({{k, 2}, {v, 2}});
  rows = {b, h, n};
  result = {b, h, n, e};
  u = features(q, h, op.getQueryPos(), op.getPhiQ(), Value());
  y = features(k, hk, op.getKeyPos(), op.getPhiK(), op.getKeyMask());
  stateShape = {b, hk, sizes(y)[3], e};
  normShape = {b, hk, sizes(y)[3]};
}

/// [B,heads,length,F]: the map of `input`, times the mask, times every row of `table`.
Value LinearAttentionLowering::features(Value input, OpFoldResult heads, Value table, Region &map,
                                        Value mask) {
  Shape shape = sizes(input);
  OpFoldResult d = extent({{attention.getQuery(), 3}, {attention.getKey(), 3}});
  shape[1] = heads;
  shape[3] = d;
  SmallVector<Value> inputs{input};
  SmallVector<AffineMap> maps{prefix(4, 4)};
  if (mask) {
    inputs.push_back(mask);
    maps.push_back(this->map(4, {this->d(0), this->d(2)}));
  }
  Value mapped = elementwise(inputs, maps, shape, accum, [&](ValueRange args) {
    Value x = cast(args[0], accum);
    if (!map.empty())
      x = inlineBody(map, x);
    return mask ? mul(x, cast(args[1], accum)) : x;
  });
  if (!table)
    return mapped;
  OpFoldResult terms = extent({{attention.getQueryPos(), 0}, {attention.getKeyPos(), 0}});
  Value size = index(d);
  shape[3] = getAsOpFoldResult(op<arith::MulIOp>(index(terms), size));
  if (auto r = getConstantIntValue(terms), width = getConstantIntValue(d); r && width)
    shape[3] = builder.getIndexAttr(*r * *width);
  return elementwise({}, {}, shape, accum, [&](ValueRange) {
    Value term = op<arith::DivUIOp>(loop(3), size), feature = op<arith::RemUIOp>(loop(3), size);
    Value x = op<tensor::ExtractOp>(mapped, ValueRange{loop(0), loop(1), loop(2), feature});
    Value factor = op<tensor::ExtractOp>(table, ValueRange{term, loop(2)});
    return mul(x, cast(factor, accum));
  });
}

/// A copy of `tensor` in the accumulation type, zeros without one.
Value LinearAttentionLowering::given(Value tensor, ArrayRef<OpFoldResult> shape) {
  if (!tensor)
    return zeros(shape);
  return elementwise(tensor, prefix(shape.size(), shape.size()), shape, accum,
                     [&](ValueRange args) { return cast(args[0], accum); });
}

//===-- Quadratic form ------------------------------------------------------------------------===//

void LinearAttentionLowering::quadratic() {
  Shape pairs(rows);
  pairs.push_back(keys);
  auto product = [&](ValueRange args) { return add(args[2], mul(args[0], cast(args[1], accum))); };
  // Loops (b, h, n, m, f).
  Value weights = accumulateGrouped(u, map(5, {d(B), d(H), d(N), d(4)}), y, {M, 4}, rows[1],
                                    zeros(pairs), prefix(5, 4), product);
  Value coefficients = attention.getToeplitz();
  bool perHead = coefficients && cast<RankedTensorType>(coefficients.getType()).getRank() == 2;
  AffineMap full = prefix(4, 4), perRow = prefix(4, 3);
  Value last = op<arith::SubIOp>(index(rows[2]), index(1));
  weights = elementwise(weights, full, pairs, accum, [&](ValueRange args) {
    Value weight = args[0];
    if (coefficients) {
      SmallVector<Value> at{op<arith::AddIOp>(op<arith::SubIOp>(loop(M), loop(N)), last)};
      if (perHead)
        at.insert(at.begin(), loop(H));
      weight = mul(weight, cast(op<tensor::ExtractOp>(coefficients, at), accum));
    }
    if (!attention.isCausal())
      return weight;
    Value visible = compare(arith::CmpIPredicate::ule, loop(M), loop(N));
    return select(visible, weight, constant(accum, 0));
  });
  // Loops (b, h, n, e, m).
  numerator = accumulateGrouped(weights, map(5, {d(B), d(H), d(N), d(4)}), attention.getValue(),
                                {4, 3}, rows[1], zeros(result), prefix(5, 4), product);
  if (weighs)
    denominator = accumulate(weights, full, zeros(rows), perRow,
                             [&](ValueRange args) { return add(args[1], args[0]); });
}

//===-- Contractions --------------------------------------------------------------------------===//

void LinearAttentionLowering::contractions() {
  // Loops (b, h, f, e, m).
  Value s = accumulate({y, attention.getValue()},
                       {map(5, {d(0), d(1), d(4), d(F)}), map(5, {d(0), d(1), d(4), d(E)})},
                       zeros(stateShape), prefix(5, 4), [&](ValueRange args) {
                         return add(args[2], mul(args[0], cast(args[1], accum)));
                       });
  if (!attention.getState().empty())
    s = accumulate(s, prefix(4, 4), s, prefix(4, 4),
                   [&](ValueRange args) { return inlineBody(attention.getState(), args[0]); });
  auto product = [&](ValueRange args) { return add(args[2], mul(args[0], args[1])); };
  // Loops (b, h, n, e, f).
  numerator = accumulateGrouped(u, map(5, {d(B), d(H), d(N), d(4)}), s, {4, 3}, rows[1],
                                zeros(result), prefix(5, 4), product);
  if (!weighs)
    return;
  // Loops (b, h, f, m), then (b, h, n, f).
  Value z = accumulate(y, map(4, {d(0), d(1), d(3), d(2)}), zeros(normShape), prefix(4, 3),
                       [&](ValueRange args) { return add(args[1], args[0]); });
  denominator =
      accumulateGrouped(u, prefix(4, 4), z, {3}, rows[1], zeros(rows), prefix(4, 3), product);
}

//===-- Recurrence ----------------------------------------------------------------------------===//

LinearAttentionLowering::State LinearAttentionLowering::initial() {
  State state;
  state.s = given(attention.getInitState(), stateShape);
  state.numerator = zeros(result);
  if (weighs) {
    state.z = given(attention.getInitNorm(), normShape);
    state.denominator = zeros(rows);
  }
  if (attention.hasMomentum()) {
    state.momentum = zeros(stateShape);
    if (weighs && attention.getDen() == Denominator::Weighted)
      state.momentumZ = zeros(normShape);
  }
  return state;
}

void LinearAttentionLowering::recurrence() {
  State state = initial();
  if (attention.getUpdate() == Update::Momentum)
    fixedMu = fill({stateShape[0], stateShape[1]}, cast(attention.getMu(), accum));
  SmallVector<Value> init;
  for (Value *part : state.parts())
    init.push_back(*part);
  auto loop = scf::ForOp::create(
      builder, loc, index(int64_t(0)), index(keys), index(1), init,
      [&](OpBuilder &, Location, Value number, ValueRange carried) {
        for (auto [part, value] : llvm::zip_equal(state.parts(), carried))
          *part = value;
        auto at = [&](Value tensor) { return tensor ? sliceAt(tensor, 2, number) : Value(); };
        Step step{number,
                  at(y),
                  at(attention.getValue()),
                  at(attention.getDecay()),
                  at(attention.getBeta()),
                  {},
                  {}};
        advance(state, step);
        SmallVector<Value> next;
        for (Value *part : state.parts())
          next.push_back(*part);
        scf::YieldOp::create(builder, loc, next);
      });
  for (auto [part, value] : llvm::zip_equal(state.parts(), loop.getResults()))
    *part = value;
  numerator = state.numerator;
  denominator = state.denominator;
  finalState = state.s;
  finalNorm = state.z;
}

void LinearAttentionLowering::advance(State &state, Step step) {
  if (attention.hasGate())
    decay(state, step);
  if (attention.hasDelta())
    correct(state, step);
  if (attention.hasMomentum()) {
    step.rate = cast(attention.getStep(), accum);
    if (attention.getUpdate() == Update::AdaptiveMomentum) {
      step.mu = adaptiveMu(state, step);
      // The first step takes the whole gradient.
      Value first = compare(arith::CmpIPredicate::eq, step.number, index(int64_t(0)));
      step.rate = select(first, constant(accum, 1), step.rate);
    } else {
      step.mu = fixedMu;
    }
  }
  push(state, step);
  read(state, step);
}

/// The state and, unless it is plain, the denominator, times the gates.
void LinearAttentionLowering::decay(State &state, const Step &step) {
  bool perFeature = attention.hasFeatureGates();
  auto scale = [&](Value part, int64_t rank) {
    AffineMap full = prefix(rank, rank);
    return accumulate(step.gate, prefix(rank, perFeature ? 3 : 2), part, full,
                      [&](ValueRange args) {
                        Value gate = op<math::ExpOp>(cast(args[0], accum));
                        return mul(args[1], gate);
                      });
  };
  state.s = scale(state.s, 4);
  if (state.z && attention.getDen() == Denominator::Weighted)
    state.z = scale(state.z, 3);
}

/// Replaces the step's values by `beta (v - S^T y)`.
void LinearAttentionLowering::correct(const State &state, Step &step) {
  Shape shape{stateShape[0], stateShape[1], stateShape[3]};
  // Loops (b, h, e, f).
  Value known =
      accumulate({state.s, step.y}, {map(4, {d(0), d(1), d(3), d(2)}), map(4, {d(0), d(1), d(3)})},
                 zeros(shape), prefix(4, 3),
                 [&](ValueRange args) { return add(args[2], mul(args[0], args[1])); });
  step.v = accumulate({step.v, step.beta}, {prefix(3, 3), prefix(3, 2)}, known, prefix(3, 3),
                      [&](ValueRange args) {
                        Value rest = sub(cast(args[0], accum), args[2]);
                        return mul(cast(args[1], accum), rest);
                      });
}

/// Adds this step's product to the state, and its features to the denominator.
void LinearAttentionLowering::push(State &state, const Step &step) {
  SmallVector<Value> factors{step.y, step.v};
  SmallVector<AffineMap> maps{prefix(4, 3), map(4, {d(0), d(1), d(E)})};
  auto product = [&](ValueRange args) { return mul(args[0], cast(args[1], accum)); };
  auto subtract = [&](ValueRange args) { return sub(args[1], args[0]); };
  if (!state.momentum) {
    state.s = accumulate(factors, maps, state.s, prefix(4, 4),
                         [&](ValueRange args) { return add(args[2], product(args)); });
  } else {
    factors.push_back(step.mu);
    maps.push_back(prefix(4, 2));
    state.momentum = accumulate(factors, maps, state.momentum, prefix(4, 4), [&](ValueRange args) {
      return sub(mul(args[2], args[3]), mul(step.rate, product(args)));
    });
    state.s = accumulate(state.momentum, prefix(4, 4), state.s, prefix(4, 4), subtract);
  }
  if (!state.z)
    return;
  AffineMap full = prefix(3, 3);
  if (!state.momentumZ) {
    state.z = accumulate(step.y, full, state.z, full,
                         [&](ValueRange args) { return add(args[1], args[0]); });
    return;
  }
  state.momentumZ = accumulate(
      {step.y, step.mu}, {full, prefix(3, 2)}, state.momentumZ, full,
      [&](ValueRange args) { return sub(mul(args[1], args[2]), mul(step.rate, args[0])); });
  state.z = accumulate(state.momentumZ, full, state.z, full, subtract);
}

/// This step's rows of numerator and denominator.
void LinearAttentionLowering::read(State &state, const Step &step) {
  Value features = sliceAt(u, 2, step.number);
  auto product = [&](ValueRange args) { return add(args[2], mul(args[0], args[1])); };
  // Loops (b, h, e, f), then (b, h, f).
  Value row = accumulateGrouped(features, map(4, {d(B), d(H), d(3)}), state.s, {3, 2}, rows[1],
                                sliceAt(state.numerator, 2, step.number), prefix(4, 3), product);
  state.numerator = insertAt(row, state.numerator, 2, step.number);
  if (!state.z)
    return;
  Value sum = accumulateGrouped(features, prefix(3, 3), state.z, {2}, rows[1],
                                sliceAt(state.denominator, 2, step.number), prefix(3, 2), product);
  state.denominator = insertAt(sum, state.denominator, 2, step.number);
}

//===-- Adaptive momentum ---------------------------------------------------------------------===//

/// [B,Hk]: the Frobenius norm of `x` [B,Hk,F,E].
Value LinearAttentionLowering::norm(Value x) {
  Shape shape{stateShape[0], stateShape[1]};
  Value squares = accumulate(x, prefix(4, 4), zeros(shape), prefix(4, 2),
                             [&](ValueRange args) { return add(args[1], mul(args[0], args[0])); });
  return elementwise(squares, prefix(2, 2), shape, accum,
                     [&](ValueRange args) { return op<math::SqrtOp>(args[0]); });
}

/// [B,Hk]: the Frobenius norm of the step's product minus that of features `y` and values `v`.
Value LinearAttentionLowering::updateNorm(const Step &step, Value y, Value v) {
  Shape shape{stateShape[0], stateShape[1]};
  AffineMap ofFeature = prefix(4, 3), ofValue = map(4, {d(0), d(1), d(E)});
  Value squares = accumulate({step.y, step.v, y, v}, {ofFeature, ofValue, ofFeature, ofValue},
                             zeros(shape), prefix(4, 2), [&](ValueRange args) {
                               Value now = mul(args[0], cast(args[1], accum)),
                                     old = mul(args[2], cast(args[3], accum));
                               Value change = sub(now, old);
                               return add(args[4], mul(change, change));
                             });
  return elementwise(squares, prefix(2, 2), shape, accum,
                     [&](ValueRange args) { return op<math::SqrtOp>(args[0]); });
}

/// [B,Hk]: how much of the momentum stays, by how much the product changed; 0 at the first step.
Value LinearAttentionLowering::adaptiveMu(const State &state, const Step &step) {
  Value zero = index(int64_t(0));
  Value first = compare(arith::CmpIPredicate::eq, step.number, zero);
  Value previous = select(first, zero, op<arith::SubIOp>(step.number, index(1)));
  Value change =
      updateNorm(step, sliceAt(y, 2, previous), sliceAt(attention.getValue(), 2, previous));
  AffineMap full = prefix(2, 2);
  return elementwise({change, norm(state.momentum)}, {full, full}, {stateShape[0], stateShape[1]},
                     accum, [&](ValueRange args) {
                       Value ratio = op<arith::DivFOp>(
                           mul(cast(attention.getStep(), accum), args[0]), args[1]);
                       Value rest = sub(constant(accum, 1), op<math::SqrtOp>(ratio));
                       Value mu = op<arith::MaximumFOp>(mul(rest, rest), constant(accum, 0));
                       mu = op<arith::MinimumFOp>(mu, constant(accum, 0.9999));
                       return select(first, constant(accum, 0), mu);
                     });
}

//===-- All of it -----------------------------------------------------------------------------===//

/// The numerator over what `norm` says.
Value LinearAttentionLowering::finish() {
  AffineMap full = prefix(4, 4);
  if (attention.getNorm() == Weighting::Count)
    return accumulate({}, {}, numerator, full, [&](ValueRange args) {
      Value count = attention.isCausal() ? op<arith::AddIOp>(loop(N), index(1)) : index(keys);
      return op<arith::DivFOp>(args[0], toFloat(count, accum));
    });
  if (!weighs)
    return numerator;
  double eps = attention.getEps() ? attention.getEps()->convertToDouble() : 0;
  bool clamp = attention.getEpsMode() == EpsMode::Clamp;
  return accumulate(denominator, prefix(4, 3), numerator, full, [&](ValueRange args) {
    Value guard = constant(accum, eps);
    Value sum = clamp ? op<arith::MaximumFOp>(args[0], guard) : add(args[0], guard);
    return op<arith::DivFOp>(args[1], sum);
  });
}

SmallVector<Value> LinearAttentionLowering::run() {
  bool keepsState =
      attention.getInitState() || attention.getInitNorm() || attention.getNumResults() > 1;
  bool asked = attention.getForm() == Form::Quadratic && attention.isCausal() &&
               attention.getUpdate() == Update::Sum && !keepsState;
  if (attention.getToeplitz() || asked)
    quadratic();
  else if (!attention.isCausal())
    contractions();
  else
    recurrence();
  SmallVector<Value> values{castElements(finish(), attention.getResult())};
  if (attention.getFinalState())
    values.push_back(castElements(finalState, attention.getFinalState()));
  if (attention.getFinalNorm())
    values.push_back(castElements(finalNorm, attention.getFinalNorm()));
  return values;
}

FailureOr<SmallVector<Value>> LinearAttentionOp::decompose(OpBuilder &builder) {
  return LinearAttentionLowering(*this, builder).run();
}
