#include "attune/codegen/cpu/LinearAttentionLayout.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

ChunkForm::Layout ChunkForm::layoutOf(const LinearAttentionSpec &spec, const CpuTarget &target) {
  LinearTile tile = LinearTile::of(target);
  int64_t lanes = target.lanes(), width = tile.width(lanes), padded = tile.paddedRows();
  int64_t panels = (spec.valueDim + width - 1) / width;
  Layout at;
  int64_t next = 0;
  auto take = [&](int64_t &slot, int64_t floats) {
    slot = next;
    next += (floats + lanes + 15) / 16 * 16;
  };
  take(at.state, stateFloats(spec, target));
  take(at.impulse, spec.momentum() ? stateFloats(spec, target) : 0);
  take(at.queries, padded * spec.features());
  take(at.keys, spec.features() * tile.chunk);
  take(at.weighed, spec.gated() || spec.momentum() ? spec.features() * tile.chunk : 0);
  take(at.values, panels * padded * width);
  take(at.weights, tile.rows * Layout::weightStride(tile));
  take(at.outputs, panels * padded * width);
  take(at.sums, Layout::tableFloats(tile));
  take(at.powers, Layout::tableFloats(tile));
  take(at.high, padded);
  take(at.low, padded);
  take(at.rowScale, padded);
  take(at.rowSums, padded * lanes);
  take(at.factors, padded);
  at.total = next;
  return at;
}

int64_t ChunkForm::scratchFloats(const LinearAttentionSpec &spec, const CpuTarget &target) {
  return layoutOf(spec, target).total;
}

ChunkForm::ChunkForm(const LinearContext &context, Value scratch)
    : ctx(context), kb(context.kb), spec(context.spec), values(context.values),
      tile(LinearTile::of(kb.target)), lanes(kb.lanes()), width(tile.width(lanes)),
      padded(tile.paddedRows()), features(spec.features()), scratch(scratch) {
  if (scratch)
    state = place(layoutOf(spec, kb.target).state);
}

Value ChunkForm::place(int64_t offset) const { return kb.gep(scratch, kb.idx(offset), kb.f32()); }

Value ChunkForm::queryRow(Value row) const {
  return kb.gep(place(layoutOf(spec, kb.target).queries), kb.mul(row, features), kb.f32());
}

//===- Weights inside a pair of chunks
//------------------------------------------------------------===//

/// The factor that positions give weight x of query row + r and keys j ... (lanes).
Value ChunkForm::weigh(const Pair &pair, Value row, int64_t r, Value j, Value x) {
  Layout at = layoutOf(spec, kb.target);
  Value i = kb.add(row, r);
  auto times = [&](Value y) -> Value { return arith::MulFOp::create(kb.b, kb.loc, x, y); };
  // Tables of j - i that start at tile.rows + tile.chunk - 1 rows ahead.
  auto along = [&](int64_t table) {
    Value first = kb.add(kb.sub(j, i), tile.rows + tile.chunk - 1);
    return kb.load(kb.vec(), place(table), first);
  };
  if (values.toeplitz)
    return times(along(at.sums));
  if (spec.gated()) {
    auto difference = [&](int64_t part) -> Value {
      Value mine = kb.splat(kb.load(kb.f32(), place(part), i));
      return arith::SubFOp::create(kb.b, kb.loc, mine, kb.load(kb.vec(), place(part), j));
    };
    Value sum = arith::AddFOp::create(kb.b, kb.loc, difference(at.high), difference(at.low));
    return times(math::ExpOp::create(kb.b, kb.loc, sum));
  }
  if (spec.momentum())
    return times(arith::MulFOp::create(kb.b, kb.loc, along(at.sums), kb.splat(values.step)));
  return x;
}

