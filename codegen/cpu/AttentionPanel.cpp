#include "attune/codegen/cpu/AttentionForms.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

static constexpr double kInf = std::numeric_limits<double>::infinity();

/// Offsets in f32 elements within a worker's scratch; every part starts on a cache line.
struct PanelForm::Layout {
  int64_t query, output, max, sum, panel;         // within one panel
  int64_t scores, blockMax, factor, keys, values; // after the panels
  int64_t tables, table, floats;                  // of `table` floats each
};

struct PanelForm::Panel {
  Value state;       ///< query, output, max, sum of this panel
  Value first, rows; ///< queries [first, first + rows)
};

PanelForm::Layout PanelForm::layoutOf(const AttentionSpec &spec, const AttentionTile &tile,
                                      int64_t lanes) {
  int64_t width = tile.vectors * lanes, next = 0;
  auto take = [&](int64_t floats) { return std::exchange(next, next + (floats + 15) / 16 * 16); };
  Layout at;
  at.query = take(spec.headDim * width);
  at.output = take(spec.valueDim * width);
  at.max = take(width);
  at.sum = take(width);
  at.panel = std::exchange(next, next * tile.panels);
  // Transposed loads and the last tile write up to a tile past the block.
  at.table = (tile.keys + std::max(lanes, tile.keyRows)) * width;
  at.scores = take(at.table);
  at.blockMax = take(width);
  at.factor = take(width);
  at.keys = take(tile.keys * spec.headDim);
  at.values = take(tile.keys * spec.valueDim);
  at.tables = take(at.table * spec.tables.size());
  at.floats = next;
  return at;
}

int64_t PanelForm::scratchFloats(const AttentionSpec &spec, const AttentionTile &tile,
                                 int64_t lanes) {
  return layoutOf(spec, tile, lanes).floats;
}

PanelForm::PanelForm(const AttentionContext &context, const AttentionTile &tile, Value scratch)
    : ctx(context), kb(context.kb), spec(context.spec), values(context.values), tile(tile),
      scratch(scratch) {}

static Value floatAt(KernelBuilder &kb, Value base, int64_t offset) {
  return kb.gep(base, kb.idx(offset), kb.f32());
}

void PanelForm::run(Value batch, Value head, Value first, Value count, int64_t registers) {
  b = batch;
  h = head;
  vectors = registers;
  width = vectors * kb.lanes();
  keyHead = ctx.kvHead(h);
  offset = ctx.queryOffset(b);
  keys = ctx.keyLength(b);
  Layout at = layoutOf(spec, tile, kb.lanes());
  Value panels = kb.ceilDiv(count, width);
  auto forPanels = [&](llvm::function_ref<void(const Panel &)> body) {
    kb.forLoop(kb.idx(0), panels, 1, [&](Value p) {
      Value done = kb.mul(p, width);
      body({kb.gep(scratch, kb.mul(p, at.panel), kb.f32()), kb.add(first, done),
            kb.min(kb.idx(width), kb.sub(count, done))});
    });
  };
  forPanels([&](const Panel &panel) { start(panel); });
  Value last = kb.sub(kb.add(first, count), kb.idx(1));
  KeyRange range = ctx.range(b, h, offset ? kb.add(first, offset) : first,
                             offset ? kb.add(last, offset) : last, keys);
  kb.forLoop(range.lo, range.hi, tile.keys, [&](Value lo) {
    Value hi = kb.min(kb.add(lo, tile.keys), range.hi);
    if (values.key && !values.key.element.isF32())
      pack(values.key, keyHead, spec.headDim, lo, hi, floatAt(kb, scratch, at.keys));
    if (!values.value.element.isF32())
      pack(values.value, keyHead, spec.valueDim, lo, hi, floatAt(kb, scratch, at.values));
    forPanels([&](const Panel &panel) { block(panel, lo, hi); });
  });
  forPanels([&](const Panel &panel) { finish(panel); });
}

