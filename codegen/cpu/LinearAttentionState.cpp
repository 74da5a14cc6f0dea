#include "attune/codegen/cpu/LinearAttentionLayout.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

int64_t ChunkForm::stateFloats(const LinearAttentionSpec &spec, const CpuTarget &target) {
  int64_t width = LinearTile::of(target).width(target.lanes());
  int64_t panels = (spec.valueDim + width - 1) / width;
  return (panels * spec.features() * width + spec.features() + 31) / 16 * 16;
}

/// Address of Z behind S.
Value ChunkForm::normPlace(Value state) const {
  return kb.gep(state, kb.idx(valuePanels() * features * width), kb.f32());
}

void ChunkForm::clearState(Value at) {
  kb.forLoop(kb.idx(0), kb.idx(stateFloats(spec, kb.target)), lanes,
             [&](Value x) { kb.store(kb.constF(0, kb.vec()), at, x); });
}

void ChunkForm::loadState(Value b, Value kvHead) {
  clearState(state);
  if (spec.momentum())
    clearState(place(layoutOf(spec, kb.target).impulse));
  const AttentionTensor &s = values.initState, &z = values.initNorm;
  if (s)
    kb.forLoop(kb.idx(0), kb.idx(features), 1, [&](Value f) {
      Value from = ctx.at(s, {b, kvHead, f});
      ctx.forVectors(spec.valueDim, [&](int64_t first, int64_t count) {
        Value to = kb.add(kb.mul(f, width), first / width * features * width + first % width);
        kb.store(ctx.loadRow(s, from, s.strides[3], first, count), state, to);
      });
    });
  if (z)
    kb.forLoop(kb.idx(0), kb.idx(features), 1,
               [&](Value f) { kb.store(ctx.number(z, {b, kvHead, f}), normPlace(state), f); });
}

void ChunkForm::storeState(Value b, Value kvHead) {
  const AttentionTensor &s = values.finalState, &z = values.finalNorm;
  if (s)
    kb.forLoop(kb.idx(0), kb.idx(features), 1, [&](Value f) {
      Value to = ctx.at(s, {b, kvHead, f});
      ctx.forVectors(spec.valueDim, [&](int64_t first, int64_t count) {
        Value from = kb.add(kb.mul(f, width), first / width * features * width + first % width);
        ctx.storeRow(kb.load(kb.vec(), state, from), s, to, s.strides[3], first, count);
      });
    });
  if (z)
    kb.forLoop(kb.idx(0), kb.idx(features), 1, [&](Value f) {
      kb.store(fromF32(kb, kb.load(kb.f32(), normPlace(state), f), z.element),
               ctx.at(z, {b, kvHead, f}));
    });
}

//===- One chunk of keys
//--------------------------------------------------------------------------===//

/// matrix = scale(matrix) + keys * values, by tiles of features.
void ChunkForm::addProducts(Value keys, Value count, Value matrix,
                            llvm::function_ref<void(Values &acc, Value offset)> scale) {
  Value all = place(layoutOf(spec, kb.target).values);
  kb.forLoop(kb.idx(0), kb.idx(valuePanels()), 1, [&](Value panel) {
    Value columns = kb.gep(all, kb.mul(panel, padded * width), kb.f32());
    auto rows = [&](Value f, int64_t rows) {
      Value offset = kb.mul(kb.add(kb.mul(panel, features), f), width);
      Values acc;
      for (int64_t n = 0; n < rows * tile.vectors; ++n)
        acc.push_back(kb.load(kb.vec(), matrix, kb.add(offset, n * lanes)));
      scale(acc, offset);
      acc = kb.forLoop(kb.idx(0), kb.ceilDiv(count, width), 1, acc, [&](Value j, ValueRange in) {
        TileProduct product;
        for (int64_t r = 0; r < rows; ++r) {
          Value row = kb.add(kb.mul(j, features), kb.add(f, r));
          product.a.push_back(kb.gep(keys, kb.mul(row, width), kb.f32()));
        }
        product.aStep = kb.idx(1);
        product.b = kb.gep(columns, kb.mul(j, width * width), kb.f32());
        product.vectors = tile.vectors;
        product.count = kb.idx(width);
        return product.run(kb, Values(in));
      });
      for (auto [n, x] : llvm::enumerate(acc))
        kb.store(x, matrix, kb.add(offset, n * lanes));
    };
    int64_t whole = features / tile.rows * tile.rows;
    if (whole)
      kb.forLoop(kb.idx(0), kb.idx(whole), tile.rows, [&](Value f) { rows(f, tile.rows); });
    if (whole < features)
      rows(kb.idx(whole), features - whole);
  });
}

