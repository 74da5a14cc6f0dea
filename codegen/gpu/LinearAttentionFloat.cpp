// Blocks of linear attention by fused multiply-add. Threads have 4x4 sums: rows 4 * (t / 16) and
// on, columns 4 * (t % 16) and on. The state and the weights of a chunk lie in shared memory.
#include "attune/codegen/cpu/AttentionVector.h"
#include "attune/codegen/gpu/LinearAttention.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

static constexpr int64_t kPatch = 4, kAcross = 16;
static constexpr int64_t kFloat = sizeof(float);

int64_t floatLinearBytes(const LinearBlockShape &shape) {
  constexpr int64_t kChunk = LinearBlockShape::kChunk;
  return kFloat * (shape.rows * shape.columns + kChunk * kChunk + shape.rows + kChunk);
}

namespace {

class FloatBlock final : public LinearBlock {
public:
  FloatBlock(const LinearAttentionMatch &match, const LinearBlockShape &shape, DeviceBuilder &kb,
             const KernelArgs &args, Value shared)
      : LinearBlock(match, shape, kb, args, shared), four(kb.vec(kPatch)),
        stateLayout{shape.rows, shape.columns, kFloat, false, true},
        weightLayout{kChunk, kChunk, kFloat, false, true} {
    row = kb.mul(kb.div(kb.thread(), kAcross), kPatch);
    across = kb.rem(kb.thread(), kb.idx(kAcross));
    column = kb.mul(across, kPatch);
    int64_t offset = stageBytes();
    auto take = [&](int64_t bytes) {
      Value place = at(offset);
      offset += bytes;
      return place;
    };
    stateAt = take(stateLayout.bytes());
    weightsAt = take(weightLayout.bytes());
    normAt = take(shape.rows * kFloat);
    factorsAt = take(kChunk * kFloat);
  }

  void states(const LinearBlockTask &task) override {
    makeLoaders(task, /*queries=*/false, /*keys=*/true);
    fillState(task, /*fromMemory=*/{});
    startPartGate();
    overChunks(task, [&](Value) { addProducts(); });
    storeAll(task, /*isFinal=*/false);
    storePartGate(task);
  }

  void outputs(const LinearBlockTask &task) override {
    makeLoaders(task, /*queries=*/true, shape.causal);
    fillState(task, task.hasState);
    overChunks(task, [&](Value position) {
      if (shape.causal) {
        weigh();
        kb.barrier();
      }
      if (match.spec.norm != Weighting::None)
        findFactors(position);
      Values out = readState();
      scaleRows(out);
      if (shape.causal)
        out = weighValues(out);
      kb.barrier();
      storeRows(task, position, out);
      if (shape.causal)
        addProducts();
    });
    if (task.writesFinal)
      kb.ifThen(task.writesFinal, [&] { storeAll(task, /*isFinal=*/true); });
  }

private:
  Type four;
  TileLayout stateLayout, weightLayout;
  Value row, across, column;
  Value stateAt, weightsAt, normAt, factorsAt;

  Value load(Value base, Value offset) {
    return LLVM::LoadOp::create(kb.b, kb.loc, four, kb.sharedAt(base, offset), 16);
  }
  Value loadFloat(Value base, Value offset) {
    return LLVM::LoadOp::create(kb.b, kb.loc, kb.f32(), kb.sharedAt(base, offset), kFloat);
  }
  void store(Value x, Value base, Value offset) {
    unsigned align = isa<VectorType>(x.getType()) ? 16 : kFloat;
    LLVM::StoreOp::create(kb.b, kb.loc, x, kb.sharedAt(base, offset), align);
  }
  Value part(Value vector, int64_t i) { return vector::ExtractOp::create(kb.b, kb.loc, vector, i); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(kb.b, kb.loc, x, y); }
  Value fma(Value x, Value y, Value z) { return math::FmaOp::create(kb.b, kb.loc, x, y, z); }
  Value vectorOf(ValueRange four) {
    return vector::FromElementsOp::create(kb.b, kb.loc, this->four, four);
  }
  Values zeros() { return Values(kPatch * kPatch, kb.constF(0)); }
  int64_t depth() const { return (shape.features + kPatch - 1) / kPatch * kPatch; }

