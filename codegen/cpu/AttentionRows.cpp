#include "attune/codegen/cpu/AttentionForms.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

static constexpr double kInf = std::numeric_limits<double>::infinity();
static constexpr int64_t kBlock = 64;         // keys per block: K and V of one stay in L1
static constexpr int64_t kRows = 32;          // rows that share a block
static constexpr int64_t kChunkKeys = 256;    // fewest keys of a chunk
static constexpr int64_t kChunkTasks = 128;   // tasks beyond which chunks pay no more
static constexpr int64_t kMaxValueDim = 512;  // bounds the code
static constexpr int64_t kPartialRows = 1024; // bounds the buffer of partial results

struct RowForm::Layout {
  int64_t query, output, max, sum, row; // within one row
  int64_t scores, floats;               // after the rows
};

struct RowForm::Row {
  Value b, h, n, kvHead;
  Value state;
};

static int64_t padded(int64_t size, int64_t lanes) { return (size + lanes - 1) / lanes * lanes; }

RowForm::Layout RowForm::layoutOf(const AttentionSpec &spec, int64_t lanes) {
  int64_t next = 0;
  auto take = [&](int64_t floats) { return std::exchange(next, next + padded(floats, 16)); };
  Layout at;
  at.query = take(padded(spec.headDim, lanes));
  at.output = take(padded(spec.valueDim, lanes));
  at.max = next++;
  at.sum = next++;
  next = padded(next, 16);
  at.row = std::exchange(next, next * kRows);
  at.scores = take(kBlock);
  at.floats = next;
  return at;
}

int64_t RowForm::scratchFloats(const AttentionSpec &spec, int64_t lanes) {
  return layoutOf(spec, lanes).floats;
}

// A partial result is max, sum and the output from float 16 on.
static int64_t partialRow(const AttentionSpec &spec, int64_t lanes) {
  return 16 + padded(padded(spec.valueDim, lanes), 16);
}

int64_t RowForm::partialFloats(const AttentionSpec &spec, int64_t lanes) {
  return kPartialRows * partialRow(spec, lanes);
}

bool RowForm::supports(const AttentionSpec &spec, const AttentionValues &values) {
  auto vectors = [](Value stride) { return isStride(stride, 0) || isStride(stride, 1); };
  return spec.headDim > 0 && spec.valueDim <= kMaxValueDim && !values.logits &&
         isStride(values.key.strides[3], 1) && isStride(values.value.strides[3], 1) &&
         (!values.scores || vectors(values.scores.strides[3]));
}

Value RowForm::applies(KernelBuilder &kb, const AttentionValues &values) {
  return kb.cmp(arith::CmpIPredicate::sle, values.queries, kb.idx(kb.lanes() / 2));
}

RowForm::RowForm(const AttentionContext &context, Value scratch, Value partials)
    : ctx(context), kb(context.kb), spec(context.spec), values(context.values), scratch(scratch),
      partials(partials) {}

//===- Cutting
//------------------------------------------------------------------------------------===//

static Value chunkKeys(KernelBuilder &kb, const AttentionValues &values) {
  Value one = kb.idx(1);
  Value rows = kb.mul(kb.mul(values.batch, values.heads), values.queries);
  Value tasks = kb.max(one, kb.mul(values.batch, values.kvHeads));
  Value most =
      kb.min(kb.div(kb.idx(kPartialRows), kb.max(one, rows)), kb.div(kb.idx(kChunkTasks), tasks));
  most = kb.max(one, kb.min(most, kb.ceilDiv(values.keys, kChunkKeys)));
  Value even = kb.div(kb.sub(kb.add(values.keys, most), one), most);
  return kb.max(kb.idx(kBlock), kb.roundUp(even, kBlock));
}

Value RowForm::chunks() {
  Value size = chunkKeys(kb, values);
  return kb.max(kb.idx(1), kb.div(kb.sub(kb.add(values.keys, size), kb.idx(1)), size));
}

Value RowForm::partial(Value b, Value h, Value n, Value chunk) {
  Value row = kb.add(kb.mul(kb.add(kb.mul(b, values.heads), h), values.queries), n);
  Value index = kb.add(kb.mul(row, chunks()), chunk);
  return kb.gep(partials, kb.mul(index, partialRow(spec, kb.lanes())), kb.f32());
}

