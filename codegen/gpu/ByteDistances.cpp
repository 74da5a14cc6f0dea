#include "attune/codegen/gpu/ByteDistances.h"

using namespace mlir;

namespace attune::codegen {

/// Lanes of a warp next to and below each other. The others of a thread's rows and columns are as
/// many further on as all threads have, so that lanes meet no bank twice.
static constexpr int64_t kAcross = 8, kDown = DeviceBuilder::kWarp / kAcross;
static constexpr int64_t kChunk = 16, kWord = 4; ///< bytes

ByteDistances::ByteDistances(DeviceBuilder &kb, const GemmShape &shape, const TileLayout &a,
                             const TileLayout &b)
    : kb(kb), shape(shape), a(a), b(b) {
  Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
  Value warp = kb.div(kb.thread(), DeviceBuilder::kWarp);
  int64_t warpsAcross = shape.columns / shape.patch / kAcross;
  row = kb.add(kb.mul(kb.div(warp, warpsAcross), kDown), kb.div(lane, kAcross));
  column =
      kb.add(kb.mul(kb.rem(warp, kb.idx(warpsAcross)), kAcross), kb.rem(lane, kb.idx(kAcross)));
}

Value ByteDistances::rowOf(int64_t number) {
  return kb.add(row, number * (shape.rows / shape.patch));
}
Value ByteDistances::columnOf(int64_t number) {
  return kb.add(column, number * (shape.columns / shape.patch));
}

/// sum + the distances of the four bytes of two words.
static Value addDistances(KernelBuilder &kb, Value x, Value y, Value sum) {
  return LLVM::InlineAsmOp::create(
             kb.b, kb.loc, sum.getType(), ValueRange{x, y, sum},
             "vabsdiff4.u32.u32.u32.add $0, $1, $2, $3;", "=r,r,r,r", /*has_side_effects=*/false,
             /*is_align_stack=*/false, LLVM::TailCallKind::None,
             LLVM::AsmDialectAttr::get(kb.b.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr())
      .getResult(0);
}

Values ByteDistances::add(Value aAt, Value bAt, ValueRange carried) {
  Type words = kb.vec(kChunk / kWord, kb.b.getI32Type());
  auto load = [&](Value base, Value offset) -> Value {
    return LLVM::LoadOp::create(kb.b, kb.loc, words, kb.sharedAt(base, offset), kChunk);
  };
  Values sums(carried);
  for (int64_t chunk = 0; chunk < shape.depth / kChunk; ++chunk) {
    Values rows;
    for (int64_t i = 0; i < shape.patch; ++i)
      rows.push_back(load(aAt, a.chunk(kb, rowOf(i), kb.idx(chunk))));
    for (int64_t j = 0; j < shape.patch; ++j) {
      Value own = load(bAt, b.chunk(kb, columnOf(j), kb.idx(chunk)));
      for (int64_t word = 0; word < kChunk / kWord; ++word) {
        Value y = vector::ExtractOp::create(kb.b, kb.loc, own, word);
        for (auto [i, row] : llvm::enumerate(rows)) {
          Value x = vector::ExtractOp::create(kb.b, kb.loc, row, word);
          Value &sum = sums[shape.patch * i + j];
          sum = addDistances(kb, x, y, sum);
        }
      }
    }
  }
  return sums;
}

void ByteDistances::store(GemmResults &results, Value memory, ValueRange sums) {
  Value zero = kb.constI(0, kb.b.getI32Type());
  for (int64_t i = 0; i < shape.patch; ++i)
    for (int64_t j = 0; j < shape.patch; ++j) {
      Value sum = arith::SubIOp::create(kb.b, kb.loc, zero, sums[shape.patch * i + j]);
      results.put(memory, rowOf(i), columnOf(j), sum);
    }
}

} // namespace attune::codegen
