#include "attune/codegen/gpu/LinearAttentionTensor.h"

#include "attune/codegen/cpu/AttentionVector.h"

using namespace mlir;

namespace attune::codegen {

int64_t tensorLinearBytes(const LinearBlockShape &shape) {
  int64_t norm = shape.sums ? shape.rows * LinearTensorBlock::kNormColumns * 2 : 0;
  return shape.rows * shape.columns * 2 + norm + 16;
}

LinearTensorBlock::LinearTensorBlock(const LinearAttentionMatch &match,
                                     const LinearBlockShape &shape, DeviceBuilder &kb,
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

void LinearTensorBlock::states(const LinearBlockTask &task) {
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

void LinearTensorBlock::outputs(const LinearBlockTask &task) {
  makeLoaders(task, /*queries=*/true, shape.causal);
  Values sums = initial(task);
  Value back; // what undoes the scale of S
  if (!shape.causal) {
    back = publish(sums);
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

Value LinearTensorBlock::eights(Value eight, int64_t start) {
  return kb.add(kb.add(kb.mul(eight, 8), inEight), start);
}

Values LinearTensorBlock::overChunks(const LinearBlockTask &task, Values sums,
                                     llvm::function_ref<Values(Value, Value, Values)> body,
                                     llvm::function_ref<void(Values)> before) {
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

void LinearTensorBlock::finishRows(const LinearBlockTask &task, Value position, Value place,
                                   Values out) {
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

std::unique_ptr<LinearBlock> makeTensorLinearBlock(const LinearAttentionMatch &match,
                                                   const LinearBlockShape &shape, DeviceBuilder &kb,
                                                   const KernelArgs &args, Value shared) {
  return std::make_unique<LinearTensorBlock>(match, shape, kb, args, shared);
}

} // namespace attune::codegen