void RowForm::run(Value b, Value kvHead, Value chunk) {
  Layout at = layoutOf(spec, kb.lanes());
  offset = ctx.queryOffset(b);
  keys = ctx.keyLength(b);
  Value size = chunkKeys(kb, values);
  Value lo = kb.mul(chunk, size), hi = kb.min(keys, kb.add(lo, size));
  Value group = kb.div(values.heads, values.kvHeads);
  Value rows = kb.mul(group, values.queries);
  Value single = kb.eq(chunks(), kb.idx(1));
  kb.forLoop(kb.idx(0), rows, kRows, [&](Value first) {
    Value count = kb.min(kb.idx(kRows), kb.sub(rows, first));
    auto forRows = [&](llvm::function_ref<void(const Row &)> body) {
      kb.forLoop(kb.idx(0), count, 1, [&](Value r) {
        Value index = kb.add(first, r);
        Value h = kb.add(kb.mul(kvHead, group), kb.div(index, values.queries));
        body({b, h, kb.rem(index, values.queries), kvHead,
              kb.gep(scratch, kb.mul(r, at.row), kb.f32())});
      });
    };
    forRows([&](const Row &row) { start(row, chunk); });
    kb.forLoop(lo, hi, kBlock, [&](Value key) {
      Value end = kb.min(hi, kb.add(key, kBlock));
      forRows([&](const Row &row) { block(row, key, end); });
    });
    forRows([&](const Row &row) {
      Value output = kb.gep(row.state, kb.idx(at.output), kb.f32());
      Value max = kb.load(kb.f32(), row.state, kb.idx(at.max));
      Value sum = kb.load(kb.f32(), row.state, kb.idx(at.sum));
      kb.ifElse(
          single, {},
          [&] {
            store(b, row.h, row.n, output, max, sum);
            return Values();
          },
          [&] {
            Value to = partial(b, row.h, row.n, chunk);
            kb.store(max, to);
            kb.store(sum, to, kb.idx(1));
            for (int64_t e = 0; e < spec.valueDim; e += kb.lanes())
              kb.store(kb.load(kb.vec(), output, kb.idx(e)), to, kb.idx(16 + e));
            return Values();
          });
    });
  });
}

void RowForm::start(const Row &row, Value chunk) {
  Layout at = layoutOf(spec, kb.lanes());
  const AttentionTensor &q = values.query;
  Value zero = kb.constF(0, kb.vec());
  for (int64_t d = spec.headDim / kb.lanes() * kb.lanes(); d < spec.headDim; d += kb.lanes())
    kb.store(zero, row.state, kb.idx(at.query + d));
  Value from = ctx.at(q, row.b, row.h, row.n, {});
  int64_t whole = isStride(q.strides[3], 1) ? spec.headDim / kb.lanes() * kb.lanes() : 0;
  auto scaled = [&](Value x) -> Value {
    if (!values.scale)
      return x;
    Value scale = isa<VectorType>(x.getType()) ? kb.splat(values.scale) : values.scale;
    return arith::MulFOp::create(kb.b, kb.loc, x, scale);
  };
  kb.forLoop(kb.idx(0), kb.idx(whole), kb.lanes(), [&](Value d) {
    Value x = toF32(kb, kb.load(kb.vec(kb.lanes(), q.element), from, d));
    kb.store(scaled(x), row.state, kb.add(d, at.query));
  });
  kb.forLoop(kb.idx(whole), kb.idx(spec.headDim), 1, [&](Value d) {
    Value x = toF32(kb, kb.load(q.element, from, kb.mul(d, q.strides[3])));
    kb.store(scaled(x), row.state, kb.add(d, at.query));
  });
  for (int64_t e = 0; e < spec.valueDim; e += kb.lanes())
    kb.store(zero, row.state, kb.idx(at.output + e));
  Value max = kb.constF(-kInf), sum = kb.constF(0);
  if (values.sink) {
    // Counted once: by the first chunk.
    Value sink = values.sink(row.h), none = max;
    max = kb.select(kb.eq(chunk, kb.idx(0)), sink, none);
    Value absent = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, max, none);
    sum = kb.select(absent, sum, kb.constF(1));
  }
  kb.store(max, row.state, kb.idx(at.max));
  kb.store(sum, row.state, kb.idx(at.sum));
}

//===- One block of keys
//--------------------------------------------------------------------------===//

