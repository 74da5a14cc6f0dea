#include "attune/codegen/cpu/LinearAttentionForms.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

/// Positions that the state in cache is passed over for at once, and vectors of a group of columns:
/// their product of accumulators fits 16 registers with what they need.
static constexpr int64_t kSteps = 4, kVectors = 2;

/// Offsets in floats of the worker's scratch; rows of features end in a vector of slack.
struct ScanForm::Layout {
  int64_t state;        ///< [group][feature][column]
  int64_t norm;         ///< [step + 1][feature], the first before the block
  int64_t key;          ///< [step][feature]
  int64_t ahead;        ///< keys times the gates after them
  int64_t coefficients; ///< keys or queries times the gates up to them
  int64_t query;
  int64_t gate;   ///< [step][feature]; of the block in [kSteps]
  int64_t change; ///< [step][group][column]
  int64_t total;
};

ScanForm::Layout ScanForm::layoutOf(const LinearAttentionSpec &spec, const CpuTarget &target) {
  Layout at;
  int64_t next = 0, lanes = target.lanes(), row = rowFloats(spec, target);
  int64_t columns = groups(spec, target) * kVectors * lanes;
  auto take = [&](int64_t &slot, int64_t floats) {
    slot = next;
    next += (floats + 15) / 16 * 16;
  };
  take(at.state, columns * spec.features());
  take(at.norm, (kSteps + 1) * row);
  for (int64_t *slot : {&at.key, &at.ahead, &at.coefficients, &at.query, &at.gate})
    take(*slot, (kSteps + 1) * row);
  take(at.change, kSteps * columns);
  at.total = next;
  return at;
}

int64_t ScanForm::rowFloats(const LinearAttentionSpec &spec, const CpuTarget &target) {
  return (spec.features() + target.lanes() + 15) / 16 * 16;
}

int64_t ScanForm::groups(const LinearAttentionSpec &spec, const CpuTarget &target) {
  int64_t columns = kVectors * target.lanes();
  return (spec.valueDim + columns - 1) / columns;
}

int64_t ScanForm::scratchFloats(const LinearAttentionSpec &spec, const CpuTarget &target) {
  return layoutOf(spec, target).total;
}

ScanForm::ScanForm(const LinearContext &context, Value scratch)
    : ctx(context), kb(context.kb), spec(context.spec), values(context.values), lanes(kb.lanes()),
      columns(kVectors * lanes), features(spec.features()), row(rowFloats(spec, kb.target)),
      allColumns(groups(spec, kb.target) * columns), scratch(scratch) {}

Value ScanForm::place(int64_t offset) const { return kb.gep(scratch, kb.idx(offset), kb.f32()); }

Value ScanForm::mul(Value x, Value y) const { return arith::MulFOp::create(kb.b, kb.loc, x, y); }

/// Vectors of a row of features in scratch; lanes past its end read as 0.
Value ScanForm::loadFeatures(Value address, int64_t first, int64_t count) const {
  return count == lanes ? kb.load(kb.vec(), address, kb.idx(first))
                        : kb.loadPartial(kb.vec(), address, kb.idx(first), kb.idx(count));
}

Value ScanForm::dot(Value x, Value y) const {
  // Most are short enough to unroll.
  int64_t looped = features > 256 ? features / lanes * lanes : 0;
  Value zero = kb.constF(0, kb.vec());
  Value sum =
      kb.forLoop(kb.idx(0), kb.idx(looped), lanes, {zero}, [&](Value f, ValueRange in) -> Values {
          return {kb.fma(kb.load(kb.vec(), x, f), kb.load(kb.vec(), y, f), in[0])};
        }).front();
  for (int64_t f = looped; f < features; f += lanes) {
    int64_t count = std::min(lanes, features - f);
    sum = kb.fma(loadFeatures(x, f, count), loadFeatures(y, f, count), sum);
  }
  return ctx.sumOf(sum);
}

