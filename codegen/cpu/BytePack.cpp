#include "attune/codegen/cpu/BytePack.h"

#include "attune/codegen/cpu/ByteDistance.h"
#include "attune/codegen/cpu/GemmPack.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

static bool isOne(Value value) { return getConstantIntValue(value) == 1; }

BytePacker::BytePacker(KernelBuilder &kb, int64_t most) : kb(kb) {
  Value count = arith::ConstantOp::create(kb.b, kb.loc, kb.b.getI64IntegerAttr(most));
  pointers = LLVM::AllocaOp::create(kb.b, kb.loc, kb.ptr(), kb.ptr(), count, 8);
}

Value BytePacker::pointer(Value line) {
  return LLVM::LoadOp::create(kb.b, kb.loc, kb.ptr(), kb.gep(pointers, line, kb.ptr()), 8);
}

void BytePacker::pack(Value source, ArrayRef<GemmAxis> lines, ArrayRef<GemmAxis> depth,
                      Value depthExtent, Value first, Value limit, Value dst, Value width) {
  kb.forLoop(kb.idx(0), width, 1, [&](Value i) {
    Value line = kb.min(kb.add(first, i), kb.sub(limit, kb.idx(1)));
    Value address = kb.gep(source, axisOffset(kb, line, lines), kb.b.getI8Type());
    LLVM::StoreOp::create(kb.b, kb.loc, address, kb.gep(pointers, i, kb.ptr()), 8);
  });
  if (depth.size() == 1 && isOne(depth[0].stride))
    packGroups(depth, depthExtent, dst, width);
  else
    packBytes(depth, kb.idx(0), depthExtent, dst, width);
}

/// Bytes of the depth are neighbours: whole groups are copied.
void BytePacker::packGroups(ArrayRef<GemmAxis> depth, Value depthExtent, Value dst, Value width) {
  Value groups = kb.div(depthExtent, kByteGroup);
  Type i64 = kb.b.getI64Type();
  kb.forLoop(kb.idx(0), width, 1, [&](Value i) {
    Value line = pointer(i), to = kb.gep(dst, i, i64);
    kb.forLoop(kb.idx(0), groups, 1,
               [&](Value group) { kb.store(kb.load(i64, line, group), to, kb.mul(group, width)); });
  });
  packBytes(depth, kb.mul(groups, kByteGroup), depthExtent, dst, width);
}

/// The depth in [from, to), byte by byte; `from` is the first of a group.
void BytePacker::packBytes(ArrayRef<GemmAxis> depth, Value from, Value to, Value dst, Value width) {
  Type i8 = kb.b.getI8Type(), i64 = kb.b.getI64Type();
  kb.ifThen(kb.cmp(arith::CmpIPredicate::ne, kb.rem(to, kb.idx(kByteGroup)), kb.idx(0)), [&] {
    Value last = kb.mul(kb.div(to, kByteGroup), width);
    kb.forLoop(kb.idx(0), width, 1,
               [&](Value i) { kb.store(kb.constI(0, i64), dst, kb.add(last, i)); });
  });
  kb.forLoop(from, to, 1, [&](Value k) {
    Value offset = axisOffset(kb, k, depth), group = kb.mul(kb.div(k, kByteGroup), width);
    Value place = kb.add(kb.mul(group, kByteGroup), kb.rem(k, kb.idx(kByteGroup)));
    kb.forLoop(kb.idx(0), width, 1, [&](Value i) {
      kb.store(kb.load(i8, pointer(i), offset), dst, kb.add(place, kb.mul(i, kByteGroup)));
    });
  });
}

void BytePacker::packPanel(Value source, ArrayRef<GemmAxis> lines, ArrayRef<GemmAxis> depth,
                           Value depthExtent, Value first, Value limit, Value dst) {
  Value width = kb.idx(kPanelColumns);
  auto apart = [&] { pack(source, lines, depth, depthExtent, first, limit, dst, width); };
  if (!isOne(lines.back().stride) || isOne(depth.back().stride))
    return apart();
  // A panel within one row of the innermost axis.
  Value position = lines.size() == 1 ? first : kb.rem(first, lines.back().extent);
  Value end = lines.size() == 1 ? limit : lines.back().extent;
  Value side = kb.cmp(arith::CmpIPredicate::sle, kb.add(position, kPanelColumns), end);
  kb.ifElse(
      side, {},
      [&] {
        Value groups = kb.div(depthExtent, kByteGroup), from = kb.mul(groups, kByteGroup);
        Value line = kb.gep(source, axisOffset(kb, first, lines), kb.b.getI8Type());
        packAcross(line, depth, groups, dst);
        kb.forLoop(kb.idx(0), width, 1, [&](Value i) {
          LLVM::StoreOp::create(kb.b, kb.loc, kb.gep(line, i, kb.b.getI8Type()),
                                kb.gep(pointers, i, kb.ptr()), 8);
        });
        packBytes(depth, from, depthExtent, dst, width);
        return Values();
      },
      [&] {
        apart();
        return Values();
      });
}

/// Lines are neighbours: 8 vectors of them, transposed.
void BytePacker::packAcross(Value source, ArrayRef<GemmAxis> depth, Value groups, Value dst) {
  Type i8 = kb.b.getI8Type();
  kb.forLoop(kb.idx(0), groups, 1, [&](Value group) {
    Values rows;
    for (int64_t k = 0; k < kByteGroup; ++k)
      rows.push_back(kb.load(kb.vec(kPanelColumns, i8), source,
                             axisOffset(kb, kb.add(kb.mul(group, kByteGroup), k), depth)));
    // Pairs interleave until a vector holds the groups of two lines.
    auto interleave = [&](Value a, Value b, int64_t unit, bool high) {
      SmallVector<int64_t> lanes;
      int64_t half = kPanelColumns / 2;
      for (int64_t lane = high ? half : 0; lane < (high ? 2 * half : half); lane += unit)
        for (int64_t side : {int64_t(0), kPanelColumns})
          for (int64_t n = 0; n < unit; ++n)
            lanes.push_back(side + lane + n);
      return Value(vector::ShuffleOp::create(kb.b, kb.loc, a, b, lanes));
    };
    // After a round, vector `v` of `unit * 2` bytes a line: rows pair up, lines split in halves.
    SmallVector<Values> parts; // [row set][part of the lines]
    for (Value row : rows)
      parts.push_back({row});
    for (int64_t unit = 1; unit < kByteGroup; unit *= 2) {
      SmallVector<Values> next;
      for (size_t pair = 0; pair < parts.size(); pair += 2) {
        Values halves;
        for (auto [a, b] : llvm::zip(parts[pair], parts[pair + 1]))
          for (bool high : {false, true})
            halves.push_back(interleave(a, b, unit, high));
        next.push_back(halves);
      }
      parts = std::move(next);
    }
    Value to = kb.gep(dst, kb.mul(group, kByteGroup * kPanelColumns), i8);
    for (auto [n, lines] : llvm::enumerate(parts.front()))
      kb.store(lines, to, kb.idx(n * kPanelColumns));
  });
}

} // namespace attune::codegen
