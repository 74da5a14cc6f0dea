#include "attune/codegen/gpu/AttentionFunction.h"

#include "attune/codegen/cpu/AttentionVector.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

/// A few blocks for each of about a hundred multiprocessors, of not too few keys each.
static constexpr int64_t kBlocks = 512, kLeastKeys = 128;

AttentionShape AttentionShape::split(const AttentionPlan &plan) {
  return {1, 1, plan.query->element.isF32() ? 16 : 32, true};
}

template <typename Op> static Value inShort(KernelBuilder &kb, Value x, Value y) {
  auto narrow = [&](Value x) {
    return kb.b.createOrFold<arith::IndexCastOp>(kb.loc, kb.b.getI32Type(), x);
  };
  Value result = kb.b.createOrFold<Op>(kb.loc, narrow(x), narrow(y));
  return kb.b.createOrFold<arith::IndexCastOp>(kb.loc, kb.index(), result);
}

Value shortDiv(KernelBuilder &kb, Value x, Value y) { return inShort<arith::DivUIOp>(kb, x, y); }
Value shortRem(KernelBuilder &kb, Value x, Value y) { return inShort<arith::RemUIOp>(kb, x, y); }

AttentionSplit::AttentionSplit(KernelBuilder &kb, const AttentionExtents &extents,
                               const AttentionShape &shape) {
  Value one = kb.idx(1);
  auto ceilDiv = [&](Value x, Value y) { return shortDiv(kb, kb.sub(kb.add(x, y), one), y); };
  group = shortDiv(kb, extents.heads, kb.max(one, extents.kvHeads));
  rows = kb.mul(group, extents.queries);
  rowTiles = kb.ceilDiv(rows, shape.rows());
  Value blocks = kb.mul(kb.mul(extents.batch, extents.kvHeads), rowTiles);
  blocks = kb.max(one, kb.min(blocks, kb.idx(kBlocks)));
  Value most = shortDiv(kb, kb.idx(kBlocks), blocks);
  chunkKeys = kb.max(kb.idx(kLeastKeys), kb.roundUp(ceilDiv(extents.keys, most), shape.keys));
  chunks = kb.max(one, ceilDiv(extents.keys, chunkKeys));
}

namespace {

class Combine : public AttentionFunction {
public:
  using AttentionFunction::AttentionFunction;

  /// A block has a row, its threads have columns.
  void build(Value buffer) {
    AttentionSplit split(kb, extents(), AttentionShape::split(plan));
    Value row = kb.block(0), n = shortRem(kb, row, values.queries);
    Value head = shortDiv(kb, row, values.queries);
    Value b = shortDiv(kb, head, values.heads), h = shortRem(kb, head, values.heads);
    Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp)), column = kb.thread();
    auto floatOf = [&](Value chunk, Value place) {
      return kb.load(kb.f32(), partial(buffer, split, b, h, n, chunk), place);
    };
    Value greatestAt = kb.idx(plan.valueDim), sumAt = kb.idx(plan.valueDim + 1);

    constexpr double kInf = std::numeric_limits<double>::infinity();
    Value greatest = kb.forLoop(lane, split.chunks, DeviceBuilder::kWarp, {kb.constF(-kInf)},
                                [&](Value chunk, ValueRange carried) -> Values {
                                  return {greater(floatOf(chunk, greatestAt), carried[0])};
                                })[0];
    greatest = kb.acrossWarp(greatest, [&](Value x, Value y) { return greater(x, y); });
    Value shift = shiftOf(greatest);
    // Neither a column nor a chunk is missing where threads are no multiple of them.
    Value inside = kb.min(column, kb.idx(plan.valueDim - 1));
    Values sums = kb.forLoop(kb.idx(0), split.chunks, 1, {kb.constF(0), kb.constF(0)},
                             [&](Value chunk, ValueRange carried) -> Values {
                               Value factor = weight(floatOf(chunk, greatestAt), shift);
                               return {add(carried[0], multiply(factor, floatOf(chunk, inside))),
                                       add(carried[1], multiply(factor, floatOf(chunk, sumAt)))};
                             });
    if (values.result)
      kb.ifThen(kb.lt(column, kb.idx(plan.valueDim)), [&] {
        Value scaled = context.scaled(sums[0], context.factor(sums[1]));
        kb.store(fromF32(kb, scaled, values.result.element),
                 context.at(values.result, b, h, n, column));
      });
    if (values.lse)
      kb.ifThen(kb.eq(column, kb.idx(0)), [&] { storeLse(b, h, n, greatest, sums[1]); });
  }
};

} // namespace

int64_t attentionCombineThreads(const AttentionPlan &plan) {
  return llvm::alignTo(plan.valueDim, DeviceBuilder::kWarp);
}

void buildAttentionCombine(DeviceBuilder &kb, const KernelArgs &args, AttentionPlan &plan,
                           int64_t partials) {
  Combine(kb, plan, args).build(kb.buffer(args, partials));
}

} // namespace attune::codegen