  void overChunks(const LinearBlockTask &task, llvm::function_ref<void(Value)> body) {
    kb.forLoop(task.first, task.end, kChunk, [&](Value position) {
      start(position, at(0));
      kb.commitCopies();
      makeGates(task, position);
      kb.waitForCopies(0);
      kb.barrier();
      finish(task, position, at(0));
      body(position);
      kb.barrier();
    });
  }

  //===------------------------------------------------------------------------------------------===//
  // Products
  //===------------------------------------------------------------------------------------------===//

  /// Weights of the chunk's keys for its queries; columns across + 16 * n.
  void weigh() {
    Value queries = tileAt(at(0), Queries), keys = tileAt(at(0), Keys);
    TileLayout tile = layout(Keys);
    Values sums =
        kb.forLoop(kb.idx(0), kb.idx(depth()), kPatch, zeros(), [&](Value k, ValueRange carried) {
          Values next(carried), a, b;
          for (int64_t n = 0; n < kPatch; ++n) {
            a.push_back(load(queries, tile.element(kb, kb.add(row, n), k)));
            b.push_back(load(keys, tile.element(kb, kb.add(across, n * kAcross), k)));
          }
          for (int64_t i = 0; i < kPatch; ++i)
            for (int64_t j = 0; j < kPatch; ++j)
              for (int64_t d = 0; d < kPatch; ++d) {
                Value &sum = next[kPatch * i + j];
                sum = fma(part(a[i], d), part(b[j], d), sum);
              }
          return next;
        });
    for (int64_t i = 0; i < kPatch; ++i)
      for (int64_t j = 0; j < kPatch; ++j) {
        Value query = kb.add(row, i), key = kb.add(across, j * kAcross);
        Value seen = kb.cmp(arith::CmpIPredicate::sle, key, query);
        Value weight = sums[kPatch * i + j];
        if (shape.gated) {
          Value between = gateBetween(gate(High, query), gate(Low, query), key);
          weight = mul(weight, math::ExpOp::create(kb.b, kb.loc, between));
        }
        store(kb.select(seen, weight, kb.constF(0)), weightsAt,
              weightLayout.element(kb, query, key));
      }
  }

  /// sums + the rows of `a` from `row` on * the columns of `b`, over depths from `start` to `end`;
  /// with `past`, of depths that are no later than the row.
  Values product(Value a, const TileLayout &aLayout, Value b, const TileLayout &bLayout,
                 Value start, Value end, Values sums, bool past = false) {
    return kb.forLoop(start, end, kPatch, sums, [&](Value k, ValueRange carried) {
      Values next(carried), rows;
      for (int64_t i = 0; i < kPatch; ++i)
        rows.push_back(load(a, aLayout.element(kb, kb.add(row, i), k)));
      for (int64_t d = 0; d < kPatch; ++d) {
        Value columns = load(b, bLayout.element(kb, kb.add(k, d), column));
        for (int64_t i = 0; i < kPatch; ++i)
          for (int64_t j = 0; j < kPatch; ++j) {
            Value &sum = next[kPatch * i + j];
            Value next = fma(part(rows[i], d), part(columns, j), sum);
            if (past)
              next = kb.select(kb.cmp(arith::CmpIPredicate::sle, kb.add(k, d), kb.add(row, i)),
                               next, sum);
            sum = next;
          }
      }
      return next;
    });
  }

  Values readState() {
    return product(tileAt(at(0), Queries), layout(Queries), stateAt, stateLayout, kb.idx(0),
                   kb.idx(depth()), zeros());
  }

  /// What is left of the state at the thread's queries.
  void scaleRows(Values &sums) {
    if (!shape.gated)
      return;
    for (auto [n, x] : llvm::enumerate(sums))
      x = mul(x, gate(UpTo, kb.add(row, n / kPatch)));
  }

  /// Keys behind the last query of a warp have no weight. Among those next to its queries, later
  /// values are left out: 0 times an infinity or NaN would reach earlier results.
  Values weighValues(Values sums) {
    int64_t rowsOfWarp = DeviceBuilder::kWarp / kAcross * kPatch;
    Value middle = kb.mul(kb.div(row, rowsOfWarp), rowsOfWarp);
    Value end = kb.add(middle, rowsOfWarp), columns = tileAt(at(0), Columns);
    sums = product(weightsAt, weightLayout, columns, layout(Columns), kb.idx(0), middle, sums);
    return product(weightsAt, weightLayout, columns, layout(Columns), middle, end, sums,
                   /*past=*/true);
  }

