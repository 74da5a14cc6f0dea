#include "attune/codegen/cpu/AttentionRows.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

static constexpr double kInf = std::numeric_limits<double>::infinity();

/// Keys of the block that the row may see.
void RowForm::limit(const Row &row, Value blockLo, Value blockHi) {
  Layout at = layoutOf(spec, kb.lanes());
  KeyRange range = rangeOf(row);
  Value lo = kb.max(blockLo, range.lo), hi = kb.min(blockHi, range.hi);
  Value some = kb.lt(lo, hi);
  // None: what does not widen the range of a tile.
  storeIndex(kb.select(some, lo, blockHi), row.state, at.lo);
  storeIndex(kb.select(some, hi, blockLo), row.state, at.hi);
}

RowForm::Tile RowForm::tileOf(Value b, Value kvHead, Value first, Value last, int64_t rows) {
  Layout at = layoutOf(spec, kb.lanes());
  Tile tile{b, kvHead, {}, {}, {}};
  for (int64_t r = 0; r < rows; ++r) {
    Value index = r ? kb.min(kb.add(first, r), last) : first;
    Value state = kb.gep(scratch, kb.mul(index, at.row), kb.f32());
    Value lo = loadIndex(state, at.lo), hi = loadIndex(state, at.hi);
    tile.lo = r ? kb.min(tile.lo, lo) : lo;
    tile.hi = r ? kb.max(tile.hi, hi) : hi;
    tile.states.push_back(state);
  }
  return tile;
}

/// The element is needed in the next phase of the block: until then, a line takes the way from
/// memory to L2 for every line that this phase reads.
void RowForm::fetch(const AttentionTensor &tensor, Value address, Value row, Value column) {
  kb.prefetch(address, kb.add(kb.mul(row, tensor.strides[2]), column), tensor.element,
              /*locality=*/2);
}

/// Dot products of the rows with keys [lo, hi) of the tile.
void RowForm::dots(const Tile &tile, Value blockLo) {
  Layout at = layoutOf(spec, kb.lanes());
  int64_t lanes = kb.lanes(), whole = spec.headDim / lanes * lanes, rows = tile.states.size();
  int64_t width = std::max<int64_t>(1, lanes / rows); // keys at a time: `lanes` sums or more
  const AttentionTensor &key = values.key;
  VectorType type = kb.vec(lanes, key.element);
  Value keyAddress = ctx.at(key, tile.b, tile.kvHead, tile.lo, {});
  Value valueAddress = ctx.at(values.value, tile.b, tile.kvHead, tile.lo, {});
  Value count = kb.sub(tile.hi, tile.lo), last = kb.sub(count, kb.idx(1));
  Value place = kb.add(kb.sub(tile.lo, blockLo), at.scores);
  kb.forLoop(kb.idx(0), count, width, [&](Value k) {
    Values from;
    for (int64_t l = 0; l < width; ++l)
      from.push_back(
          kb.gep(keyAddress, kb.mul(kb.min(kb.add(k, l), last), key.strides[2]), key.element));
    auto step = [&](Values acc, Value d, llvm::function_ref<Value(Value from)> load) {
      Values x;
      for (Value address : from)
        x.push_back(toF32(kb, load(address)));
      for (int64_t l = 0; l < width; ++l)
        fetch(values.value, valueAddress, kb.add(k, l), d);
      for (int64_t r = 0; r < rows; ++r) {
        Value q = kb.load(kb.vec(), tile.states[r], kb.add(d, at.query));
        for (int64_t l = 0; l < width; ++l)
          acc[r * width + l] = kb.fma(x[l], q, acc[r * width + l]);
      }
      return acc;
    };
    Values acc(rows * width, kb.constF(0, kb.vec()));
    acc = kb.forLoop(kb.idx(0), kb.idx(whole), lanes, acc, [&](Value d, ValueRange carried) {
      return step(Values(carried), d, [&](Value from) { return kb.load(type, from, d); });
    });
    if (whole < spec.headDim)
      acc = step(acc, kb.idx(whole), [&](Value from) {
        return kb.loadPartial(type, from, kb.idx(whole), kb.idx(spec.headDim - whole));
      });
    // Lane r * width + l is the sum for row r and key l.
    for (int64_t first = 0; first < rows * width; first += lanes) {
      Value sums = sumsOf(ArrayRef(acc).slice(first, lanes));
      for (int64_t lane = 0; lane < lanes; lane += width) {
        Value part = sums;
        if (width < lanes)
          part = vector::ExtractStridedSliceOp::create(kb.b, kb.loc, sums, {lane}, {width}, {1});
        kb.store(part, tile.states[(first + lane) / width], kb.add(place, k));
      }
    }
  });
}

