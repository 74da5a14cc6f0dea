// Blocks of linear attention on tensor cores. A warp has 16 queries of a chunk and some tiles of 16
// features of S; f32 sums stay in registers, and S goes through shared memory, rounded to 16 bits,
// to be multiplied by queries. For f16 it is scaled by a power of two so that neither large nor
// small states leave the range.
#include "attune/codegen/cpu/AttentionVector.h"
#include "attune/codegen/gpu/Fragments.h"
#include "attune/codegen/gpu/LinearAttention.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

/// Columns of the tile of Z, of which the first one counts.
static constexpr int64_t kNormColumns = 8;
/// Warps of a block.
static constexpr int64_t kWarps = 4;

int64_t tensorLinearBytes(const LinearBlockShape &shape) {
  int64_t norm = shape.sums ? shape.rows * kNormColumns * 2 : 0;
  return shape.rows * shape.columns * 2 + norm + 16;
}

namespace {

class TensorBlock final : public LinearBlock {
public:
  TensorBlock(const LinearAttentionMatch &match, const LinearBlockShape &shape, DeviceBuilder &kb,
              const KernelArgs &args, Value shared)
      : LinearBlock(match, shape, kb, args, shared), fragments(kb, shape.element),
        tiles(shape.rows / 64), across(shape.columns / 8), perTile(across + (shape.sums ? 1 : 0)),
        stateLayout{shape.rows, shape.columns, 2, false, true} {
    lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
    warp = kb.div(kb.thread(), DeviceBuilder::kWarp);
    inEight = kb.rem(lane, kb.idx(8));
    Value matrix = kb.div(lane, 8);
    low = kb.rem(matrix, kb.idx(2));
    high = kb.div(matrix, 2);
    row = kb.div(lane, 4);
    pair = kb.mul(kb.rem(lane, kb.idx(4)), 2);
    int64_t behind = 2 * stageBytes();
    stateAt = at(behind);
    normAt = at(behind + stateLayout.bytes());
    mostAt = at(behind + tensorLinearBytes(shape) - 16);
  }

  void states(const LinearBlockTask &task) override {
    makeLoaders(task, /*queries=*/false, /*keys=*/true);
    startPartGate();
    Values sums = overChunks(task, zeros(tiles * perTile), [&](Value, Value place, Values sums) {
      scaleState(sums);
      return overKeys(sums, [&](Value keys, Values sums) {
        addProducts(place, keys, valuesOf(place, keys), sums);
        return sums;
      });
    });
    storeAll(task, /*isFinal=*/false, sums);
    storePartGate(task);
  }

  void outputs(const LinearBlockTask &task) override {
    makeLoaders(task, /*queries=*/true, shape.causal);
    Values sums = initial(task);
    if (!shape.causal) {
      Value back = publish(sums);
      overChunks(task, {}, [&](Value position, Value place, Values) -> Values {
        Values out = readState(place, back);
        finishRows(task, position, place, out);
        return {};
      });
      return;
    }
    sums = overChunks(
        task, sums,
        [&](Value position, Value place, Values sums) {
          Values out = readState(place, back);
          scaleState(sums);
          scaleRows(out);
          int64_t ofState = sums.size();
          sums.append(out);
          sums = overKeys(sums, [&](Value keys, Values sums) {
            Values out(ArrayRef(sums).drop_front(ofState));
            sums.truncate(ofState);
            SmallVector<Values> columns = valuesOf(place, keys);
            addProducts(place, keys, columns, sums);
            // Later keys are not seen by any query of the warp.
            Value seen = kb.cmp(arith::CmpIPredicate::sge, kb.mul(warp, 16), keys);
            auto weigh = [&] { return weighValues(place, keys, columns, out); };
            sums.append(kb.ifElse(seen, ValueRange(out).getTypes(), weigh, [&] { return out; }));
            return sums;
          });
          out.assign(sums.begin() + ofState, sums.end());
          sums.truncate(ofState);
          finishRows(task, position, place, out);
          return sums;
        },
        [&](Values sums) { back = publish(sums); });
    if (task.writesFinal)
      kb.ifThen(task.writesFinal, [&] { storeAll(task, /*isFinal=*/true, sums); });
  }

private:
  Fragments fragments;
  int64_t tiles, across, perTile; ///< tiles of features of a warp; fragments along columns; with Z
  TileLayout stateLayout;
  Value lane, warp, inEight, low, high, row, pair;
  Value stateAt, normAt, mostAt;
  Value back; ///< what undoes the scale of S

