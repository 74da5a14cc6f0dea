#include "attune/codegen/gpu/LinearAttentionTensor.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace attune::codegen {

Values LinearTensorBlock::overKeys(Values sums,
                                   llvm::function_ref<Values(Value keys, Values sums)> body) {
  return kb.forLoop(kb.idx(0), kb.idx(kChunk), 16, sums,
                    [&](Value keys, ValueRange carried) { return body(keys, Values(carried)); });
}

Value LinearTensorBlock::chunkAt(Value place, Tile tile, Value first, Value row, Value chunk) {
  Value rows = kb.mul(first, layout(tile).columns * shape.bytes());
  return kb.sharedAt(kb.sharedAt(tileAt(place, tile), rows), layout(tile).chunk(kb, row, chunk));
}

SmallVector<Values> LinearTensorBlock::valuesOf(Value place, Value keys) {
  SmallVector<Values> columns;
  for (int64_t j = 0; j < across; j += 2) {
    Value address = chunkAt(place, Columns, keys, eights(low, 0), kb.add(high, j));
    Values both = fragments.load(address, /*transposed=*/true);
    columns.push_back({both[0], both[1]});
    columns.push_back({both[2], both[3]});
  }
  if (shape.sums) {
    Type i32 = kb.b.getI32Type();
    int64_t one = shape.element.isF16() ? 0x3C003C00 : 0x3F803F80;
    Value ones = kb.select(kb.lt(lane, kb.idx(4)), kb.constI(one, i32), kb.constI(0, i32));
    columns.push_back({ones, ones});
  }
  return columns;
}

void LinearTensorBlock::addProducts(Value place, Value keys, ArrayRef<Values> columns,
                                    Values &sums) {
  for (int64_t tile = 0; tile < tiles; ++tile) {
    Value chunk = kb.add(kb.div(featuresOf(tile), 8), low);
    Value address = chunkAt(place, Keys, keys, eights(high, 0), chunk);
    Values a = fragments.load(address, /*transposed=*/true);
    if (shape.gated)
      for (int64_t n = 0; n < 4; ++n)
        a[n] = weighPair(a[n], gate(Ahead, kb.add(kb.add(keys, pair), 8 * (n / 2)), 2));
    multiply(a, columns, sums, tile * perTile);
  }
}

Value LinearTensorBlock::weighPair(Value both, Value by) {
  auto type = kb.vec(2, shape.element);
  Value weights = arith::TruncFOp::create(kb.b, kb.loc, type, by);
  Value x = LLVM::BitcastOp::create(kb.b, kb.loc, type, both);
  x = arith::MulFOp::create(kb.b, kb.loc, x, weights);
  return LLVM::BitcastOp::create(kb.b, kb.loc, both.getType(), x);
}

void LinearTensorBlock::scaleState(Values &sums) {
  if (!shape.gated)
    return;
  Value left = wholeGate();
  for (Value &x : sums)
    x = mul(x, left);
}

void LinearTensorBlock::scaleRows(Values &out) {
  if (!shape.gated)
    return;
  Value query = kb.add(kb.mul(warp, 16), row);
  Value left[] = {gate(UpTo, query), gate(UpTo, kb.add(query, 8))};
  for (auto [n, x] : llvm::enumerate(out))
    x = mul(x, left[n % 4 / 2]);
}

void LinearTensorBlock::multiply(ValueRange a, ArrayRef<Values> columns, Values &sums,
                                 int64_t firstFragment) {
  for (auto [j, b] : llvm::enumerate(columns)) {
    int64_t first = 4 * (firstFragment + int64_t(j));
    llvm::copy(fragments.multiply(a, b, ValueRange(sums).slice(first, 4)), sums.begin() + first);
  }
}

Values LinearTensorBlock::queriesOf(Value place, int64_t k) {
  Value mine = kb.add(kb.mul(warp, 16), eights(low, 0));
  Value chunk = kb.add(high, k / 8);
  return fragments.load(kb.sharedAt(tileAt(place, Queries), layout(Queries).chunk(kb, mine, chunk)),
                        false);
}

Values LinearTensorBlock::readState(Value place, Value back) {
  Values out = zeros(perTile);
  for (int64_t k = 0; k < depth(); k += 16) {
    SmallVector<Values> columns;
    for (int64_t j = 0; j < across; j += 2) {
      Value chunk = stateLayout.chunk(kb, eights(low, k), kb.add(high, j));
      Values both = fragments.load(kb.sharedAt(stateAt, chunk), /*transposed=*/true);
      columns.push_back({both[0], both[1]});
      columns.push_back({both[2], both[3]});
    }
    if (shape.sums) {
      // Lanes of the upper matrices read the lower ones again.
      Value address = kb.sharedAt(normAt, kb.mul(eights(low, k), kNormColumns * 2));
      Values both = fragments.load(address, /*transposed=*/true);
      columns.push_back({both[0], both[1]});
    }
    multiply(queriesOf(place, k), columns, out);
  }
  if (back)
    for (Value &x : out)
      x = mul(x, back);
  return out;
}