/// Lane l of the result is the sum of vector l.
Value RowForm::sumsOf(ArrayRef<Value> vectors) {
  int64_t lanes = kb.lanes();
  Values acc(vectors);
  for (int64_t h = lanes / 2; h >= 1; h /= 2)
    for (int64_t l = 0; l < h; ++l) {
      SmallVector<int64_t> low, high;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        low.push_back(lane & h ? lanes + lane - h : lane);
        high.push_back(lane & h ? lanes + lane : lane + h);
      }
      Value x = vector::ShuffleOp::create(kb.b, kb.loc, acc[l], acc[l + h], low);
      Value y = vector::ShuffleOp::create(kb.b, kb.loc, acc[l], acc[l + h], high);
      acc[l] = arith::AddFOp::create(kb.b, kb.loc, x, y);
    }
  return acc.front();
}

/// Weights of the row for the keys of the block, 0 for those that it does not see, and the factor
/// of what it has summed so far.
void RowForm::weights(const Row &row, Value blockLo, Value blockHi) {
  Layout at = layoutOf(spec, kb.lanes());
  Value lo = loadIndex(row.state, at.lo), hi = loadIndex(row.state, at.hi);
  auto setFactor = [&](Value factor) { kb.store(factor, row.state, kb.idx(at.factor)); };
  auto seen = [&] {
    Value place = kb.gep(row.state, kb.add(kb.sub(lo, blockLo), at.scores), kb.f32());
    Value found = scores(row, place, lo, hi);
    Value oldMax = kb.load(kb.f32(), row.state, kb.idx(at.max));
    Value sum = kb.load(kb.f32(), row.state, kb.idx(at.sum));
    if (ctx.softmax()) {
      Value max = maxDroppingNaN(kb, maxOf(found), oldMax);
      Value none =
          arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, max, kb.constF(-kInf));
      Value shift = kb.select(none, kb.constF(0), max);
      Value factor = expScalar(arith::SubFOp::create(kb.b, kb.loc, oldMax, shift));
      setFactor(factor);
      kb.store(max, row.state, kb.idx(at.max));
      Value shifts = kb.splat(shift);
      Values sums =
          kb.forLoop(kb.idx(0), kb.sub(hi, lo), kb.lanes(), {kb.constF(0, kb.vec())},
                     [&](Value k, ValueRange carried) -> Values {
                       Value x = kb.load(kb.vec(), place, k);
                       x = expNonPositive(kb, arith::SubFOp::create(kb.b, kb.loc, x, shifts));
                       kb.store(x, place, k);
                       return {arith::AddFOp::create(kb.b, kb.loc, carried.front(), x)};
                     });
      sum = arith::MulFOp::create(kb.b, kb.loc, sum, factor);
      kb.store(arith::AddFOp::create(kb.b, kb.loc, sum, sumOf(sums.front())), row.state,
               kb.idx(at.sum));
    } else if (spec.weighting != Weighting::None) {
      kb.store(arith::AddFOp::create(kb.b, kb.loc, sum, sumOf(found)), row.state, kb.idx(at.sum));
    }
    return Values();
  };
  kb.ifElse(kb.lt(lo, hi), {}, seen, [&] {
    setFactor(kb.constF(1));
    return Values();
  });
  Value all = arith::AndIOp::create(kb.b, kb.loc, kb.eq(lo, blockLo), kb.eq(hi, blockHi));
  kb.ifThen(arith::XOrIOp::create(kb.b, kb.loc, all, kb.constI(1, all.getType())), [&] {
    Type i32 = kb.b.getI32Type();
    auto splat = [&](Value x) {
      return kb.splat(arith::IndexCastOp::create(kb.b, kb.loc, i32, x));
    };
    kb.forLoop(kb.idx(0), kb.idx(kRowBlock), kb.lanes(), [&](Value k) {
      Value ids = arith::AddIOp::create(kb.b, kb.loc, kb.laneIds(kb.vec(0, i32)),
                                        splat(kb.add(blockLo, k)));
      auto compare = [&](arith::CmpIPredicate predicate, Value bound) -> Value {
        return arith::CmpIOp::create(kb.b, kb.loc, predicate, ids, splat(bound));
      };
      Value inside = arith::AndIOp::create(kb.b, kb.loc, compare(arith::CmpIPredicate::sge, lo),
                                           compare(arith::CmpIPredicate::slt, hi));
      Value place = kb.add(k, at.scores), x = kb.load(kb.vec(), row.state, place);
      kb.store(kb.select(inside, x, kb.constF(0, kb.vec())), row.state, place);
    });
  });
}