void ScanForm::product(Value x, Value y, Value to) const {
  ctx.forVectors(features, [&](int64_t first, int64_t count) {
    kb.store(mul(loadFeatures(x, first, count), loadFeatures(y, first, count)), to, kb.idx(first));
  });
}

//===- Columns of a group
//-------------------------------------------------------------------------===//

/// Where the state of a group is read from, and where it is written.
ScanForm::Rows ScanForm::source(const Block &block, Value group) const {
  if (block.direct)
    return memory(block, values.initState, group);
  return {
      kb.gep(place(layoutOf(spec, kb.target).state), kb.mul(group, features * columns), kb.f32()),
      kb.idx(columns)};
}

ScanForm::Rows ScanForm::target(const Block &block, Value group) const {
  return block.direct ? memory(block, values.finalState, group) : source(block, group);
}

ScanForm::Rows ScanForm::memory(const Block &block, const AttentionTensor &state,
                                Value group) const {
  Value head = ctx.at(state, {block.b, block.kvHead, {}, kb.mul(group, columns)});
  return {head, state.strides[2]};
}

/// Whether `run` may leave the state of a single step where it lies.
bool ScanForm::isDirect() const {
  for (const AttentionTensor *state : {&values.initState, &values.finalState})
    if (!*state || !state->element.isF32() || !isStride(state->strides[3], 1))
      return false;
  return spec.valueDim % columns == 0;
}

/// Where step s keeps the change of vector v of a group.
Value ScanForm::changeOf(Value group, int64_t s, int64_t v) const {
  int64_t offset = layoutOf(spec, kb.target).change + s * allColumns + v * lanes;
  return kb.gep(place(offset), kb.mul(group, columns), kb.f32());
}

/// For every step (rows of coefficients), the vectors of sum over f of coefficient * S[f].
Values ScanForm::read(const Block &block, int64_t coefficients, Value group) {
  Rows state = source(block, group);
  int64_t steps = block.steps;
  return kb.forLoop(
      kb.idx(0), kb.idx(features), 1, Values(steps * kVectors, kb.constF(0, kb.vec())),
      [&](Value f, ValueRange in) {
        Values acc(in), s;
        for (int64_t v = 0; v < kVectors; ++v)
          s.push_back(kb.load(kb.vec(), state.first, kb.add(kb.mul(f, state.stride), v * lanes)));
        for (int64_t t = 0; t < steps; ++t) {
          Value c = kb.splat(kb.load(kb.f32(), place(coefficients + t * row), f));
          for (int64_t v = 0; v < kVectors; ++v) {
            Value &x = acc[t * kVectors + v];
            x = kb.fma(c, s[v], x);
          }
        }
        return acc;
      });
}

//===- A block of steps
//---------------------------------------------------------------------------===//

/// Keys, gates and normalisers of the block.
void ScanForm::start(Block &block) {
  Layout at = layoutOf(spec, kb.target);
  for (int64_t s = 0; s < block.steps; ++s) {
    Value t = kb.add(block.first, s), key = place(at.key + s * row);
    Value mask = values.keyMask ? ctx.number(values.keyMask, {block.b, t}) : Value();
    ctx.features(values.key, ctx.at(values.key, {block.b, block.kvHead, t}), spec.phiK,
                 values.keyPos, t, mask, key);
    if (spec.gated() && spec.featureGates) {
      const AttentionTensor &decay = values.decay;
      Value from = ctx.at(decay, {block.b, block.kvHead, t}), gate = place(at.gate + s * row);
      ctx.forVectors(features, [&](int64_t first, int64_t count) {
        Value g = ctx.loadRow(decay, from, decay.strides[3], first, count);
        kb.store(math::ExpOp::create(kb.b, kb.loc, g), gate, kb.idx(first));
      });
    } else if (spec.gated()) {
      Value g = kb.splat(ctx.number(values.decay, {block.b, block.kvHead, t}));
      g = math::ExpOp::create(kb.b, kb.loc, g);
      block.gates.push_back(vector::ExtractOp::create(kb.b, kb.loc, g, ArrayRef<int64_t>{0}));
      Value all = s ? mul(block.upTo.back(), block.gates.back()) : block.gates.back();
      block.upTo.push_back(all);
    }
    if (!spec.hasNorm())
      continue;
    bool weighted = spec.gated() && spec.den == Denominator::Weighted;
    ctx.forVectors(features, [&](int64_t first, int64_t count) {
      Value z = loadFeatures(place(at.norm + s * row), first, count);
      if (weighted)
        z = mul(z, spec.featureGates ? loadFeatures(place(at.gate + s * row), first, count)
                                     : kb.splat(block.gates[s]));
      z = arith::AddFOp::create(kb.b, kb.loc, z, loadFeatures(key, first, count));
      kb.store(z, place(at.norm + (s + 1) * row), kb.idx(first));
    });
  }
}