  bool scales() const { return shape.element.isF16(); }
  Values zeros(int64_t fragments) { return Values(4 * fragments, kb.constF(0)); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(kb.b, kb.loc, x, y); }
  Value plus(Value x, Value y) { return arith::AddFOp::create(kb.b, kb.loc, x, y); }
  Value eights(Value eight, int64_t start) {
    return kb.add(kb.add(kb.mul(eight, 8), inEight), start);
  }
  /// The first feature of a warp's tile.
  Value featuresOf(int64_t tile) { return kb.mul(kb.add(warp, tile * kWarps), 16); }
  /// Whole steps of 16 features that are not all padding.
  int64_t depth() const { return (shape.features + 15) / 16 * 16; }

  /// Chunk by chunk, the next one on its way: `body(position, place, sums)`. `before` runs while
  /// nobody reads the state.
  Values overChunks(const LinearBlockTask &task, Values sums,
                    llvm::function_ref<Values(Value, Value, Values)> body,
                    llvm::function_ref<void(Values)> before = {}) {
    kb.ifThen(kb.lt(task.first, task.end), [&] { start(task.first, at(0)); });
    kb.commitCopies();
    auto chunk = [&](Value position, ValueRange carried) {
      Value number = kb.div(kb.sub(position, task.first), kChunk);
      auto stage = [&](Value number) {
        return kb.sharedAt(shared, kb.mul(kb.rem(number, kb.idx(2)), stageBytes()));
      };
      if (before)
        before(Values(carried));
      makeGates(task, position);
      kb.waitForCopies(0);
      kb.barrier();
      Value next = kb.add(position, kChunk), place = stage(number);
      kb.ifThen(kb.lt(next, task.end), [&] { start(next, stage(kb.add(number, 1))); });
      kb.commitCopies();
      finish(task, position, place);
      Values result = body(position, place, Values(carried));
      if (before && scales())
        noteLargest(result);
      if (before || shape.gated)
        kb.barrier();
      return result;
    };
    return kb.forLoop(task.first, task.end, kChunk, sums, chunk);
  }

  //===------------------------------------------------------------------------------------------===//
  // Products
  //===------------------------------------------------------------------------------------------===//

  /// 16 keys of the chunk at a time.
  Values overKeys(Values sums, llvm::function_ref<Values(Value keys, Values sums)> body) {
    return kb.forLoop(kb.idx(0), kb.idx(kChunk), 16, sums,
                      [&](Value keys, ValueRange carried) { return body(keys, Values(carried)); });
  }

  /// The address of a chunk of 16 bytes, in a row behind `first`, a multiple of 16.
  Value chunkAt(Value place, Tile tile, Value first, Value row, Value chunk) {
    Value rows = kb.mul(first, layout(tile).columns * shape.bytes());
    return kb.sharedAt(kb.sharedAt(tileAt(place, tile), rows), layout(tile).chunk(kb, row, chunk));
  }

