#include "attune/codegen/cpu/AttentionRows.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

static constexpr double kInf = std::numeric_limits<double>::infinity();
static constexpr int64_t kRows = 32;          // rows that share a block
static constexpr int64_t kTileRows = 4;       // rows for which a vector is loaded once
static constexpr int64_t kChunkKeys = 256;    // fewest keys of a chunk
static constexpr int64_t kChunkTasks = 128;   // tasks beyond which chunks pay no more
static constexpr int64_t kMaxValueDim = 512;  // bounds the code
static constexpr int64_t kPartialRows = 1024; // bounds the buffer of partial results

static int64_t padded(int64_t size, int64_t lanes) { return (size + lanes - 1) / lanes * lanes; }

RowForm::Layout RowForm::layoutOf(const AttentionSpec &spec, int64_t lanes) {
  int64_t next = 0;
  auto take = [&](int64_t floats) { return std::exchange(next, next + padded(floats, 16)); };
  Layout at;
  at.query = take(padded(spec.headDim, lanes));
  at.output = take(padded(spec.valueDim, lanes));
  at.scores = take(kRowBlock + lanes);
  at.max = next++;
  at.sum = next++;
  at.factor = next;
  next += 2;
  at.lo = std::exchange(next, next + 2);
  at.hi = std::exchange(next, next + 2);
  at.row = padded(next, 16);
  return at;
}

int64_t RowForm::scratchFloats(const AttentionSpec &spec, int64_t lanes) {
  return kRows * layoutOf(spec, lanes).row;
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
  return kb.max(kb.idx(kRowBlock), kb.roundUp(even, kRowBlock));
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
    auto forTiles = [&](llvm::function_ref<void(const Tile &)> body) {
      kb.forLoop(kb.idx(0), count, kTileRows, [&](Value r) {
        auto of = [&](int64_t rows) {
          Tile tile = tileOf(b, kvHead, r, kb.sub(count, kb.idx(1)), rows);
          kb.ifThen(kb.lt(tile.lo, tile.hi), [&] { body(tile); });
          return Values();
        };
        kb.ifElse(
            kb.lt(kb.add(r, 1), count), {}, [&] { return of(kTileRows); }, [&] { return of(1); });
      });
    };
    forRows([&](const Row &row) { start(row, chunk); });
    kb.forLoop(lo, hi, kRowBlock, [&](Value key) {
      Value end = kb.min(hi, kb.add(key, kRowBlock));
      forRows([&](const Row &row) { limit(row, key, end); });
      forTiles([&](const Tile &tile) { dots(tile, key); });
      forRows([&](const Row &row) { weights(row, key, end); });
      forTiles([&](const Tile &tile) { accumulate(tile, key); });
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
  Value to = result ? ctx.at(result, b, h, n, {}) : Value();
  Value factor = kb.splat(ctx.factor(sum));
  for (int64_t e = 0; result && e < spec.valueDim; e += kb.lanes()) {
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