void PanelForm::start(const Panel &panel) {
  Layout at = layoutOf(spec, tile, kb.lanes());
  if (spec.headDim) {
    const AttentionTensor &q = values.query;
    PanelMatrix matrix{ctx.at(q, b, h, panel.first, {}),
                       q.strides[2],
                       q.strides[3],
                       q.element,
                       panel.rows,
                       kb.idx(spec.headDim),
                       width};
    Value scale = values.scale ? kb.splat(values.scale) : Value();
    loadPanel(kb, matrix, floatAt(kb, panel.state, at.query), [&](Value x, Value place) {
      kb.store(scale ? arith::MulFOp::create(kb.b, kb.loc, x, scale).getResult() : x, place);
    });
  }
  Value zero = kb.constF(0, kb.vec());
  Value output = floatAt(kb, panel.state, at.output);
  kb.forLoop(kb.idx(0), kb.idx(spec.valueDim * width), kb.lanes(),
             [&](Value k) { kb.store(zero, output, k); });
  Value max = kb.constF(-kInf, kb.vec()), sum = zero;
  if (values.sink) {
    max = kb.splat(values.sink(h));
    Value none = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, max,
                                       kb.constF(-kInf, kb.vec()));
    sum = kb.select(none, zero, kb.constF(1, kb.vec()));
  }
  for (int64_t v = 0; v < vectors; ++v) {
    kb.store(max, floatAt(kb, panel.state, at.max + v * kb.lanes()));
    kb.store(sum, floatAt(kb, panel.state, at.sum + v * kb.lanes()));
  }
}

/// Keys [lo, hi) of one tensor as dense rows of f32.
void PanelForm::pack(const AttentionTensor &tensor, Value head, int64_t columns, Value lo, Value hi,
                     Value to) {
  int64_t lanes = kb.lanes();
  kb.forLoop(lo, hi, 1, [&](Value key) {
    Value from = ctx.at(tensor, b, head, key, {});
    Value row = kb.gep(to, kb.mul(kb.sub(key, lo), columns), kb.f32());
    int64_t whole = isStride(tensor.strides[3], 1) ? columns / lanes * lanes : 0;
    kb.forLoop(kb.idx(0), kb.idx(whole), lanes, [&](Value c) {
      kb.store(toF32(kb, kb.load(kb.vec(kb.lanes(), tensor.element), from, c)), row, c);
    });
    kb.forLoop(kb.idx(whole), kb.idx(columns), 1, [&](Value c) {
      Value x = kb.load(tensor.element, from, kb.mul(c, tensor.strides[3]));
      kb.store(toF32(kb, x), row, c);
    });
  });
}

