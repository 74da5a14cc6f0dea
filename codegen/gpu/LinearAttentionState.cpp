#include "attune/codegen/gpu/LinearAttentionTensor.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

void LinearTensorBlock::overState(llvm::function_ref<void(int64_t, Value, Value)> body) {
  for (int64_t tile = 0; tile < tiles; ++tile)
    for (int64_t j = 0; j < perTile; ++j)
      for (int64_t half = 0; half < 2; ++half) {
        Value f = kb.add(kb.add(featuresOf(tile), row), 8 * half);
        body(4 * (tile * perTile + j) + 2 * half, f, j < across ? kb.add(pair, 8 * j) : Value());
      }
}

Values LinearTensorBlock::initial(const LinearBlockTask &task) {
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

void LinearTensorBlock::storeAll(const LinearBlockTask &task, bool isFinal, ValueRange sums) {
  overState([&](int64_t first, Value f, Value column) {
    Value has = kb.lt(f, kb.idx(shape.features));
    if (!column) {
      Value mine =
          arith::AndIOp::create(kb.b, kb.loc, kb.eq(pair, kb.idx(0)), kb.eq(task.slab, kb.idx(0)));
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

void LinearTensorBlock::noteLargest(ValueRange sums) {
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
  most =
      kb.ifElse(
            isInfinite(most), {kb.f32()}, [&]() -> Values { return {largest(/*ofFinite=*/true)}; },
            [&]() -> Values { return {most}; })
          .front();
  kb.ifThen(kb.eq(lane, kb.idx(0)), [&] {
    LLVM::StoreOp::create(kb.b, kb.loc, most, kb.sharedAt(mostAt, kb.mul(warp, 4)), 4);
  });
}

std::pair<Value, Value> LinearTensorBlock::scale() {
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

Value LinearTensorBlock::publish(ValueRange sums) {
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

} // namespace attune::codegen