  /// Fragments of 16 values for all columns, and of ones for the sum of weights.
  SmallVector<Values> valuesOf(Value place, Value keys) {
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

  /// sums + features of 16 keys, transposed, * values.
  void addProducts(Value place, Value keys, ArrayRef<Values> columns, Values &sums) {
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

  /// Two 16-bit floats in a register times two of f32.
  Value weighPair(Value both, Value by) {
    auto type = kb.vec(2, shape.element);
    Value weights = arith::TruncFOp::create(kb.b, kb.loc, type, by);
    Value x = LLVM::BitcastOp::create(kb.b, kb.loc, type, both);
    x = arith::MulFOp::create(kb.b, kb.loc, x, weights);
    return LLVM::BitcastOp::create(kb.b, kb.loc, both.getType(), x);
  }

  /// What is left of the state behind the chunk, without its keys.
  void scaleState(Values &sums) {
    if (!shape.gated)
      return;
    Value left = wholeGate();
    for (Value &x : sums)
      x = mul(x, left);
  }

  /// What is left of the state at the warp's queries.
  void scaleRows(Values &out) {
    if (!shape.gated)
      return;
    Value query = kb.add(kb.mul(warp, 16), row);
    Value left[] = {gate(UpTo, query), gate(UpTo, kb.add(query, 8))};
    for (auto [n, x] : llvm::enumerate(out))
      x = mul(x, left[n % 4 / 2]);
  }

  void multiply(ValueRange a, ArrayRef<Values> columns, Values &sums, int64_t firstFragment = 0) {
    for (auto [j, b] : llvm::enumerate(columns)) {
      int64_t first = 4 * (firstFragment + int64_t(j));
      llvm::copy(fragments.multiply(a, b, ValueRange(sums).slice(first, 4)), sums.begin() + first);
    }
  }

  Values queriesOf(Value place, int64_t k) {
    Value mine = kb.add(kb.mul(warp, 16), eights(low, 0));
    Value chunk = kb.add(high, k / 8);
    return fragments.load(
        kb.sharedAt(tileAt(place, Queries), layout(Queries).chunk(kb, mine, chunk)), false);
  }

  /// Queries times the state that shared memory holds.
  Values readState(Value place, Value back) {
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

  /// out + weights of 16 keys for the warp's queries * values.
  Values weighValues(Value place, Value keys, ArrayRef<Values> columns, Values out) {
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

  Values packedWeights(ValueRange weights) {
    Values a;
    for (int64_t n = 0; n < 8; n += 2)
      a.push_back(packed(weights[n], weights[n + 1]));
    return a;
  }

  /// Whether an infinity or NaN is among the warp's fragments: its exponent is all ones, and one
  /// more reaches the sign.
  Value hasNonFinite(ArrayRef<Values> columns) {
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

  /// The same, key by key, of which only queries that are no earlier see anything.
  Values weighOneByOne(ValueRange weights, ArrayRef<Values> columns, Values out) {
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

  /// Two floats in a register of 16-bit ones.
  Value packed(Value x, Value y) {
    return LLVM::BitcastOp::create(kb.b, kb.loc, kb.b.getI32Type(), narrow(x, y));
  }
  Value narrow(Value x, Value y) {
    Value both = vector::FromElementsOp::create(kb.b, kb.loc, kb.vec(2), ValueRange{x, y});
    return arith::TruncFOp::create(kb.b, kb.loc, kb.vec(2, shape.element), both);
  }

  //===------------------------------------------------------------------------------------------===//
  // The state
  //===------------------------------------------------------------------------------------------===//

  /// Calls `body(number of the first of two neighbours, feature, column in the slab or null)`.
  void overState(llvm::function_ref<void(int64_t, Value, Value)> body) {
    for (int64_t tile = 0; tile < tiles; ++tile)
      for (int64_t j = 0; j < perTile; ++j)
        for (int64_t half = 0; half < 2; ++half) {
          Value f = kb.add(kb.add(featuresOf(tile), row), 8 * half);
          body(4 * (tile * perTile + j) + 2 * half, f, j < across ? kb.add(pair, 8 * j) : Value());
        }
  }

  /// States in memory have neighbouring columns in aligned pairs.
  bool storesPairs() const { return shape.valueDim % 2 == 0 && shape.slotFloats() % 2 == 0; }

  Values initial(const LinearBlockTask &task) {
    Values none = zeros(tiles * perTile);
    auto load = [&] {
      Values sums = none;
      Value zero = kb.constF(0);
      overState([&](int64_t first, Value f, Value column) {
        Value hasFeature = kb.lt(f, kb.idx(shape.features));
        f = kb.select(hasFeature, f, kb.idx(0));
        if (!column) {
          Value mine = arith::AndIOp::create(kb.b, kb.loc, hasFeature, kb.eq(pair, kb.idx(0)));
          sums[first] = kb.select(mine, loadNorm(task, f), zero);
          return;
        }
        Value e = kb.add(firstColumn(task), column);
        auto orZero = [&](Value x, Value e) {
          Value has = kb.lt(e, kb.idx(shape.valueDim));
          return kb.select(arith::AndIOp::create(kb.b, kb.loc, has, hasFeature), x, zero);
        };
        if (storesPairs()) {
          Value inside = kb.min(e, kb.idx(shape.valueDim - 2));
          Value at = kb.gep(task.state, stateOffset(f, inside), kb.f32());
          Value both = LLVM::LoadOp::create(kb.b, kb.loc, kb.vec(2), at, 8);
          for (int64_t n : {0, 1})
            sums[first + n] = orZero(vector::ExtractOp::create(kb.b, kb.loc, both, n), e);
          return;
        }
        for (int64_t n : {0, 1}) {
          Value next = kb.add(e, n), inside = kb.min(next, kb.idx(shape.valueDim - 1));
          sums[first + n] = orZero(loadState(task, f, inside), next);
        }
      });
      if (scales())
        noteLargest(sums);
      return sums;
    };
    auto clear = [&] {
      if (scales())
        noteLargest(none);
      return none;
    };
    Values sums = kb.ifElse(task.hasState, ValueRange(none).getTypes(), load, clear);
    if (scales())
      kb.barrier();
    return sums;
  }

  void storeAll(const LinearBlockTask &task, bool isFinal, ValueRange sums) {
    overState([&](int64_t first, Value f, Value column) {
      Value has = kb.lt(f, kb.idx(shape.features));
      if (!column) {
        Value mine = arith::AndIOp::create(kb.b, kb.loc, kb.eq(pair, kb.idx(0)),
                                           kb.eq(task.slab, kb.idx(0)));
        has = arith::AndIOp::create(kb.b, kb.loc, has, mine);
        if (!isFinal || values.finalNorm)
          kb.ifThen(has, [&] { storeNorm(task, isFinal, f, sums[first]); });
        return;
      }
      if (isFinal && !values.finalState)
        return;
      Value e = kb.add(firstColumn(task), column);
      auto inside = [&](Value e) -> Value {
        return arith::AndIOp::create(kb.b, kb.loc, has, kb.lt(e, kb.idx(shape.valueDim)));
      };
      if (!isFinal && storesPairs()) {
        Value both = vector::FromElementsOp::create(kb.b, kb.loc, kb.vec(2), sums.slice(first, 2));
        kb.ifThen(inside(e), [&] {
          LLVM::StoreOp::create(kb.b, kb.loc, both, kb.gep(task.state, stateOffset(f, e), kb.f32()),
                                8);
        });
        return;
      }
      for (int64_t n : {0, 1}) {
        Value next = kb.add(e, n);
        kb.ifThen(inside(next), [&] { storeState(task, isFinal, f, next, sums[first + n]); });
      }
    });
  }

  /// Every warp's largest magnitude of a number, for the next scale: beside an infinity, others
  /// keep their digits.
  void noteLargest(ValueRange sums) {
    Value zero = kb.constF(0), infinity = kb.constF(std::numeric_limits<float>::infinity());
    auto larger = [&](Value x, Value y) -> Value {
      return arith::MaxNumFOp::create(kb.b, kb.loc, x, y);
    };
    auto isInfinite = [&](Value x) -> Value {
      return arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, x, infinity);
    };
    auto largest = [&](bool ofFinite) {
      Value most = zero;
      for (Value x : sums) {
        Value size = math::AbsFOp::create(kb.b, kb.loc, x);
        most = larger(most, ofFinite ? kb.select(isInfinite(size), zero, size) : size);
      }
      return kb.acrossWarp(most, larger);
    };
    Value most = largest(/*ofFinite=*/false);
    most = kb.ifElse(
                 isInfinite(most), {kb.f32()},
                 [&]() -> Values { return {largest(/*ofFinite=*/true)}; },
                 [&]() -> Values { return {most}; })
               .front();
    kb.ifThen(kb.eq(lane, kb.idx(0)), [&] {
      LLVM::StoreOp::create(kb.b, kb.loc, most, kb.sharedAt(mostAt, kb.mul(warp, 4)), 4);
    });
  }

  /// A power of two that brings the largest element of the state near 2^10, and its inverse.
  std::pair<Value, Value> scale() {
    Value most = kb.constF(0);
    for (int64_t w = 0; w < kWarps; ++w) {
      Value x = LLVM::LoadOp::create(kb.b, kb.loc, kb.f32(), kb.sharedAt(mostAt, kb.idx(4 * w)), 4);
      most = arith::MaxNumFOp::create(kb.b, kb.loc, most, x);
    }
    Type i32 = kb.b.getI32Type();
    constexpr int64_t kBias = 127, kTarget = 10, kFraction = 23;
    auto constant = [&](int64_t value) { return kb.constI(value, i32); };
    Value bits = arith::BitcastOp::create(kb.b, kb.loc, i32, most);
    Value exponent = arith::ShRUIOp::create(kb.b, kb.loc, bits, constant(kFraction));
    // Both powers are normal numbers.
    exponent = arith::SubIOp::create(kb.b, kb.loc, exponent, constant(kTarget));
    exponent = arith::MaxSIOp::create(kb.b, kb.loc, exponent, constant(1));
    auto power = [&](Value biased) -> Value {
      Value x = arith::ShLIOp::create(kb.b, kb.loc, biased, constant(kFraction));
      return arith::BitcastOp::create(kb.b, kb.loc, kb.f32(), x);
    };
    return {power(arith::SubIOp::create(kb.b, kb.loc, constant(2 * kBias), exponent)),
            power(exponent)};
  }

  /// Puts the state into shared memory; what results are to be multiplied by, or null.
  Value publish(ValueRange sums) {
    Value by, inverse;
    if (scales())
      std::tie(by, inverse) = scale();
    overState([&](int64_t first, Value f, Value column) {
      Value x = sums[first], y = sums[first + 1];
      if (by) {
        x = mul(x, by);
        y = mul(y, by);
      }
      Value offset = column ? stateLayout.element(kb, f, column)
                            : kb.mul(kb.add(kb.mul(f, kNormColumns), pair), 2);
      LLVM::StoreOp::create(kb.b, kb.loc, narrow(x, y),
                            kb.sharedAt(column ? stateAt : normAt, offset), 4);
    });
    return inverse;
  }

  //===------------------------------------------------------------------------------------------===//
  // Results
  //===------------------------------------------------------------------------------------------===//

  void finishRows(const LinearBlockTask &task, Value position, Value place, Values out) {
    Value first = kb.add(kb.mul(warp, 16), row);
    Value factors[2];
    if (match.spec.norm != Weighting::None)
      for (int64_t half = 0; half < 2; ++half) {
        Value sum;
        if (normalised()) {
          // Of eight columns the first one counts, the others are 0.
          sum = plus(out[4 * across + 2 * half], out[4 * across + 2 * half + 1]);
          for (int64_t mask : {1, 2})
            sum = plus(sum, kb.shuffleXor(sum, mask));
        }
        factors[half] = factor(sum, kb.add(kb.add(position, first), 8 * half));
      }
    // Through the rows of queries, which only this warp has read.
    Value tile = tileAt(place, Queries);
    kb.warpBarrier();
    for (int64_t j = 0; j < across; ++j)
      for (int64_t half = 0; half < 2; ++half) {
        Value x = out[4 * j + 2 * half], y = out[4 * j + 2 * half + 1];
        if (factors[half]) {
          x = mul(x, factors[half]);
          y = mul(y, factors[half]);
        }
        Value offset = layout(Queries).element(kb, kb.add(first, 8 * half), kb.add(pair, 8 * j));
        LLVM::StoreOp::create(kb.b, kb.loc, narrow(x, y), kb.sharedAt(tile, offset), 4);
      }
    kb.warpBarrier();
    int64_t wide = storesChunks() ? 8 : 1, perRow = shape.columns / wide;
    auto type = kb.vec(wide, shape.element);
    kb.forLoop(lane, kb.idx(16 * perRow), DeviceBuilder::kWarp, [&](Value number) {
      Value r = kb.div(number, perRow);
      // Rows of half the banks: the neighbour has the other half.
      if (perRow == 4)
        r = kb.add(kb.add(kb.mul(kb.div(r, 8), 8), kb.mul(kb.rem(r, kb.idx(2)), 4)),
                   kb.rem(kb.div(r, 2), kb.idx(4)));
      r = kb.add(kb.mul(warp, 16), r);
      Value column = kb.mul(kb.rem(number, kb.idx(perRow)), wide);
      Value query = kb.add(position, r), e = kb.add(firstColumn(task), column);
      Value exists = arith::AndIOp::create(kb.b, kb.loc, kb.lt(query, values.queries),
                                           kb.lt(e, kb.idx(shape.valueDim)));
      kb.ifThen(exists, [&] {
        Value from = kb.sharedAt(tile, layout(Queries).element(kb, r, column));
        Value x = LLVM::LoadOp::create(kb.b, kb.loc, wide == 1 ? shape.element : Type(type), from,
                                       unsigned(2 * wide));
        Type to = values.result.element;
        if (to != shape.element)
          x = fromF32(kb, toF32(kb, x), to);
        unsigned align = wide == 1 ? to.getIntOrFloatBitWidth() / 8 : 16;
        LLVM::StoreOp::create(kb.b, kb.loc, x, resultAt(task, query, e), align);
      });
    });
  }
};

} // namespace

std::unique_ptr<LinearBlock> makeTensorLinearBlock(const LinearAttentionMatch &match,
                                                   const LinearBlockShape &shape, DeviceBuilder &kb,
                                                   const KernelArgs &args, Value shared) {
  return std::make_unique<TensorBlock>(match, shape, kb, args, shared);
}

} // namespace attune::codegen