/// Weights of a tile of rows, and the sums of those that count.
void ChunkForm::scores(const Pair &pair, Value row) {
  Layout at = layoutOf(spec, kb.target);
  bool sums = spec.norm == Weighting::Sum, diagonal = pair.kind == Keys::Diagonal;
  bool plain = spec.den == Denominator::Plain && !spec.toeplitz;
  auto sumPlace = [&](int64_t r) {
    return kb.gep(place(at.rowSums), kb.mul(kb.add(row, r), lanes), kb.f32());
  };
  if (sums && !pair.accumulate)
    for (int64_t r = 0; r < tile.rows; ++r)
      kb.store(kb.constF(0, kb.vec()), sumPlace(r));
  Value keys = diagonal ? kb.min(kb.add(row, tile.rows), pair.keys) : pair.keys;
  kb.forLoop(kb.idx(0), kb.ceilDiv(keys, width), 1, [&](Value panel) {
    TileProduct product;
    for (int64_t r = 0; r < tile.rows; ++r)
      product.a.push_back(queryRow(kb.add(row, r)));
    product.aStep = kb.idx(1);
    product.b = kb.gep(place(at.keys), kb.mul(panel, features * width), kb.f32());
    product.vectors = tile.vectors;
    product.count = kb.idx(features);
    Values acc = product.run(kb, Values(tile.rows * tile.vectors, kb.constF(0, kb.vec())));
    for (int64_t r = 0; r < tile.rows; ++r)
      for (int64_t v = 0; v < tile.vectors; ++v) {
        Value j = kb.add(kb.mul(panel, width), v * lanes);
        Value x = acc[r * tile.vectors + v], weight = weigh(pair, row, r, j, x);
        kb.store(weight, place(at.weights), kb.add(j, r * Layout::weightStride(tile)));
        if (!sums)
          continue;
        Value end = diagonal ? kb.add(row, r + 1) : pair.keys;
        Value room = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(), kb.sub(end, j));
        Value ids = kb.laneIds(kb.vec(lanes, kb.b.getI32Type()));
        Value counts = arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::slt, ids,
                                             kb.splat(room, lanes));
        Value part = kb.select(counts, plain ? x : weight, kb.constF(0, kb.vec()));
        Value sum = kb.load(kb.vec(), sumPlace(r));
        kb.store(arith::AddFOp::create(kb.b, kb.loc, sum, part), sumPlace(r));
      }
  });
}

//===- Rows of the result
//-------------------------------------------------------------------------===//

/// Rows times the state they start from.
Values ChunkForm::inter(const Pair &pair, Value row, Value panel) {
  Layout at = layoutOf(spec, kb.target);
  auto read = [&](Value matrix, Values acc) {
    TileProduct product;
    for (int64_t r = 0; r < tile.rows; ++r)
      product.a.push_back(queryRow(kb.add(row, r)));
    product.aStep = kb.idx(1);
    product.b = kb.gep(matrix, kb.mul(panel, features * width), kb.f32());
    product.vectors = tile.vectors;
    product.count = kb.idx(features);
    return product.run(kb, acc);
  };
  auto scale = [&](Values acc) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      Value by = kb.splat(kb.load(kb.f32(), place(at.rowScale), kb.add(row, r)));
      for (int64_t v = 0; v < tile.vectors; ++v) {
        Value &x = acc[r * tile.vectors + v];
        x = arith::MulFOp::create(kb.b, kb.loc, x, by);
      }
    }
    return acc;
  };
  Values zeros(tile.rows * tile.vectors, kb.constF(0, kb.vec()));
  if (spec.momentum())
    return read(state, scale(read(place(at.impulse), zeros)));
  Values acc = read(state, zeros);
  return spec.gated() ? scale(acc) : acc;
}