/// pairs[s][r] = sum over f of rows[s] * key[r] * gates after r up to s, r < s, or r <= s; and
/// coefficients[s] = rows[s] * gates up to s where those differ by feature.
void ScanForm::pairsOf(Block &block, int64_t rows, bool withSelf, Values &pairs) {
  Layout at = layoutOf(spec, kb.target);
  pairs.assign(block.steps * block.steps, Value());
  for (int64_t r = 0; r < block.steps; ++r) {
    Value key = place(at.key + r * row);
    for (int64_t s = withSelf ? r : r + 1; s < block.steps; ++s) {
      if (spec.featureGates && s > r) {
        product(key, place(at.gate + s * row), place(at.ahead));
        key = place(at.ahead);
      }
      Value x = dot(place(rows + s * row), key);
      if (spec.gated() && !spec.featureGates)
        for (int64_t q = r + 1; q <= s; ++q)
          x = mul(x, block.gates[q]);
      pairs[s * block.steps + r] = x;
    }
  }
  if (!spec.featureGates)
    return;
  // The product of all gates so far grows in its own row.
  Value all = place(at.coefficients + kSteps * row);
  for (int64_t s = 0; s < block.steps; ++s) {
    Value gate = place(at.gate + s * row);
    if (s)
      product(all, gate, all);
    product(s ? all : gate, place(rows + s * row), place(at.coefficients + s * row));
    if (s)
      continue;
    ctx.forVectors(features, [&](int64_t first, int64_t count) {
      kb.store(loadFeatures(gate, first, count), all, kb.idx(first));
    });
  }
}

/// What each step adds to the state along its key: the values, or what the delta rule makes of
/// them.
void ScanForm::changes(Block &block) {
  Layout at = layoutOf(spec, kb.target);
  Values pairs, betas;
  if (spec.delta()) {
    pairsOf(block, at.key, /*withSelf=*/false, pairs);
    for (int64_t s = 0; s < block.steps; ++s)
      betas.push_back(ctx.number(values.beta, {block.b, block.kvHead, kb.add(block.first, s)}));
  }
  kb.forLoop(block.groupFirst, block.groupEnd, 1, [&](Value group) {
    Values known, change;
    if (spec.delta())
      known = read(block, spec.featureGates ? at.coefficients : at.key, group);
    for (int64_t s = 0; s < block.steps; ++s) {
      Value from = ctx.at(values.value, {block.b, block.kvHead, kb.add(block.first, s)});
      for (int64_t v = 0; v < kVectors; ++v) {
        Value x = ctx.loadColumns(values.value, from, kb.mul(group, columns), columns, v);
        if (spec.delta()) {
          Value old = known[s * kVectors + v];
          if (!block.upTo.empty())
            old = mul(old, kb.splat(block.upTo[s]));
          for (int64_t r = 0; r < s; ++r)
            old = kb.fma(kb.splat(pairs[s * block.steps + r]), change[r * kVectors + v], old);
          x = mul(kb.splat(betas[s]), arith::SubFOp::create(kb.b, kb.loc, x, old));
        }
        change.push_back(x);
        kb.store(x, changeOf(group, s, v));
      }
    }
  });
}

