#include "attune/codegen/gpu/AttentionFragments.h"

using namespace mlir;

namespace attune::codegen {

static Value intrinsic(DeviceBuilder &kb, StringRef name, Type type, ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(kb.b, kb.loc, type, kb.b.getStringAttr(name), operands)
      .getResult(0);
}

AttentionFragments::AttentionFragments(DeviceBuilder &kb, Type element)
    : kb(kb), element(element), fragments(kb, element) {
  Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp)), matrix = kb.div(lane, 8);
  inEight = kb.rem(lane, kb.idx(8));
  low = kb.mul(kb.rem(matrix, kb.idx(2)), 8);
  high = kb.mul(kb.div(matrix, 2), 8);
  group = kb.div(lane, 4);
  inGroup = kb.rem(lane, kb.idx(4));
}

/// The address of a chunk `rows` (a multiple of 8) further down: what lanes add to a tile's address
/// is the same for all rows.
static Value below(DeviceBuilder &kb, Value at, const TileLayout &tile, Value inTile,
                   int64_t rows) {
  return kb.sharedAt(kb.sharedAt(at, inTile), kb.idx(rows * tile.rowBytes()));
}

Fragments::Operand AttentionFragments::queries(Value at, const TileLayout &tile, Value first,
                                               int64_t step) {
  Value row = kb.add(first, kb.add(low, inEight)), chunk = kb.add(kb.div(high, 8), 2 * step);
  return fragments.operand(fragments.load(kb.sharedAt(at, tile.chunk(kb, row, chunk)), false));
}

std::array<Fragments::Operand, 2> AttentionFragments::keys(Value at, const TileLayout &tile,
                                                           int64_t first, int64_t step) {
  Value row = kb.add(high, inEight), chunk = kb.add(kb.div(low, 8), 2 * step);
  Values words = fragments.load(below(kb, at, tile, tile.chunk(kb, row, chunk), first), false);
  return {fragments.operand(ValueRange(words).take_front(2)),
          fragments.operand(ValueRange(words).drop_front(2))};
}

std::array<Fragments::Operand, 2> AttentionFragments::values(Value at, const TileLayout &tile,
                                                             int64_t column, int64_t step) {
  if (!element.isF32()) {
    Value row = kb.add(low, inEight), chunk = kb.add(kb.div(high, 8), column / 8);
    Values words = fragments.load(below(kb, at, tile, tile.chunk(kb, row, chunk), 16 * step), true);
    return {fragments.operand(ValueRange(words).take_front(2)),
            fragments.operand(ValueRange(words).drop_front(2))};
  }
  std::array<Fragments::Operand, 2> operands;
  for (int64_t half = 0; half < 2; ++half) {
    Values floats;
    for (int64_t next = 0; next < 2; ++next) {
      Value row = kb.add(kb.mul(inGroup, 2), next);
      Value place = tile.element(kb, row, kb.add(group, column + 8 * half));
      place = below(kb, at, tile, place, 8 * step);
      floats.push_back(LLVM::LoadOp::create(kb.b, kb.loc, kb.f32(), place, 4));
    }
    operands[half] = fragments.split(floats);
  }
  return operands;
}

Fragments::Operand AttentionFragments::weights(ValueRange sums, int64_t step) {
  if (element.isF32()) {
    ValueRange of = sums.slice(4 * step, 4);
    return fragments.split({of[0], of[2], of[1], of[3]});
  }
  Fragments::Operand operand;
  StringRef name = element.isF16() ? "llvm.nvvm.ff2f16x2.rn" : "llvm.nvvm.ff2bf16x2.rn";
  for (int64_t i = 0; i < 8; i += 2) {
    ValueRange pair = sums.slice(8 * step + i, 2);
    Value packed = intrinsic(kb, name, kb.vec(2, element), {pair[1], pair[0]});
    operand.high.push_back(LLVM::BitcastOp::create(kb.b, kb.loc, kb.b.getI32Type(), packed));
  }
  return operand;
}

} // namespace attune::codegen
