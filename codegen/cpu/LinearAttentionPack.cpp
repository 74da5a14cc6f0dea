#include "attune/codegen/cpu/LinearAttentionLayout.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

void ChunkForm::packQueries(Value b, Value h, Value first, Value count) {
  Layout at = layoutOf(spec, kb.target);
  Value rows = ctx.at(values.query, {b, h, first});
  kb.forLoop(kb.idx(0), count, 1, [&](Value row) {
    Value from = kb.gep(rows, kb.mul(row, values.query.strides[2]), values.query.element);
    ctx.features(values.query, from, spec.phiQ, values.queryPos, kb.add(first, row), {},
                 kb.gep(place(at.queries), kb.mul(row, features), kb.f32()));
  });
}

/// Keys as panels [panel][feature][width], positions past the last one 0.
void ChunkForm::packKeys(Value b, Value kvHead, Value first, Value count) {
  Layout at = layoutOf(spec, kb.target);
  const AttentionTensor &key = values.key;
  Value rows = ctx.at(key, {b, kvHead, first});
  auto lane32 = kb.vec(0, kb.b.getI32Type());
  kb.forLoop(kb.idx(0), kb.ceilDiv(count, width), 1, [&](Value number) {
    Value j = kb.mul(number, width), left = kb.sub(count, j);
    Value panel = kb.gep(place(at.keys), kb.mul(number, features * width), kb.f32());
    PanelMatrix matrix{kb.gep(rows, kb.mul(j, key.strides[2]), key.element),
                       key.strides[2],
                       key.strides[3],
                       key.element,
                       kb.min(left, kb.idx(width)),
                       kb.idx(spec.keyDim),
                       width};
    loadPanel(kb, matrix, panel,
              [&](Value x, Value to) { kb.store(spec.phiK ? spec.phiK(kb, x) : x, to); });
    auto finish = [&] {
      Value zero = kb.constF(0, kb.vec());
      for (int64_t v = 0; v < width; v += lanes) {
        Value valid = kb.min(kb.idx(lanes), kb.max(kb.idx(0), kb.sub(left, kb.idx(v))));
        Value room = arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI32Type(), valid);
        Value inside = arith::CmpIOp::create(kb.b, kb.loc, arith::CmpIPredicate::slt,
                                             kb.laneIds(lane32), kb.splat(room));
        Value at = kb.add(kb.add(first, j), v);
        // One element per lane; its own loads, since masks and tables may have any stride.
        auto along = [&](const AttentionTensor &tensor, int64_t axis, ArrayRef<Value> index) {
          Value address = ctx.at(tensor, index), stride = tensor.strides[axis];
          if (isStride(stride, 1))
            return toF32(kb, kb.loadPartial(kb.vec(lanes, tensor.element), address, {}, valid));
          Value x = zero, last = kb.max(kb.idx(0), kb.sub(valid, kb.idx(1)));
          for (int64_t l = 0; l < lanes; ++l) {
            Value from = kb.mul(kb.min(kb.idx(l), last), stride);
            Value element = toF32(kb, kb.load(tensor.element, address, from));
            x = vector::InsertOp::create(kb.b, kb.loc, element, x, ArrayRef<int64_t>{l});
          }
          return x;
        };
        // Past the last position there is nothing that could be read.
        at = kb.min(at, kb.sub(values.keys, kb.idx(1)));
        Value mask = values.keyMask ? along(values.keyMask, 1, {b, at}) : Value();
        for (int64_t r = spec.terms - 1; r >= 0; --r) {
          Value factor = mask;
          if (values.keyPos) {
            factor = along(values.keyPos, 1, {kb.idx(r), at});
            if (mask)
              factor = arith::MulFOp::create(kb.b, kb.loc, factor, mask);
          }
          kb.forLoop(kb.idx(0), kb.idx(spec.keyDim), 1, [&](Value d) {
            Value offset = kb.add(kb.mul(d, width), v);
            Value x = kb.load(kb.vec(), panel, offset);
            if (factor)
              x = arith::MulFOp::create(kb.b, kb.loc, x, factor);
            kb.store(kb.select(inside, x, zero), panel, kb.add(offset, r * spec.keyDim * width));
          });
        }
      }
    };
    if (values.keyMask || values.keyPos)
      finish();
    else
      kb.ifThen(kb.lt(left, kb.idx(width)), finish);
  });
}

/// Values as panels [panel][position][width], 0 up to a whole panel of keys and of columns.
void ChunkForm::packValues(Value b, Value kvHead, Value first, Value count) {
  Layout at = layoutOf(spec, kb.target);
  const AttentionTensor &value = values.value;
  Value rows = ctx.at(value, {b, kvHead, first});
  auto panelRow = [&](Value row, int64_t column) {
    return kb.gep(place(at.values + column / width * padded * width + column % width),
                  kb.mul(row, width), kb.f32());
  };
  kb.forLoop(kb.idx(0), count, 1, [&](Value row) {
    Value from = kb.gep(rows, kb.mul(row, value.strides[2]), value.element);
    for (int64_t e = 0; e < valuePanels() * width; e += lanes) {
      int64_t inside = std::clamp<int64_t>(spec.valueDim - e, 0, lanes);
      Value x =
          inside ? ctx.loadRow(value, from, value.strides[3], e, inside) : kb.constF(0, kb.vec());
      kb.store(x, panelRow(row, e));
    }
  });
  Value end = kb.min(kb.roundUp(count, width), kb.idx(padded));
  kb.forLoop(count, end, 1, [&](Value row) {
    for (int64_t e = 0; e < valuePanels() * width; e += lanes)
      kb.store(kb.constF(0, kb.vec()), panelRow(row, e));
  });
}