/// Replaces the dot products with keys [lo, hi) by scores, -inf or 0 where not allowed or past the
/// end; gives the vector of their maxima (softmax), sums (sum) or counts (count).
Value RowForm::scores(const Row &row, Value place, Value lo, Value hi) {
  KeyRange range = rangeOf(row);
  Value count = kb.sub(hi, lo), i = offset ? kb.add(row.n, offset) : row.n;
  Value one = kb.constF(1, kb.vec()), zero = kb.constF(0, kb.vec());
  Value full;
  if (ctx.masked())
    full = arith::AndIOp::create(kb.b, kb.loc, kb.cmp(arith::CmpIPredicate::sge, lo, range.fullLo),
                                 kb.cmp(arith::CmpIPredicate::sle, hi, range.fullHi));
  Value init = kb.constF(ctx.softmax() ? -kInf : 0, kb.vec());
  auto flags = kb.vec(kb.lanes(), kb.b.getI1Type());
  return kb
      .forLoop(kb.idx(0), count, kb.lanes(), {init},
               [&](Value k, ValueRange carried) -> Values {
                 Value x = kb.load(kb.vec(), place, k);
                 Value valid = kb.min(kb.idx(kb.lanes()), kb.sub(count, k));
                 Value j = kb.add(lo, k);
                 if (values.scores) {
                   Value from = ctx.at(values.scores, row.b, row.h, row.n, j);
                   Type element = values.scores.element;
                   Value s = isStride(values.scores.strides[3], 0)
                                 ? kb.splat(toF32(kb, kb.load(element, from)))
                                 : toF32(kb, kb.loadPartial(kb.vec(kb.lanes(), element), from, {},
                                                            valid));
                   x = arith::AddFOp::create(kb.b, kb.loc, x, s);
                 }
                 AttentionPoint point{row.b, row.h, i, j, row.n, j, valid, kb.lanes(), true};
                 if (spec.score)
                   x = spec.score(kb, point, x);
                 auto ids = kb.vec(0, kb.b.getI32Type());
                 Value room = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(), valid);
                 Value allowed = arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::slt,
                                                       kb.laneIds(ids), kb.splat(room));
                 if (ctx.masked())
                   allowed = kb.ifElse(
                                   full, {flags}, [&]() -> Values { return {allowed}; },
                                   [&]() -> Values {
                                     Value mask = ctx.allowed(point, keys);
                                     if (!isa<VectorType>(mask.getType()))
                                       mask = kb.splat(mask, kb.lanes());
                                     return {arith::AndIOp::create(kb.b, kb.loc, allowed, mask)};
                                   })
                                 .front();
                 x = kb.select(allowed, x, ctx.disallowed());
                 kb.store(x, place, k);
                 switch (spec.weighting) {
                 case Weighting::Softmax:
                   return {maxDroppingNaN(kb, x, carried.front())};
                 case Weighting::Count:
                   x = kb.select(allowed, one, zero);
                   break;
                 default:
                   break;
                 }
                 return {arith::AddFOp::create(kb.b, kb.loc, carried.front(), x)};
               })
      .front();
}