/// Rows of the result of query head h: from the state before the block and the changes in it.
void ScanForm::results(Block &block, Value h) {
  Layout at = layoutOf(spec, kb.target);
  for (int64_t s = 0; s < block.steps; ++s) {
    Value t = kb.add(block.first, s);
    ctx.features(values.query, ctx.at(values.query, {block.b, h, t}), spec.phiQ, values.queryPos, t,
                 {}, place(at.query + s * row));
  }
  Values pairs, factors;
  pairsOf(block, at.query, /*withSelf=*/true, pairs);
  for (int64_t s = 0; s < block.steps && spec.norm != Weighting::None; ++s) {
    Value sum;
    if (spec.norm == Weighting::Sum)
      sum = dot(place(at.query + s * row), place(at.norm + (s + 1) * row));
    factors.push_back(ctx.factor(sum, kb.add(block.first, s)));
  }
  kb.forLoop(block.groupFirst, block.groupEnd, 1, [&](Value group) {
    Values rows = read(block, spec.featureGates ? at.coefficients : at.query, group);
    for (int64_t s = 0; s < block.steps; ++s) {
      Value to = ctx.at(values.result, {block.b, h, kb.add(block.first, s)});
      for (int64_t v = 0; v < kVectors; ++v) {
        Value x = rows[s * kVectors + v];
        if (!block.upTo.empty())
          x = mul(x, kb.splat(block.upTo[s]));
        for (int64_t r = 0; r <= s; ++r)
          x = kb.fma(kb.splat(pairs[s * block.steps + r]), kb.load(kb.vec(), changeOf(group, r, v)),
                     x);
        if (!factors.empty())
          x = mul(x, kb.splat(factors[s]));
        ctx.storeColumns(x, values.result, to, kb.mul(group, columns), columns, v);
      }
    }
  });
}

/// S = gates of the block * S + sum of keys * gates after them * changes.
void ScanForm::update(Block &block) {
  Layout at = layoutOf(spec, kb.target);
  int64_t keys = at.key, all = at.gate + kSteps * row;
  if (spec.featureGates) {
    keys = at.ahead;
    for (int64_t s = 0; s < block.steps; ++s) {
      Value key = place(at.key + s * row), gate = place(at.gate + s * row);
      product(key, place(at.gate + std::min(s + 1, block.steps - 1) * row),
              place(at.ahead + s * row));
      if (s + 1 == block.steps)
        ctx.forVectors(features, [&](int64_t first, int64_t count) {
          kb.store(loadFeatures(key, first, count), place(at.ahead + s * row), kb.idx(first));
        });
      for (int64_t q = s + 2; q < block.steps; ++q)
        product(place(at.ahead + s * row), place(at.gate + q * row), place(at.ahead + s * row));
      ctx.forVectors(features, [&](int64_t first, int64_t count) {
        Value g = loadFeatures(gate, first, count);
        kb.store(s ? mul(g, loadFeatures(place(all), first, count)) : g, place(all), kb.idx(first));
      });
    }
  }
  kb.forLoop(block.groupFirst, block.groupEnd, 1, [&](Value group) {
    Values change;
    for (int64_t s = 0; s < block.steps; ++s)
      for (int64_t v = 0; v < kVectors; ++v) {
        Value x = kb.load(kb.vec(), changeOf(group, s, v));
        for (int64_t q = s + 1; q < block.steps && !block.gates.empty(); ++q)
          x = mul(x, kb.splat(block.gates[q]));
        change.push_back(x);
      }
    Rows from = source(block, group), to = target(block, group);
    kb.forLoop(kb.idx(0), kb.idx(features), 1, [&](Value f) {
      Value gate = block.upTo.empty() ? Value() : block.upTo.back();
      if (spec.featureGates)
        gate = kb.load(kb.f32(), place(all), f);
      Values x;
      for (int64_t v = 0; v < kVectors; ++v) {
        x.push_back(kb.load(kb.vec(), from.first, kb.add(kb.mul(f, from.stride), v * lanes)));
        if (gate)
          x[v] = mul(x[v], kb.splat(gate));
      }
      for (int64_t s = 0; s < block.steps; ++s) {
        Value k = kb.splat(kb.load(kb.f32(), place(keys + s * row), f));
        for (int64_t v = 0; v < kVectors; ++v)
          x[v] = kb.fma(k, change[s * kVectors + v], x[v]);
      }
      for (int64_t v = 0; v < kVectors; ++v)
        kb.store(x[v], to.first, kb.add(kb.mul(f, to.stride), v * lanes));
    });
  });
  if (spec.hasNorm())
    ctx.forVectors(features, [&](int64_t first, int64_t count) {
      kb.store(loadFeatures(place(at.norm + block.steps * row), first, count), place(at.norm),
               kb.idx(first));
    });
}