/// acc + weights * values of the keys of the pair.
Values ChunkForm::product(const Pair &pair, Value row, Value panel, Values acc) {
  Layout at = layoutOf(spec, kb.target);
  TileProduct product;
  for (int64_t r = 0; r < tile.rows; ++r)
    product.a.push_back(place(at.weights + r * Layout::weightStride(tile)));
  product.aStep = kb.idx(1);
  product.b = kb.gep(place(at.values), kb.mul(panel, padded * width), kb.f32());
  product.vectors = tile.vectors;
  bool diagonal = pair.kind == Keys::Diagonal;
  product.count = diagonal ? row : pair.keys;
  acc = product.run(kb, acc);
  if (!diagonal)
    return acc;
  // The triangle by steps that touch the rows below only: a NaN must not reach earlier rows.
  for (int64_t d = 0; d < tile.rows; ++d) {
    Value k = kb.add(row, d);
    Values columns;
    for (int64_t v = 0; v < tile.vectors; ++v)
      columns.push_back(kb.load(kb.vec(), product.b, kb.add(kb.mul(k, width), v * lanes)));
    for (int64_t r = d; r < tile.rows; ++r) {
      Value weight = kb.splat(kb.load(kb.f32(), product.a[r], k));
      for (int64_t v = 0; v < tile.vectors; ++v) {
        Value &x = acc[r * tile.vectors + v];
        x = kb.fma(weight, columns[v], x);
      }
    }
  }
  return acc;
}

/// Factors of a tile of rows from the sums of their weights.
void ChunkForm::denominators(const Pair &pair, Value row) {
  Layout at = layoutOf(spec, kb.target);
  if (spec.norm == Weighting::None)
    return;
  Value end = kb.min(kb.add(row, tile.rows), pair.queries);
  kb.forLoop(row, end, 1, [&](Value i) {
    Value sum;
    if (spec.norm == Weighting::Sum) {
      Value all = pair.kind == Keys::None ? kb.constF(0, kb.vec())
                                          : kb.load(kb.vec(), place(at.rowSums), kb.mul(i, lanes));
      auto dot = [&](Value norm) {
        Value sum = kb.constF(0, kb.vec());
        ctx.forVectors(features, [&](int64_t first, int64_t count) {
          Value q = count == lanes
                        ? kb.load(kb.vec(), queryRow(i), kb.idx(first))
                        : kb.loadPartial(kb.vec(), queryRow(i), kb.idx(first), kb.idx(count));
          sum = kb.fma(q, kb.load(kb.vec(), norm, kb.idx(first)), sum);
        });
        return sum;
      };
      auto fromState = [&]() -> Values {
        Value part = dot(normPlace(state));
        if (spec.den == Denominator::Plain || !(spec.gated() || spec.momentum()))
          return {arith::AddFOp::create(kb.b, kb.loc, all, part)};
        Value scale = kb.splat(kb.load(kb.f32(), place(at.rowScale), i));
        if (spec.gated())
          return {kb.fma(part, scale, all)};
        Value sum = arith::AddFOp::create(kb.b, kb.loc, all, part);
        return {kb.fma(dot(normPlace(place(at.impulse))), scale, sum)};
      };
      if (pair.hasState)
        all = kb.ifElse(pair.hasState, {kb.vec()}, fromState, [&]() -> Values {
                  return {all};
                }).front();
      sum = ctx.sumOf(all);
    }
    kb.store(ctx.factor(sum, kb.add(pair.query, i)), place(at.factors), i);
  });
}

void ChunkForm::finishTile(const Pair &pair, Value row, Value panel, int64_t columns, Values acc) {
  Layout at = layoutOf(spec, kb.target);
  const AttentionTensor &result = values.result;
  Value first = kb.mul(panel, width);
  for (int64_t r = 0; r < tile.rows; ++r) {
    Value i = kb.add(row, r);
    kb.ifThen(kb.lt(i, pair.queries), [&] {
      Value to = ctx.at(result, {pair.b, pair.h, kb.add(pair.query, i), first});
      Value factor;
      if (spec.norm != Weighting::None)
        factor = kb.splat(kb.load(kb.f32(), place(at.factors), i));
      for (int64_t v = 0; v * lanes < columns; ++v) {
        Value x = acc[r * tile.vectors + v];
        if (factor)
          x = arith::MulFOp::create(kb.b, kb.loc, x, factor);
        ctx.storeRow(x, result, to, result.strides[3], v * lanes,
                     std::min(lanes, columns - v * lanes));
      }
    });
  }
}