  /// S and Z with the chunk's keys.
  void addProducts() {
    Value keys = tileAt(at(0), Keys), columns = tileAt(at(0), Columns);
    Values sums;
    auto overRows = [&](llvm::function_ref<void(Value row, int64_t first)> body) {
      for (int64_t number = 0; number < shape.rows / kChunk * kPatch; ++number)
        body(kb.add(row, number / kPatch * kChunk + number % kPatch), number * kPatch);
    };
    overRows([&](Value f, int64_t) {
      Value before = load(stateAt, stateLayout.element(kb, f, column));
      for (int64_t j = 0; j < kPatch; ++j) {
        Value x = part(before, j);
        sums.push_back(shape.gated ? mul(x, wholeGate()) : x);
      }
    });
    sums = kb.forLoop(kb.idx(0), kb.idx(kChunk), 1, sums, [&](Value k, ValueRange carried) {
      Values next(carried);
      Value b = load(columns, layout(Columns).element(kb, k, column));
      for (int64_t first = 0; first < shape.rows; first += kChunk) {
        Value a = load(keys, layout(Keys).element(kb, k, kb.add(row, first)));
        if (shape.gated)
          a = mul(a, vectorOf(Values(kPatch, gate(Ahead, k))));
        for (int64_t n = 0; n < kPatch * kPatch; ++n) {
          Value &sum = next[first / kChunk * kPatch * kPatch + n];
          sum = fma(part(a, n / kPatch), part(b, n % kPatch), sum);
        }
      }
      return next;
    });
    overRows([&](Value f, int64_t first) {
      store(vectorOf(ValueRange(sums).slice(first, kPatch)), stateAt,
            stateLayout.element(kb, f, column));
    });
    if (!shape.sums)
      return;
    overNorm([&](Value f, Value offset) {
      Value before = loadFloat(normAt, offset);
      if (shape.gated)
        before = mul(before, wholeGate());
      Value sum = kb.forLoop(kb.idx(0), kb.idx(kChunk), 1, {before},
                             [&](Value k, ValueRange sum) -> Values {
                               Value x = loadFloat(keys, layout(Keys).element(kb, k, f));
                               if (shape.gated)
                                 x = mul(x, gate(Ahead, k));
                               return {arith::AddFOp::create(kb.b, kb.loc, sum[0], x)};
                             })
                      .front();
      store(sum, normAt, offset);
    });
  }

  //===------------------------------------------------------------------------------------------===//
  // The state
  //===------------------------------------------------------------------------------------------===//

  void overNorm(llvm::function_ref<void(Value f, Value offset)> body) {
    kb.ifThen(kb.lt(kb.thread(), kb.idx(shape.rows)),
              [&] { body(kb.thread(), kb.mul(kb.thread(), kFloat)); });
  }

  /// `e`: the column in the whole state.
  void overState(const LinearBlockTask &task,
                 llvm::function_ref<void(Value f, Value e, Value offset)> body) {
    Value all = kb.idx(shape.rows * shape.columns);
    kb.forLoop(kb.thread(), all, shape.threads(), [&](Value number) {
      Value f = kb.div(number, shape.columns), inSlab = kb.rem(number, kb.idx(shape.columns));
      body(f, kb.add(firstColumn(task), inSlab), stateLayout.element(kb, f, inSlab));
    });
  }

  Value hasFeature(Value f) { return kb.lt(f, kb.idx(shape.features)); }
  Value hasElement(Value f, Value e) {
    return arith::AndIOp::create(kb.b, kb.loc, hasFeature(f), kb.lt(e, kb.idx(shape.valueDim)));
  }

  /// From memory where it has the state, else 0.
  void fillState(const LinearBlockTask &task, Value fromMemory) {
    auto fill = [&](Value has, Value base, Value offset, llvm::function_ref<Value()> element) {
      if (fromMemory)
        has = arith::AndIOp::create(kb.b, kb.loc, has, fromMemory);
      Value x = kb.constF(0);
      if (fromMemory)
        x = kb.ifElse(
                  has, {kb.f32()}, [&]() -> Values { return {element()}; },
                  [&]() -> Values { return {x}; })
                .front();
      store(x, base, offset);
    };
    overState(task, [&](Value f, Value e, Value offset) {
      fill(hasElement(f, e), stateAt, offset, [&] { return loadState(task, f, e); });
    });
    if (shape.sums)
      overNorm([&](Value f, Value offset) {
        fill(hasFeature(f), normAt, offset, [&] { return loadNorm(task, f); });
      });
  }