//===- A whole sequence
//---------------------------------------------------------------------------===//

void ScanForm::run(Value b, Value kvHead, Value groupFirst, Value groupEnd) {
  Layout at = layoutOf(spec, kb.target);
  const AttentionTensor &initNorm = values.initNorm, &finalNorm = values.finalNorm;
  ctx.forVectors(features, [&](int64_t first, int64_t count) {
    Value z = kb.constF(0, kb.vec());
    if (initNorm)
      z = ctx.loadRow(initNorm, ctx.at(initNorm, {b, kvHead}), initNorm.strides[2], first, count);
    kb.store(z, place(at.norm), kb.idx(first));
  });
  Value group = ctx.group();
  auto steps = [&](Value first, int64_t count, bool direct) {
    Block block{b, kvHead, first, groupFirst, groupEnd, count, direct, {}, {}};
    start(block);
    changes(block);
    kb.forLoop(kb.idx(0), group, 1,
               [&](Value g) { results(block, kb.add(kb.mul(kvHead, group), g)); });
    update(block);
  };
  auto inScratch = [&] {
    Block block{b, kvHead, kb.idx(0), groupFirst, groupEnd, 1, false, {}, {}};
    copyState(block, /*toScratch=*/true);
    Value whole = kb.mul(kb.div(values.queries, kSteps), kSteps);
    kb.forLoop(kb.idx(0), whole, kSteps, [&](Value first) { steps(first, kSteps, false); });
    kb.forLoop(whole, values.queries, 1, [&](Value first) { steps(first, 1, false); });
    if (values.finalState)
      copyState(block, /*toScratch=*/false);
    return Values();
  };
  if (isDirect())
    kb.ifElse(
        kb.eq(values.queries, kb.idx(1)), {},
        [&] {
          steps(kb.idx(0), 1, true);
          return Values();
        },
        inScratch);
  else
    inScratch();
  if (finalNorm)
    kb.ifThen(kb.eq(groupFirst, kb.idx(0)), [&] {
      ctx.forVectors(features, [&](int64_t first, int64_t count) {
        ctx.storeRow(kb.load(kb.vec(), place(at.norm), kb.idx(first)), finalNorm,
                     ctx.at(finalNorm, {b, kvHead}), finalNorm.strides[2], first, count);
      });
    });
}

/// From the initial state, or zeros, to scratch; or from there to the final state.
void ScanForm::copyState(const Block &block, bool toScratch) {
  const AttentionTensor &tensor = toScratch ? values.initState : values.finalState;
  kb.forLoop(block.groupFirst, block.groupEnd, 1, [&](Value group) {
    Rows rows = source(block, group);
    Value first = kb.mul(group, columns);
    kb.forLoop(kb.idx(0), kb.idx(features), 1, [&](Value f) {
      Value row = tensor ? ctx.at(tensor, {block.b, block.kvHead, f}) : Value();
      for (int64_t v = 0; v < kVectors; ++v) {
        Value offset = kb.add(kb.mul(f, rows.stride), v * lanes);
        if (!toScratch)
          ctx.storeColumns(kb.load(kb.vec(), rows.first, offset), tensor, row, first, columns, v);
        else
          kb.store(tensor ? ctx.loadColumns(tensor, row, first, columns, v)
                          : kb.constF(0, kb.vec()),
                   rows.first, offset);
      }
    });
  });
}

} // namespace attune::codegen