void PanelForm::block(const Panel &panel, Value blockLo, Value blockHi) {
  Layout at = layoutOf(spec, tile, kb.lanes());
  Value first = offset ? kb.add(panel.first, offset) : panel.first;
  Value last = kb.sub(kb.add(first, panel.rows), kb.idx(1));
  KeyRange range = ctx.range(b, h, first, last, keys);
  Value lo = kb.max(blockLo, range.lo), hi = kb.min(blockHi, range.hi);
  kb.ifThen(kb.lt(lo, hi), [&] {
    Value count = kb.sub(hi, lo);
    auto rows = [&](const AttentionTensor &tensor, int64_t packed, int64_t columns) {
      return tensor.element.isF32() ? ctx.at(tensor, b, keyHead, lo, {})
                                    : kb.gep(floatAt(kb, scratch, packed),
                                             kb.mul(kb.sub(lo, blockLo), columns), kb.f32());
    };
    if (spec.headDim)
      scores(panel, lo, count, rows(values.key, at.keys, spec.headDim));

    Value block = floatAt(kb, scratch, at.scores);
    auto matrix = [&](const AttentionTensor &tensor) {
      return PanelMatrix{ctx.at(tensor, b, h, panel.first, lo),
                         tensor.strides[2],
                         tensor.strides[3],
                         tensor.element,
                         panel.rows,
                         count,
                         width};
    };
    if (values.scores)
      loadPanel(kb, matrix(values.scores), block, [&](Value x, Value place) {
        if (spec.headDim)
          x = arith::AddFOp::create(kb.b, kb.loc, kb.load(kb.vec(), place), x);
        kb.store(x, place);
      });
    bool score = bool(spec.score);
    if (values.logits) {
      if (score)
        modify(panel, lo, count, true, false, false);
      score = false;
      storePanel(kb, matrix(values.logits), block,
                 [&](Value place, Value) { return kb.load(kb.vec(), place); });
    }
    // The tile loop has found the maxima already if nothing changed the scores since.
    bool stale = values.scores || spec.score;
    auto unmasked = [&] {
      if (stale && (score || ctx.softmax()))
        modify(panel, lo, count, score, false, ctx.softmax());
      if (spec.weighting == Weighting::Count)
        countAll(panel, count);
      return Values();
    };
    if (ctx.masked()) {
      Value full =
          arith::AndIOp::create(kb.b, kb.loc, kb.cmp(arith::CmpIPredicate::sge, lo, range.fullLo),
                                kb.cmp(arith::CmpIPredicate::sle, hi, range.fullHi));
      if (spec.maskOfKeys && spec.mask)
        full = kb.ifElse(
                     full, {kb.b.getI1Type()}, [&]() -> Values { return {full}; },
                     [&]() -> Values { return {allAllowed(panel, lo, count)}; })
                   .front();
      kb.ifElse(full, {}, unmasked, [&] {
        modify(panel, lo, count, score, true, ctx.softmax());
        return Values();
      });
    } else {
      unmasked();
    }
    weights(panel, count);
    accumulate(panel, count, rows(values.value, at.values, spec.valueDim));
  });
}

/// Scores of `count` keys from `lo` on: a tile of keys x queries at a time, and their maxima.
void PanelForm::scores(const Panel &panel, Value lo, Value count, Value keyAddress) {
  Layout at = layoutOf(spec, tile, kb.lanes());
  const AttentionTensor &key = values.key;
  bool packed = !key.element.isF32();
  Value stride = packed ? kb.idx(spec.headDim) : key.strides[2];
  Value block = floatAt(kb, scratch, at.scores), maxima = floatAt(kb, scratch, at.blockMax);
  if (ctx.softmax())
    for (int64_t v = 0; v < vectors; ++v)
      kb.store(kb.load(kb.vec(), floatAt(kb, panel.state, at.max + v * kb.lanes())),
               floatAt(kb, maxima, v * kb.lanes()));
  Value end = kb.sub(count, kb.idx(1));
  kb.forLoop(kb.idx(0), count, tile.keyRows, [&](Value k) {
    // Rows past the end repeat the last key: their scores are never used and cannot change a
    // maximum.
    TileProduct product;
    for (int64_t r = 0; r < tile.keyRows; ++r)
      product.a.push_back(kb.gep(keyAddress, kb.mul(kb.min(kb.add(k, r), end), stride), kb.f32()));
    product.aStep = packed ? kb.idx(1) : key.strides[3];
    product.b = floatAt(kb, panel.state, at.query);
    product.vectors = vectors;
    product.count = kb.idx(spec.headDim);
    Values acc = product.run(kb, Values(tile.keyRows * vectors, kb.constF(0, kb.vec())));
    Value place = kb.gep(block, kb.mul(k, width), kb.f32());
    for (int64_t v = 0; v < vectors; ++v) {
      for (int64_t r = 0; r < tile.keyRows; ++r)
        kb.store(acc[r * vectors + v], floatAt(kb, place, r * width + v * kb.lanes()));
      if (!ctx.softmax())
        continue;
      Value maxPlace = floatAt(kb, maxima, v * kb.lanes());
      Value max = kb.load(kb.vec(), maxPlace);
      for (int64_t r = 0; r < tile.keyRows; ++r)
        max = maxDroppingNaN(kb, acc[r * vectors + v], max);
      kb.store(max, maxPlace);
    }
  });
}

