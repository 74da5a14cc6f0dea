#include "attune/codegen/cpu/LinearAttentionLayout.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

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

} // namespace attune::codegen