void ChunkForm::outputs(const Pair &pair) {
  Layout at = layoutOf(spec, kb.target);
  kb.forLoop(kb.idx(0), pair.queries, tile.rows, [&](Value row) {
    if (pair.kind != Keys::None)
      scores(pair, row);
    if (!pair.accumulate)
      denominators(pair, row);
    auto panel = [&](Value number, int64_t columns) {
      Values zeros(tile.rows * tile.vectors, kb.constF(0, kb.vec())), acc = zeros;
      SmallVector<Type> types(zeros.size(), kb.vec());
      Value sums = kb.add(kb.mul(number, padded * width), kb.mul(row, width));
      sums = kb.gep(place(at.outputs), sums, kb.f32());
      if (pair.accumulate)
        for (auto [n, x] : llvm::enumerate(acc))
          x = kb.load(kb.vec(), sums, kb.idx(n * lanes));
      if (pair.hasState)
        acc = kb.ifElse(
            pair.hasState, types, [&] { return inter(pair, row, number); }, [&] { return zeros; });
      if (pair.kind != Keys::None)
        acc = product(pair, row, number, acc);
      if (!pair.accumulate)
        return finishTile(pair, row, number, columns, acc);
      for (auto [n, x] : llvm::enumerate(acc))
        kb.store(x, sums, kb.idx(n * lanes));
    };
    forValuePanels(panel);
  });
}

void ChunkForm::forValuePanels(llvm::function_ref<void(Value panel, int64_t columns)> body) {
  int64_t whole = spec.valueDim / width;
  if (whole)
    kb.forLoop(kb.idx(0), kb.idx(whole), 1, [&](Value panel) { body(panel, width); });
  if (spec.valueDim % width)
    body(kb.idx(whole), spec.valueDim % width);
}

//===- Quadratic form
//-----------------------------------------------------------------------------===//

void ChunkForm::quadratic(Value b, Value h, Value first) {
  Layout at = layoutOf(spec, kb.target);
  Value kvHead = kb.div(h, ctx.group());
  Pair pair{b,         h,  first, kb.min(kb.idx(tile.chunk), kb.sub(values.queries, first)), {}, {},
            Keys::All, {}, true};
  packQueries(b, h, first, pair.queries);
  auto clear = [&](int64_t offset, int64_t floats) {
    kb.forLoop(kb.idx(0), kb.idx(floats), lanes,
               [&](Value x) { kb.store(kb.constF(0, kb.vec()), place(offset), x); });
  };
  clear(at.outputs, valuePanels() * padded * width);
  clear(at.rowSums, padded * lanes);
  auto step = [&](Value key, Keys kind) {
    pair.key = key;
    pair.keys = kb.min(kb.idx(tile.chunk), kb.sub(values.keys, key));
    pair.kind = kind;
    packKeys(b, kvHead, key, pair.keys);
    packValues(b, kvHead, key, pair.keys);
    if (values.toeplitz)
      packCoefficients(pair);
    outputs(pair);
  };
  kb.forLoop(kb.idx(0), spec.causal ? first : values.keys, tile.chunk,
             [&](Value key) { step(key, Keys::All); });
  if (spec.causal)
    step(first, Keys::Diagonal);
  pair.accumulate = false;
  kb.forLoop(kb.idx(0), pair.queries, tile.rows, [&](Value row) {
    denominators(pair, row);
    forValuePanels([&](Value panel, int64_t columns) {
      Value from = kb.add(kb.mul(panel, padded * width), kb.mul(row, width));
      Values acc;
      for (int64_t n = 0; n < tile.rows * tile.vectors; ++n)
        acc.push_back(kb.load(kb.vec(), place(at.outputs), kb.add(from, n * lanes)));
      finishTile(pair, row, panel, columns, acc);
    });
  });
}

} // namespace attune::codegen