Values LinearTensorBlock::weighValues(Value place, Value keys, ArrayRef<Values> columns,
                                      Values out) {
  Values scores = zeros(2);
  for (int64_t k = 0; k < depth(); k += 16) {
    Value address = chunkAt(place, Keys, keys, eights(high, 0), kb.add(low, k / 8));
    Values both = fragments.load(address, /*transposed=*/false);
    multiply(queriesOf(place, k), {{both[0], both[1]}, {both[2], both[3]}}, scores);
  }
  Value query = kb.add(kb.mul(warp, 16), row), highs[2], lows[2];
  for (int64_t half = 0; half < 2 && shape.gated; ++half) {
    highs[half] = gate(High, kb.add(query, 8 * half));
    lows[half] = gate(Low, kb.add(query, 8 * half));
  }
  for (int64_t n = 0; n < 8; ++n) {
    Value key = kb.add(kb.add(pair, keys), 8 * (n / 4) + n % 2);
    Value mine = kb.add(query, 8 * (n % 4 / 2));
    Value seen = kb.cmp(arith::CmpIPredicate::sle, key, mine);
    if (shape.gated)
      scores[n] = mul(scores[n], fastExp(gateBetween(highs[n % 4 / 2], lows[n % 4 / 2], key)));
    scores[n] = kb.select(seen, scores[n], kb.constF(0));
  }
  // Where later values may be no numbers, 0 times them would reach earlier results.
  Value diagonal = kb.eq(keys, kb.mul(warp, 16));
  auto check = [&]() -> Values { return {hasNonFinite(columns)}; };
  auto none = [&]() -> Values { return {kb.constI(0, kb.b.getI1Type())}; };
  Value apart = kb.ifElse(diagonal, {kb.b.getI1Type()}, check, none).front();
  return kb.ifElse(
      apart, ValueRange(out).getTypes(), [&] { return weighOneByOne(scores, columns, out); },
      [&] {
        Values sums = out;
        multiply(packedWeights(scores), columns, sums);
        return sums;
      });
}

Values LinearTensorBlock::packedWeights(ValueRange weights) {
  Values a;
  for (int64_t n = 0; n < 8; n += 2)
    a.push_back(packed(weights[n], weights[n + 1]));
  return a;
}

Value LinearTensorBlock::hasNonFinite(ArrayRef<Values> columns) {
  Type i32 = kb.b.getI32Type();
  int64_t exponent = shape.element.isF16() ? 0x7c00 : 0x7f80;
  auto inBoth = [&](int64_t bits) { return kb.constI(bits << 16 | bits, i32); };
  Value lowest = inBoth(0x8000 - exponent), all = kb.constI(0, i32);
  for (const Values &fragment : columns)
    for (Value both : fragment) {
      Value bits = arith::AndIOp::create(kb.b, kb.loc, both, inBoth(exponent));
      bits = arith::AddIOp::create(kb.b, kb.loc, bits, lowest);
      all = arith::OrIOp::create(kb.b, kb.loc, all, bits);
    }
  all = arith::AndIOp::create(kb.b, kb.loc, all, inBoth(0x8000));
  Value any = kb.cmp(arith::CmpIPredicate::ne, all, kb.constI(0, i32));
  return NVVM::VoteSyncOp::create(kb.b, kb.loc, kb.b.getI1Type(), kb.constI(-1, i32), any,
                                  NVVM::VoteSyncKind::any);
}

Values LinearTensorBlock::weighOneByOne(ValueRange weights, ArrayRef<Values> columns, Values out) {
  Type i32 = kb.b.getI32Type();
  return kb.forLoop(kb.idx(0), kb.idx(16), 1, out, [&](Value key, ValueRange carried) {
    auto isKey = [&](int64_t inLane) {
      return kb.eq(key, kb.add(pair, inLane / 2 * 8 + inLane % 2));
    };
    Values own, sums(carried), masks;
    for (int64_t n = 0; n < 8; ++n)
      own.push_back(kb.select(isKey(n / 4 * 2 + n % 2), weights[n], kb.constF(0)));
    for (int64_t half = 0; half < 2; ++half) {
      Value zero = kb.constI(0, i32);
      Value first = kb.select(isKey(2 * half), kb.constI(0xffff, i32), zero);
      masks.push_back(kb.select(isKey(2 * half + 1), kb.constI(-0x10000, i32), first));
    }
    SmallVector<Values> values;
    for (const Values &fragment : columns) {
      Values &kept = values.emplace_back();
      for (auto [both, mask] : llvm::zip_equal(fragment, masks))
        kept.push_back(arith::AndIOp::create(kb.b, kb.loc, both, mask));
    }
    multiply(packedWeights(own), values, sums);
    for (auto [n, sum] : llvm::enumerate(sums)) {
      Value query = kb.add(row, int64_t(n) % 4 / 2 * 8);
      sum = kb.select(kb.cmp(arith::CmpIPredicate::sle, key, query), sum, carried[n]);
    }
    return sums;
  });
}

Value LinearTensorBlock::packed(Value x, Value y) {
  return LLVM::BitcastOp::create(kb.b, kb.loc, kb.b.getI32Type(), narrow(x, y));
}

Value LinearTensorBlock::narrow(Value x, Value y) {
  Value both = vector::FromElementsOp::create(kb.b, kb.loc, kb.vec(2), ValueRange{x, y});
  return arith::TruncFOp::create(kb.b, kb.loc, kb.vec(2, shape.element), both);
}

} // namespace attune::codegen