/// Blocks of the tables that the regions read, laid out as the scores are; null for others.
Values PanelForm::loadTables(const Panel &panel, Value lo, Value count, bool score, bool mask) {
  Layout at = layoutOf(spec, tile, kb.lanes());
  Value i = offset ? kb.add(panel.first, offset) : panel.first;
  AttentionPoint origin{b, h, i, lo, panel.first, lo, kb.idx(1), 1, false};
  Values blocks;
  for (auto [number, table] : llvm::enumerate(spec.tables)) {
    if (!(score && table.score) && !(mask && table.mask)) {
      blocks.push_back({});
      continue;
    }
    AttentionTable::Place place = table.place(kb, origin);
    blocks.push_back(floatAt(kb, scratch, at.tables + number * at.table));
    loadPanel(kb,
              {place.address, place.rowStride, kb.idx(1), place.element, panel.rows, count, width},
              blocks.back(), [&](Value x, Value to) { kb.store(x, to); });
  }
  return blocks;
}

/// Applies the regions to the block of scores.
void PanelForm::modify(const Panel &panel, Value lo, Value count, bool score, bool mask, bool max) {
  Layout at = layoutOf(spec, tile, kb.lanes());
  Value block = floatAt(kb, scratch, at.scores);
  Values tables = loadTables(panel, lo, count, score, mask);
  kb.forLoop(kb.idx(0), kb.idx(width), kb.lanes(), [&](Value lane) {
    Value n = kb.add(panel.first, lane);
    Value i = offset ? kb.add(n, offset) : n;
    Value valid = kb.max(kb.idx(0), kb.min(kb.idx(kb.lanes()), kb.sub(panel.rows, lane)));
    bool counts = mask && spec.weighting == Weighting::Count;
    Values init;
    if (max)
      init.push_back(kb.load(kb.vec(), floatAt(kb, panel.state, at.max), lane));
    if (counts)
      init.push_back(kb.load(kb.vec(), floatAt(kb, panel.state, at.sum), lane));
    auto body = [&](Value k, ValueRange carried) {
      Value j = kb.add(lo, k);
      AttentionPoint point{b, h, i, j, n, j, valid, kb.lanes(), false};
      Value element = kb.add(kb.mul(k, width), lane);
      for (Value table : tables)
        point.tables.push_back(table ? kb.load(kb.vec(), table, element) : Value());
      Value place = kb.gep(block, element, kb.f32());
      Value x = kb.load(kb.vec(), place);
      Values next;
      if (score)
        x = spec.score(kb, point, x);
      Value allowed;
      if (mask) {
        allowed = ctx.allowed(point, keys);
        x = kb.select(allowed, x, ctx.disallowed());
      }
      if (score || mask)
        kb.store(x, place);
      if (max)
        next.push_back(maxDroppingNaN(kb, x, carried.front()));
      if (counts)
        next.push_back(arith::AddFOp::create(
            kb.b, kb.loc, carried.back(),
            kb.select(allowed, kb.constF(1, kb.vec()), kb.constF(0, kb.vec()))));
      return next;
    };
    if (init.empty())
      return kb.forLoop(kb.idx(0), count, 1, [&](Value k) { body(k, {}); });
    Values out = kb.forLoop(kb.idx(0), count, 1, init, body);
    if (max)
      kb.store(out.front(), floatAt(kb, scratch, at.blockMax), lane);
    if (counts)
      kb.store(out.back(), floatAt(kb, panel.state, at.sum), lane);
  });
}