  void storeAll(const LinearBlockTask &task, bool isFinal) {
    if (!isFinal || values.finalState)
      overState(task, [&](Value f, Value e, Value offset) {
        kb.ifThen(hasElement(f, e),
                  [&] { storeState(task, isFinal, f, e, loadFloat(stateAt, offset)); });
      });
    if (shape.sums && (!isFinal || values.finalNorm))
      overNorm([&](Value f, Value offset) {
        Value has = arith::AndIOp::create(kb.b, kb.loc, hasFeature(f), kb.eq(task.slab, kb.idx(0)));
        kb.ifThen(has, [&] { storeNorm(task, isFinal, f, loadFloat(normAt, offset)); });
      });
  }

  //===------------------------------------------------------------------------------------------===//
  // Results
  //===------------------------------------------------------------------------------------------===//

  /// 1 / denominator of every query of the chunk, by four threads each.
  void findFactors(Value position) {
    constexpr int64_t kThreads = 4;
    Value query = kb.div(kb.thread(), kThreads), mine = kb.rem(kb.thread(), kb.idx(kThreads));
    Value sum;
    if (normalised()) {
      Value queries = tileAt(at(0), Queries);
      Value parts =
          kb.forLoop(kb.mul(mine, kPatch), kb.idx(depth()), kThreads * kPatch, {kb.constF(0, four)},
                     [&](Value f, ValueRange parts) -> Values {
                       Value x = load(queries, layout(Queries).element(kb, query, f));
                       return {fma(x, load(normAt, kb.mul(f, kFloat)), parts[0])};
                     })
              .front();
      if (shape.gated)
        parts = mul(parts, vectorOf(Values(kPatch, gate(UpTo, query))));
      if (shape.causal)
        for (int64_t n = 0; n < kChunk; n += kThreads * kPatch) {
          Value key = kb.add(kb.mul(mine, kPatch), n);
          Value weights = load(weightsAt, weightLayout.element(kb, query, key));
          parts = arith::AddFOp::create(kb.b, kb.loc, parts, weights);
        }
      sum = part(parts, 0);
      for (int64_t i = 1; i < kPatch; ++i)
        sum = arith::AddFOp::create(kb.b, kb.loc, sum, part(parts, i));
      for (int64_t mask : {1, 2})
        sum = arith::AddFOp::create(kb.b, kb.loc, sum, kb.shuffleXor(sum, mask));
    }
    Value result = factor(sum, kb.add(position, query));
    kb.ifThen(kb.eq(mine, kb.idx(0)), [&] { store(result, factorsAt, kb.mul(query, kFloat)); });
  }

  void storeRows(const LinearBlockTask &task, Value position, ValueRange out) {
    Value first = kb.add(firstColumn(task), column);
    Type element = values.result.element;
    for (int64_t i = 0; i < kPatch; ++i) {
      Values results(out.slice(kPatch * i, kPatch));
      if (match.spec.norm != Weighting::None) {
        Value by = loadFloat(factorsAt, kb.mul(kb.add(row, i), kFloat));
        for (Value &x : results)
          x = arith::MulFOp::create(kb.b, kb.loc, x, by);
      }
      Value query = kb.add(kb.add(position, row), i), exists = kb.lt(query, values.queries);
      auto ifExists = [&](Value e, llvm::function_ref<void()> body) {
        Value has = kb.lt(e, kb.idx(shape.valueDim));
        kb.ifThen(arith::AndIOp::create(kb.b, kb.loc, exists, has), body);
      };
      if (storesChunks()) {
        ifExists(first, [&] {
          LLVM::StoreOp::create(kb.b, kb.loc, vectorOf(results), resultAt(task, query, first), 16);
        });
        continue;
      }
      for (int64_t j = 0; j < kPatch; ++j) {
        Value e = kb.add(first, j);
        ifExists(e, [&] { kb.store(fromF32(kb, results[j], element), resultAt(task, query, e)); });
      }
    }
  }
};

} // namespace

std::unique_ptr<LinearBlock> makeFloatLinearBlock(const LinearAttentionMatch &match,
                                                  const LinearBlockShape &shape, DeviceBuilder &kb,
                                                  const KernelArgs &args, Value shared) {
  return std::make_unique<FloatBlock>(match, shape, kb, args, shared);
}

} // namespace attune::codegen