/// norm[f] = scale(norm[f], f) + sum of the keys.
void ChunkForm::updateNorm(Value keys, Value count, Value norm,
                           llvm::function_ref<Value(Value z, Value f)> scale) {
  kb.forLoop(kb.idx(0), kb.idx(features), 1, [&](Value f) {
    Value zero = kb.constF(0, kb.vec());
    Value sum = kb.forLoop(kb.idx(0), kb.ceilDiv(count, width), 1, {zero},
                           [&](Value j, ValueRange in) -> Values {
                             Value row = kb.mul(kb.add(kb.mul(j, features), f), width);
                             Value sum = in[0];
                             for (int64_t v = 0; v < width; v += lanes)
                               sum = arith::AddFOp::create(kb.b, kb.loc, sum,
                                                           kb.load(kb.vec(), keys, kb.add(row, v)));
                             return {sum};
                           })
                    .front();
    Value z = scale(kb.load(kb.f32(), norm, f), f);
    kb.store(arith::AddFOp::create(kb.b, kb.loc, z, ctx.sumOf(sum)), norm, f);
  });
}

/// `weighed` = keys * weight(position), a vector of positions at a time.
void ChunkForm::weighKeys(Value count, llvm::function_ref<Value(Value j)> weight) {
  Layout at = layoutOf(spec, kb.target);
  kb.forLoop(kb.idx(0), kb.ceilDiv(count, width), 1, [&](Value panel) {
    for (int64_t v = 0; v < width; v += lanes) {
      Value by = weight(kb.add(kb.mul(panel, width), v));
      kb.forLoop(kb.idx(0), kb.idx(features), 1, [&](Value f) {
        Value offset = kb.add(kb.mul(kb.add(kb.mul(panel, features), f), width), v);
        Value x = kb.load(kb.vec(), place(at.keys), offset);
        kb.store(arith::MulFOp::create(kb.b, kb.loc, x, by), place(at.weighed), offset);
      });
    }
  });
}

void ChunkForm::updateState(Value count) {
  Layout at = layoutOf(spec, kb.target);
  if (spec.gated())
    return updateGated(count);
  bool weighted = spec.den == Denominator::Weighted;
  if (spec.hasNorm() && !(spec.momentum() && weighted))
    updateNorm(place(at.keys), count, normPlace(state), [](Value z, Value) { return z; });
  if (spec.momentum())
    return updateMomentum(count);
  addProducts(place(at.keys), count, state, [](Values &, Value) {});
}

void ChunkForm::updateGated(Value count) {
  Layout at = layoutOf(spec, kb.target);
  auto mul = [&](Value x, Value y) -> Value { return arith::MulFOp::create(kb.b, kb.loc, x, y); };
  Value end = kb.idx(tile.chunk - 1), weighed = place(at.weighed);
  Value high = kb.splat(kb.load(kb.f32(), place(at.high), end));
  Value low = kb.splat(kb.load(kb.f32(), place(at.low), end));
  weighKeys(count, [&](Value j) -> Value {
    Value h = arith::SubFOp::create(kb.b, kb.loc, high, kb.load(kb.vec(), place(at.high), j));
    Value l = arith::SubFOp::create(kb.b, kb.loc, low, kb.load(kb.vec(), place(at.low), j));
    return math::ExpOp::create(kb.b, kb.loc, arith::AddFOp::create(kb.b, kb.loc, h, l));
  });
  Value decay = kb.load(kb.f32(), place(at.rowScale), end);
  bool weighted = spec.den == Denominator::Weighted;
  if (spec.hasNorm())
    updateNorm(weighted ? weighed : place(at.keys), count, normPlace(state),
               [&](Value z, Value) { return weighted ? mul(z, decay) : z; });
  Value by = kb.splat(decay);
  addProducts(weighed, count, state, [&](Values &acc, Value) {
    for (Value &x : acc)
      x = mul(x, by);
  });
}