void RowForm::block(const Row &row, Value blockLo, Value blockHi) {
  Layout at = layoutOf(spec, kb.lanes());
  Value i = offset ? kb.add(row.n, offset) : row.n;
  KeyRange range = ctx.range(row.b, row.h, i, i, keys);
  Value lo = kb.max(blockLo, range.lo), hi = kb.min(blockHi, range.hi);
  kb.ifThen(kb.lt(lo, hi), [&] {
    Value count = kb.sub(hi, lo);
    Value found = scores(row, range, lo, hi);
    Value place = kb.gep(scratch, kb.idx(at.scores), kb.f32());
    Value oldMax = kb.load(kb.f32(), row.state, kb.idx(at.max));
    Value sum = kb.load(kb.f32(), row.state, kb.idx(at.sum));
    Value factor;
    if (ctx.softmax()) {
      Value max = maxDroppingNaN(kb, maxOf(found), oldMax);
      Value none =
          arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, max, kb.constF(-kInf));
      Value shift = kb.select(none, kb.constF(0), max);
      factor = expScalar(arith::SubFOp::create(kb.b, kb.loc, oldMax, shift));
      kb.store(max, row.state, kb.idx(at.max));
      Value shifts = kb.splat(shift);
      Values sums =
          kb.forLoop(kb.idx(0), count, kb.lanes(), {kb.constF(0, kb.vec())},
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
    accumulate(row, count, ctx.at(values.value, row.b, row.kvHead, lo, {}), factor);
  });
}

/// Dot products of the row with keys k .. k + lanes - 1 (the last one repeated).
Value RowForm::dots(const Row &row, Value keyAddress, Value k, Value last) {
  Layout at = layoutOf(spec, kb.lanes());
  int64_t lanes = kb.lanes(), whole = spec.headDim / lanes * lanes;
  const AttentionTensor &key = values.key;
  VectorType type = kb.vec(kb.lanes(), key.element);
  Values from;
  for (int64_t l = 0; l < lanes; ++l)
    from.push_back(
        kb.gep(keyAddress, kb.mul(kb.min(kb.add(k, l), last), key.strides[2]), key.element));
  Value query = kb.gep(row.state, kb.idx(at.query), kb.f32());
  Values acc(lanes, kb.constF(0, kb.vec()));
  acc = kb.forLoop(kb.idx(0), kb.idx(whole), lanes, acc, [&](Value d, ValueRange carried) {
    Values acc(carried);
    Value q = kb.load(kb.vec(), query, d);
    for (int64_t l = 0; l < lanes; ++l)
      acc[l] = kb.fma(toF32(kb, kb.load(type, from[l], d)), q, acc[l]);
    return acc;
  });
  if (whole < spec.headDim) {
    Value q = kb.load(kb.vec(), query, kb.idx(whole));
    for (int64_t l = 0; l < lanes; ++l) {
      Value x = kb.loadPartial(type, from[l], kb.idx(whole), kb.idx(spec.headDim - whole));
      acc[l] = kb.fma(toF32(kb, x), q, acc[l]);
    }
  }
  // Adds up within each vector and gathers the sums: lane l of the last one is that of acc[l].
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

/// Stores the scores of keys [lo, hi), -inf or 0 where not allowed or past the end; gives the
/// vector of their maxima (softmax), sums (sum) or counts (count).
Value RowForm::scores(const Row &row, const KeyRange &range, Value lo, Value hi) {
  Layout at = layoutOf(spec, kb.lanes());
  Value count = kb.sub(hi, lo), last = kb.sub(count, kb.idx(1));
  Value keyAddress = ctx.at(values.key, row.b, row.kvHead, lo, {});
  Value i = offset ? kb.add(row.n, offset) : row.n;
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
                 Value x = dots(row, keyAddress, k, last);
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
                 kb.store(x, scratch, kb.add(k, at.scores));
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
void RowForm::accumulate(const Row &row, Value count, Value valueAddress, Value factor) {
  Layout at = layoutOf(spec, kb.lanes());
  const AttentionTensor &value = values.value;
  int64_t lanes = kb.lanes(), most = kb.target.registers / 4;
  VectorType type = kb.vec(kb.lanes(), value.element);
  for (int64_t e = 0; e < spec.valueDim; e += most * lanes) {
    int64_t vectors = std::min(most, (spec.valueDim - e + lanes - 1) / lanes);
    // Two sums per column hide the latency where there are few of them.
    int64_t sets = vectors <= most / 2 ? 2 : 1;
    Values acc;
    for (int64_t v = 0; v < vectors; ++v) {
      Value o = kb.load(kb.vec(), row.state, kb.idx(at.output + e + v * lanes));
      acc.push_back(factor ? arith::MulFOp::create(kb.b, kb.loc, o, kb.splat(factor)) : o);
    }
    acc.resize(vectors * sets, kb.constF(0, kb.vec()));
    auto step = [&](Value k, int64_t set, Values acc) {
      Value p = kb.splat(kb.load(kb.f32(), scratch, kb.add(k, at.scores)));
      for (int64_t v = 0; v < vectors; ++v) {
        int64_t column = e + v * lanes;
        Value from = kb.add(kb.mul(k, value.strides[2]), column);
        Value x = column + lanes <= spec.valueDim
                      ? kb.load(type, valueAddress, from)
                      : kb.loadPartial(type, valueAddress, from, kb.idx(spec.valueDim - column));
        acc[set * vectors + v] = kb.fma(p, toF32(kb, x), acc[set * vectors + v]);
      }
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
    for (int64_t v = 0; v < vectors; ++v) {
      Value o = acc[v];
      if (sets > 1)
        o = arith::AddFOp::create(kb.b, kb.loc, o, acc[vectors + v]);
      kb.store(o, row.state, kb.idx(at.output + e + v * lanes));
    }
  }
}

//===- Results
//------------------------------------------------------------------------------------===//

void RowForm::merge(Value b, Value h) {
  Layout at = layoutOf(spec, kb.lanes());
  Value count = chunks();
  kb.forLoop(kb.idx(0), values.queries, 1, [&](Value n) {
    auto chunk = [&](Value c) { return partial(b, h, n, c); };
    Value max =
        kb.forLoop(kb.idx(0), count, 1, {kb.constF(-kInf)},
                   [&](Value c, ValueRange carried) -> Values {
                     return {maxDroppingNaN(kb, kb.load(kb.f32(), chunk(c)), carried.front())};
                   })
            .front();
    Value none =
        arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, max, kb.constF(-kInf));
    Value shift = kb.select(none, kb.constF(0), max);
    Value output = kb.gep(scratch, kb.idx(at.output), kb.f32());
    for (int64_t e = 0; e < spec.valueDim; e += kb.lanes())
      kb.store(kb.constF(0, kb.vec()), output, kb.idx(e));
    Value sum =
        kb.forLoop(kb.idx(0), count, 1, {kb.constF(0)}, [&](Value c, ValueRange carried) -> Values {
            Value from = chunk(c);
            Value factor = kb.constF(1);
            if (ctx.softmax())
              factor =
                  expScalar(arith::SubFOp::create(kb.b, kb.loc, kb.load(kb.f32(), from), shift));
            for (int64_t e = 0; e < spec.valueDim; e += kb.lanes()) {
              Value o = kb.load(kb.vec(), output, kb.idx(e));
              o = kb.fma(kb.splat(factor), kb.load(kb.vec(), from, kb.idx(16 + e)), o);
              kb.store(o, output, kb.idx(e));
            }
            Value part =
                arith::MulFOp::create(kb.b, kb.loc, factor, kb.load(kb.f32(), from, kb.idx(1)));
            return {arith::AddFOp::create(kb.b, kb.loc, carried.front(), part)};
          }).front();
    store(b, h, n, output, max, sum);
  });
}

/// Writes one finished row.
void RowForm::store(Value b, Value h, Value n, Value output, Value max, Value sum) {
  const AttentionTensor &result = values.result;
  Value to = ctx.at(result, b, h, n, {});
  Value factor = kb.splat(ctx.factor(sum));
  for (int64_t e = 0; e < spec.valueDim; e += kb.lanes()) {
    Value o = kb.load(kb.vec(), output, kb.idx(e));
    if (spec.weighting != Weighting::None)
      o = ctx.scaled(o, factor);
    o = fromF32(kb, o, result.element);
    int64_t count = std::min(kb.lanes(), spec.valueDim - e);
    if (!isStride(result.strides[3], 1)) {
      for (int64_t l = 0; l < count; ++l)
        kb.store(vector::ExtractOp::create(kb.b, kb.loc, o, ArrayRef<int64_t>{l}), to,
                 kb.mul(kb.idx(e + l), result.strides[3]));
    } else if (count == kb.lanes()) {
      kb.store(o, to, kb.idx(e));
    } else {
      kb.storePartial(o, to, kb.idx(e), kb.idx(count));
    }
  }
  if (values.lse) {
    Value log = math::LogOp::create(kb.b, kb.loc, sum);
    kb.store(fromF32(kb, arith::AddFOp::create(kb.b, kb.loc, max, log), values.lse.element),
             ctx.at(values.lse, b, h, n, {}));
  }
}

//===- Across lanes
//-------------------------------------------------------------------------------===//

static Value reduce(KernelBuilder &kb, Value x, llvm::function_ref<Value(Value, Value)> combine) {
  int64_t lanes = cast<VectorType>(x.getType()).getNumElements();
  for (int64_t h = lanes / 2; h >= 1; h /= 2) {
    SmallVector<int64_t> swapped;
    for (int64_t lane = 0; lane < lanes; ++lane)
      swapped.push_back(lane ^ h);
    x = combine(x, vector::ShuffleOp::create(kb.b, kb.loc, x, x, swapped));
  }
  return vector::ExtractOp::create(kb.b, kb.loc, x, ArrayRef<int64_t>{0});
}

Value RowForm::sumOf(Value x) {
  return reduce(
      kb, x, [&](Value x, Value y) -> Value { return arith::AddFOp::create(kb.b, kb.loc, x, y); });
}

Value RowForm::maxOf(Value x) {
  return reduce(kb, x, [&](Value x, Value y) { return maxDroppingNaN(kb, x, y); });
}

Value RowForm::expScalar(Value x) {
  Value y = expNonPositive(kb, kb.splat(x));
  return vector::ExtractOp::create(kb.b, kb.loc, y, ArrayRef<int64_t>{0});
}

} // namespace attune::codegen