//===- Weights of positions
//-----------------------------------------------------------------------===//

/// Cumulative logarithms of the chunk as pairs of f32 (their sum is exact enough to subtract);
/// positions past the last one repeat it.
void ChunkForm::gates(Value b, Value kvHead, Value first, Value count) {
  Layout at = layoutOf(spec, kb.target);
  Type f64 = kb.b.getF64Type();
  Value last = kb.sub(count, kb.idx(1));
  // exp of it is 0 in f32; -inf itself would make differences NaN.
  Value least = kb.constF(-104);
  kb.forLoop(kb.idx(0), kb.idx(tile.chunk), 1, {kb.constF(0, f64)},
             [&](Value t, ValueRange sum) -> Values {
               Value g = ctx.number(values.decay, {b, kvHead, kb.add(first, kb.min(t, last))});
               g = maxDroppingNaN(kb, least, g);
               g = kb.select(kb.lt(last, t), kb.constF(0), g);
               Value wide = arith::ExtFOp::create(kb.b, kb.loc, f64, g);
               Value total = arith::AddFOp::create(kb.b, kb.loc, sum[0], wide);
               Value high = arith::TruncFOp::create(kb.b, kb.loc, kb.f32(), total);
               Value rest = arith::SubFOp::create(kb.b, kb.loc, total,
                                                  arith::ExtFOp::create(kb.b, kb.loc, f64, high));
               kb.store(high, place(at.high), t);
               kb.store(arith::TruncFOp::create(kb.b, kb.loc, kb.f32(), rest), place(at.low), t);
               return {total};
             });
  // Factors of the state that the chunk starts from.
  kb.forLoop(kb.idx(0), kb.idx(tile.chunk), lanes, [&](Value t) {
    Value e = math::ExpOp::create(kb.b, kb.loc, kb.load(kb.vec(), place(at.high), t));
    kb.store(kb.fma(e, kb.load(kb.vec(), place(at.low), t), e), place(at.rowScale), t);
  });
}

/// The coefficients of a pair of chunks, 0 where there is none.
void ChunkForm::packCoefficients(const Pair &pair) {
  Layout at = layoutOf(spec, kb.target);
  const AttentionTensor &c = values.toeplitz;
  Value zero = kb.idx(0), one = kb.idx(1);
  Value last = kb.sub(kb.sub(kb.add(values.queries, values.keys), one), one);
  // That of j = 0 and i = 0 is preceded by those of the rows after it.
  Value middle = kb.add(kb.sub(pair.key, pair.query), kb.sub(values.queries, one));
  Value first = kb.sub(middle, kb.idx(tile.rows + tile.chunk - 1));
  kb.forLoop(zero, kb.idx(Layout::tableFloats(tile)), 1, [&](Value x) {
    Value wanted = kb.add(first, x), inside = kb.max(zero, kb.min(wanted, last));
    Value element = ctx.number(c, {pair.h, inside});
    kb.store(kb.select(kb.eq(wanted, inside), element, kb.constF(0)), place(at.sums), x);
  });
}

/// With n = chunk - 1 - x: sums[x] = 1 + mu + ... + mu^n, powers[x] = mu^n; 0 for n < 0.
void ChunkForm::momentumTables() {
  Layout at = layoutOf(spec, kb.target);
  int64_t front = tile.rows;
  Value zero = kb.constF(0, kb.vec());
  kb.forLoop(kb.idx(0), kb.idx(Layout::tableFloats(tile)), lanes, [&](Value x) {
    kb.store(zero, place(at.sums), x);
    kb.store(zero, place(at.powers), x);
  });
  Value top = kb.idx(front + tile.chunk - 1);
  kb.forLoop(kb.idx(0), kb.idx(tile.chunk), 1, {kb.constF(0), kb.constF(1)},
             [&](Value n, ValueRange carried) -> Values {
               Value sum = arith::AddFOp::create(kb.b, kb.loc, carried[0], carried[1]);
               Value x = kb.sub(top, n);
               kb.store(sum, place(at.sums), x);
               kb.store(carried[1], place(at.powers), x);
               // State P is read with weight -(mu + ... + mu^(n+1)).
               Value c = arith::MulFOp::create(kb.b, kb.loc, values.mu, sum);
               kb.store(arith::NegFOp::create(kb.b, kb.loc, c), place(at.rowScale), n);
               return {sum, arith::MulFOp::create(kb.b, kb.loc, carried[1], values.mu)};
             });
}

} // namespace attune::codegen