void ChunkForm::updateMomentum(Value count) {
  Layout at = layoutOf(spec, kb.target);
  auto mul = [&](Value x, Value y) -> Value { return arith::MulFOp::create(kb.b, kb.loc, x, y); };
  bool norm = spec.hasNorm() && spec.den == Denominator::Weighted;
  // Position j of the chunk has n = count - 1 - j steps ahead of it.
  Value shift = kb.sub(kb.idx(tile.rows + tile.chunk), count);
  auto table = [&](int64_t offset) {
    return [&, offset](Value j) -> Value {
      return mul(kb.load(kb.vec(), place(offset), kb.add(j, shift)), kb.splat(values.step));
    };
  };
  Value weighed = place(at.weighed), impulse = place(at.impulse);
  Value share = kb.load(kb.f32(), place(at.rowScale), kb.sub(count, kb.idx(1)));
  weighKeys(count, table(at.sums));
  addProducts(weighed, count, state, [&](Values &acc, Value offset) {
    for (auto [n, x] : llvm::enumerate(acc))
      x = kb.fma(kb.splat(share), kb.load(kb.vec(), impulse, kb.add(offset, n * lanes)), x);
  });
  if (norm)
    updateNorm(weighed, count, normPlace(state), [&](Value z, Value f) -> Value {
      Value p = mul(share, kb.load(kb.f32(), normPlace(impulse), f));
      return arith::AddFOp::create(kb.b, kb.loc, z, p);
    });
  // P = mu^count P - step sum mu^n y v^T.
  Value decay = mul(kb.load(kb.f32(), place(at.powers), shift), values.mu), by = kb.splat(decay);
  auto powers = table(at.powers);
  weighKeys(count,
            [&](Value j) -> Value { return arith::NegFOp::create(kb.b, kb.loc, powers(j)); });
  addProducts(weighed, count, impulse, [&](Values &acc, Value) {
    for (Value &x : acc)
      x = mul(x, by);
  });
  if (norm)
    updateNorm(weighed, count, normPlace(impulse), [&](Value z, Value) { return mul(z, decay); });
}

//===- Whole sequences
//----------------------------------------------------------------------------===//

void ChunkForm::causal(Value b, Value kvHead) {
  loadState(b, kvHead);
  if (spec.momentum())
    momentumTables();
  Value group = ctx.group();
  kb.forLoop(kb.idx(0), values.queries, tile.chunk, [&](Value first) {
    Value count = kb.min(kb.idx(tile.chunk), kb.sub(values.queries, first));
    packKeys(b, kvHead, first, count);
    packValues(b, kvHead, first, count);
    if (spec.gated())
      gates(b, kvHead, first, count);
    Value started = values.initState || values.initNorm ? kb.constI(1, kb.b.getI1Type())
                                                        : kb.lt(kb.idx(0), first);
    kb.forLoop(kb.idx(0), group, 1, [&](Value g) {
      Value h = kb.add(kb.mul(kvHead, group), g);
      packQueries(b, h, first, count);
      outputs({b, h, first, count, first, count, Keys::Diagonal, started});
    });
    auto update = [&] { updateState(count); };
    if (values.finalState || values.finalNorm)
      update();
    else // Nobody reads the last one.
      kb.ifThen(kb.lt(kb.add(first, count), values.queries), update);
  });
  storeState(b, kvHead);
}

void ChunkForm::keyState(Value b, Value kvHead, Value first, Value end, Value to) {
  state = to;
  clearState(state);
  kb.forLoop(first, end, tile.chunk, [&](Value key) {
    Value count = kb.min(kb.idx(tile.chunk), kb.sub(end, key));
    packKeys(b, kvHead, key, count);
    packValues(b, kvHead, key, count);
    updateState(count);
  });
}

void ChunkForm::mergeStates(Value states, Value parts) {
  int64_t size = stateFloats(spec, kb.target), matrix = valuePanels() * features * width;
  kb.forLoop(kb.idx(0), kb.idx(size), lanes, [&](Value x) {
    Value sum = kb.forLoop(kb.idx(1), parts, 1, {kb.load(kb.vec(), states, x)},
                           [&](Value part, ValueRange in) -> Values {
                             Value from = kb.add(kb.mul(part, size), x);
                             return {arith::AddFOp::create(kb.b, kb.loc, in[0],
                                                           kb.load(kb.vec(), states, from))};
                           })
                    .front();
    kb.store(sum, states, x);
  });
  if (spec.stateMap)
    kb.forLoop(kb.idx(0), kb.idx(matrix), lanes, [&](Value x) {
      kb.store(spec.stateMap(kb, kb.load(kb.vec(), states, x)), states, x);
    });
}

void ChunkForm::readState(Value b, Value h, Value first, Value end, Value from) {
  state = from;
  kb.forLoop(first, end, tile.chunk, [&](Value query) {
    Value count = kb.min(kb.idx(tile.chunk), kb.sub(end, query));
    packQueries(b, h, query, count);
    outputs({b, h, query, count, {}, {}, Keys::None, kb.constI(1, kb.b.getI1Type())});
  });
}

} // namespace attune::codegen