/// O = O * factor + P V, a few vectors of columns at a time.
void RowForm::accumulate(const Tile &tile, Value blockLo) {
  Layout at = layoutOf(spec, kb.lanes());
  const AttentionTensor &value = values.value;
  int64_t lanes = kb.lanes(), rows = tile.states.size();
  int64_t most = std::max<int64_t>(1, kb.target.registers / (rows > 1 ? 2 * rows : 4));
  VectorType type = kb.vec(lanes, value.element);
  Value keyAddress = ctx.at(values.key, tile.b, tile.kvHead, tile.lo, {});
  Value valueAddress = ctx.at(value, tile.b, tile.kvHead, tile.lo, {});
  Value count = kb.sub(tile.hi, tile.lo);
  Value place = kb.add(kb.sub(tile.lo, blockLo), at.scores);
  for (int64_t e = 0; e < spec.valueDim; e += most * lanes) {
    int64_t vectors = std::min(most, (spec.valueDim - e + lanes - 1) / lanes);
    // Two sums per column hide the latency where there are few of them.
    int64_t sets = rows == 1 && vectors <= most / 2 ? 2 : 1;
    Values acc;
    for (Value state : tile.states) {
      Value factor = kb.splat(kb.load(kb.f32(), state, kb.idx(at.factor)));
      for (int64_t v = 0; v < vectors; ++v) {
        Value o = kb.load(kb.vec(), state, kb.idx(at.output + e + v * lanes));
        acc.push_back(ctx.softmax() ? arith::MulFOp::create(kb.b, kb.loc, o, factor) : o);
      }
    }
    acc.resize(rows * vectors * sets, kb.constF(0, kb.vec()));
    auto step = [&](Value k, int64_t set, Values acc) {
      Values x;
      for (int64_t v = 0; v < vectors; ++v) {
        int64_t column = e + v * lanes;
        Value from = kb.add(kb.mul(k, value.strides[2]), column);
        x.push_back(toF32(
            kb, column + lanes <= spec.valueDim
                    ? kb.load(type, valueAddress, from)
                    : kb.loadPartial(type, valueAddress, from, kb.idx(spec.valueDim - column))));
      }
      for (int64_t r = 0; r < rows; ++r) {
        Value p = kb.splat(kb.load(kb.f32(), tile.states[r], kb.add(place, k)));
        for (int64_t v = 0; v < vectors; ++v) {
          Value &sum = acc[(set * rows + r) * vectors + v];
          sum = kb.fma(p, x[v], sum);
        }
      }
      for (int64_t v = 0; v < vectors; ++v)
        fetch(values.key, keyAddress, kb.add(k, kRowBlock), kb.idx(e + v * lanes));
      return acc;
    };
    Value whole = kb.mul(kb.div(count, sets), sets);
    acc = kb.forLoop(kb.idx(0), whole, sets, acc, [&](Value k, ValueRange carried) {
      Values acc(carried);
      for (int64_t set = 0; set < sets; ++set)
        acc = step(kb.add(k, set), set, acc);
      return acc;
    });
    if (sets > 1)
      acc = kb.forLoop(whole, count, 1, acc,
                       [&](Value k, ValueRange carried) { return step(k, 0, Values(carried)); });
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < vectors; ++v) {
        Value o = acc[r * vectors + v];
        if (sets > 1)
          o = arith::AddFOp::create(kb.b, kb.loc, o, acc[vectors + v]);
        kb.store(o, tile.states[r], kb.idx(at.output + e + v * lanes));
      }
  }
}

Value RowForm::loadIndex(Value state, int64_t at) {
  Value x = kb.load(kb.b.getI64Type(), kb.gep(state, kb.idx(at), kb.f32()));
  return arith::IndexCastOp::create(kb.b, kb.loc, kb.index(), x);
}

void RowForm::storeIndex(Value index, Value state, int64_t at) {
  Value x = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI64Type(), index);
  kb.store(x, kb.gep(state, kb.idx(at), kb.f32()));
}

KeyRange RowForm::rangeOf(const Row &row) {
  Value i = offset ? kb.add(row.n, offset) : row.n;
  return ctx.range(row.b, row.h, i, i, keys);
}

} // namespace attune::codegen