/// Whether a mask that does not depend on the query allows all of these keys.
Value PanelForm::allAllowed(const Panel &panel, Value lo, Value count) {
  int64_t lanes = kb.lanes();
  Value n = panel.first, i = offset ? kb.add(n, offset) : n;
  Value all = kb.constI(1, kb.b.getI1Type());
  return kb
      .forLoop(kb.idx(0), count, lanes, {all},
               [&](Value k, ValueRange carried) -> Values {
                 Value valid = kb.min(kb.idx(lanes), kb.sub(count, k)), j = kb.add(lo, k);
                 Value allowed = ctx.allowed({b, h, i, j, n, j, valid, lanes, true}, keys);
                 if (isa<VectorType>(allowed.getType())) {
                   Type i32 = kb.b.getI32Type();
                   Value room = arith::IndexCastOp::create(kb.b, kb.loc, i32, valid);
                   Value past =
                       arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::sge,
                                             kb.laneIds(kb.vec(lanes, i32)), kb.splat(room));
                   allowed = arith::OrIOp::create(kb.b, kb.loc, allowed, past);
                   allowed = vector::ReductionOp::create(kb.b, kb.loc, vector::CombiningKind::AND,
                                                         allowed);
                 }
                 return {arith::AndIOp::create(kb.b, kb.loc, carried.front(), allowed)};
               })
      .front();
}

/// What a masked pass counts key by key, an unmasked one counts at once.
void PanelForm::countAll(const Panel &panel, Value count) {
  Layout at = layoutOf(spec, tile, kb.lanes());
  Value number = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(), count);
  number = kb.splat(arith::SIToFPOp::create(kb.b, kb.loc, kb.f32(), number));
  for (int64_t v = 0; v < vectors; ++v) {
    Value place = floatAt(kb, panel.state, at.sum + v * kb.lanes());
    kb.store(arith::AddFOp::create(kb.b, kb.loc, kb.load(kb.vec(), place), number), place);
  }
}

/// Scores to weights in place, sums, and the factor by which older outputs shrink.
void PanelForm::weights(const Panel &panel, Value count) {
  if (spec.weighting == Weighting::None || spec.weighting == Weighting::Count)
    return;
  Layout at = layoutOf(spec, tile, kb.lanes());
  Value block = floatAt(kb, scratch, at.scores);
  Values shift, sums;
  for (int64_t v = 0; v < vectors; ++v) {
    int64_t lane = v * kb.lanes();
    sums.push_back(kb.constF(0, kb.vec()));
    if (!ctx.softmax())
      continue;
    Value maxPlace = floatAt(kb, panel.state, at.max + lane);
    Value max = kb.load(kb.vec(), floatAt(kb, scratch, at.blockMax + lane));
    Value none = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, max,
                                       kb.constF(-kInf, kb.vec()));
    shift.push_back(kb.select(none, kb.constF(0, kb.vec()), max));
    Value older = arith::SubFOp::create(kb.b, kb.loc, kb.load(kb.vec(), maxPlace), shift.back());
    kb.store(expNonPositive(kb, older), floatAt(kb, scratch, at.factor + lane));
    kb.store(max, maxPlace);
  }
  sums = kb.forLoop(kb.idx(0), count, 1, sums, [&](Value k, ValueRange carried) {
    Values next;
    for (int64_t v = 0; v < vectors; ++v) {
      Value place = kb.gep(block, kb.add(kb.mul(k, width), v * kb.lanes()), kb.f32());
      Value x = kb.load(kb.vec(), place);
      if (ctx.softmax()) {
        x = expNonPositive(kb, arith::SubFOp::create(kb.b, kb.loc, x, shift[v]));
        kb.store(x, place);
      }
      next.push_back(arith::AddFOp::create(kb.b, kb.loc, carried[v], x));
    }
    return next;
  });
  for (int64_t v = 0; v < vectors; ++v) {
    Value place = floatAt(kb, panel.state, at.sum + v * kb.lanes());
    Value sum = kb.load(kb.vec(), place);
    if (ctx.softmax())
      sum =
          kb.fma(sum, kb.load(kb.vec(), floatAt(kb, scratch, at.factor + v * kb.lanes())), sums[v]);
    else
      sum = arith::AddFOp::create(kb.b, kb.loc, sum, sums[v]);
    kb.store(sum, place);
  }
}

/// O^T = O^T * factor + V^T P^T.
void PanelForm::accumulate(const Panel &panel, Value count, Value valueAddress) {
  Layout at = layoutOf(spec, tile, kb.lanes());
  const AttentionTensor &value = values.value;
  bool packed = !value.element.isF32();
  Value output = floatAt(kb, panel.state, at.output);
  auto rows = [&](Value first, int64_t number) {
    TileProduct product;
    for (int64_t r = 0; r < number; ++r) {
      Value e = kb.add(first, r);
      product.a.push_back(kb.gep(valueAddress, packed ? e : kb.mul(e, value.strides[3]), kb.f32()));
    }
    product.aStep = packed ? kb.idx(spec.valueDim) : value.strides[2];
    product.b = floatAt(kb, scratch, at.scores);
    product.vectors = vectors;
    product.count = count;
    Values factors, acc;
    if (ctx.softmax())
      for (int64_t v = 0; v < vectors; ++v)
        factors.push_back(kb.load(kb.vec(), floatAt(kb, scratch, at.factor + v * kb.lanes())));
    Value place = kb.gep(output, kb.mul(first, width), kb.f32());
    for (int64_t r = 0; r < number; ++r)
      for (int64_t v = 0; v < vectors; ++v) {
        Value o = kb.load(kb.vec(), floatAt(kb, place, r * width + v * kb.lanes()));
        acc.push_back(ctx.softmax() ? arith::MulFOp::create(kb.b, kb.loc, o, factors[v]) : o);
      }
    acc = product.run(kb, acc);
    for (int64_t r = 0; r < number; ++r)
      for (int64_t v = 0; v < vectors; ++v)
        kb.store(acc[r * vectors + v], floatAt(kb, place, r * width + v * kb.lanes()));
  };
  int64_t whole = spec.valueDim / tile.valueRows * tile.valueRows;
  kb.forLoop(kb.idx(0), kb.idx(whole), tile.valueRows, [&](Value e) { rows(e, tile.valueRows); });
  if (whole < spec.valueDim)
    rows(kb.idx(whole), spec.valueDim - whole);
}

void PanelForm::finish(const Panel &panel) {
  Layout at = layoutOf(spec, tile, kb.lanes());
  Value factors = floatAt(kb, scratch, at.factor), sums = floatAt(kb, panel.state, at.sum);
  bool divides = spec.weighting != Weighting::None;
  if (divides)
    for (int64_t v = 0; v < vectors; ++v)
      kb.store(ctx.factor(kb.load(kb.vec(), floatAt(kb, sums, v * kb.lanes()))),
               floatAt(kb, factors, v * kb.lanes()));
  auto matrix = [&](const AttentionTensor &tensor, int64_t columns) {
    return PanelMatrix{ctx.at(tensor, b, h, panel.first, {}),
                       tensor.strides[2],
                       tensor.strides[3],
                       tensor.element,
                       panel.rows,
                       kb.idx(columns),
                       width};
  };
  if (values.result)
    storePanel(kb, matrix(values.result, spec.valueDim), floatAt(kb, panel.state, at.output),
               [&](Value place, Value row) {
                 Value o = kb.load(kb.vec(), place);
                 return divides ? ctx.scaled(o, kb.load(kb.vec(), factors, row)) : o;
               });
  if (values.lse)
    storePanel(kb, matrix(values.lse, 1), sums, [&](Value place, Value row) {
      Value log = math::LogOp::create(kb.b, kb.loc, kb.load(kb.vec(), place));
      Value max = kb.load(kb.vec(), floatAt(kb, panel.state, at.max), row);
      return Value(arith::AddFOp::create(kb.b, kb.loc, max, log));
    });
}

} // namespace attune::codegen
