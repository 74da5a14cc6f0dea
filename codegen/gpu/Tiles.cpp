#include "attune/codegen/gpu/Tiles.h"

#include "attune/codegen/cpu/GemmPack.h"

using namespace mlir;

namespace attune::codegen {

Value TileLayout::chunk(DeviceBuilder &kb, Value row, Value chunk) const {
  int64_t chunks = columns / perChunk();
  if (swizzled && fourRows) {
    assert(chunks % 8 == 0 && "rows have all banks");
    chunk = kb.b.createOrFold<arith::XOrIOp>(kb.loc, chunk, kb.mul(kb.rem(row, kb.idx(4)), 2));
  } else if (swizzled) {
    // Eight rows that follow each other have their chunks in eight different banks: rows of an odd
    // number of chunks do as they are, others need turns of a power of two that divides it.
    int64_t turns = std::min<int64_t>(chunks & -chunks, 8);
    Value turn = kb.rem(kb.div(row, 8 / turns), kb.idx(turns));
    chunk = kb.b.createOrFold<arith::XOrIOp>(kb.loc, chunk, turn);
  }
  return kb.mul(kb.add(kb.mul(row, chunks), chunk), 16);
}

Value TileLayout::element(DeviceBuilder &kb, Value row, Value column) const {
  Value start = chunk(kb, row, kb.div(column, perChunk()));
  return kb.add(start, kb.mul(kb.rem(column, kb.idx(perChunk())), elementBytes));
}

bool TileSource::chunksAlong(const GemmAxisSizes &axes, int64_t perChunk) const {
  if (!axes.back().stride.is(1) || !axes.back().extent.multipleOf(perChunk) ||
      !offset.multipleOf(perChunk))
    return false;
  for (const GemmAxisSizes *list : {&batch, &outer, &depth})
    for (const GemmAxisSize &axis : *list)
      if (&axis != &axes.back() && !axis.extent.is(1) && !axis.stride.multipleOf(perChunk))
        return false;
  return true;
}

static SmallVector<GemmAxis> valuesOf(Scope &scope, const GemmAxisSizes &sizes) {
  return llvm::map_to_vector(sizes, [&](const GemmAxisSize &axis) {
    return GemmAxis{scope.get(axis.extent), scope.get(axis.stride)};
  });
}

TileLoader::TileLoader(DeviceBuilder &kb, Scope &scope, const TileSource &source,
                       const TileLayout &layout, Type element, Value batch, Value first,
                       int64_t threads)
    : kb(kb), layout(layout), element(element), first(first),
      outerExtent(scope.get(source.outerExtent)), depthExtent(scope.get(source.depthExtent)),
      outer(valuesOf(scope, source.outer)), depth(valuesOf(scope, source.depth)), threads(threads) {
  chunks = layout.depthInside ? source.chunksAlongDepth(layout.perChunk())
                              : source.chunksAlongOuter(layout.perChunk());
  Value start =
      kb.add(scope.get(source.offset), axisOffset(kb, batch, valuesOf(scope, source.batch)));
  base = kb.gep(scope.input(source.input), start, element);
}

std::pair<Value, Value> TileLoader::locate(Value row, Value column, Value from) {
  Value o = kb.add(first, layout.depthInside ? row : column);
  Value d = kb.add(from, layout.depthInside ? column : row);
  Value exists = arith::AndIOp::create(kb.b, kb.loc, kb.lt(o, outerExtent), kb.lt(d, depthExtent));
  Value offset = kb.add(axisOffset(kb, o, outer), axisOffset(kb, d, depth));
  return {exists, kb.select(exists, offset, kb.idx(0))};
}

void TileLoader::load(Value from, Value place) {
  return chunks ? loadChunks(from, place) : loadElements(from, place);
}

void TileLoader::loadChunks(Value from, Value place) {
  int64_t perRow = layout.columns / layout.perChunk(), all = layout.rows * perRow;
  Type i32 = kb.b.getI32Type();
  for (int64_t start = 0; start < all; start += threads) {
    auto copy = [&] {
      Value number = kb.add(kb.thread(), start);
      Value row = kb.div(number, perRow), chunk = kb.rem(number, kb.idx(perRow));
      auto [exists, offset] = locate(row, kb.mul(chunk, layout.perChunk()), from);
      Value bytes = kb.select(exists, kb.constI(16, i32), kb.constI(0, i32));
      kb.copyAsync(kb.sharedAt(place, layout.chunk(kb, row, chunk)), kb.gep(base, offset, element),
                   bytes);
    };
    if (all - start >= threads)
      copy();
    else
      kb.ifThen(kb.lt(kb.thread(), kb.idx(all - start)), copy);
  }
}

void TileLoader::loadElements(Value from, Value place) {
  kb.forLoop(kb.thread(), kb.idx(layout.rows * layout.columns), threads, [&](Value number) {
    Value row = kb.div(number, layout.columns), column = kb.rem(number, kb.idx(layout.columns));
    auto [exists, offset] = locate(row, column, from);
    // Bits, whatever the type: they are only moved.
    Type bits = kb.b.getIntegerType(8 * layout.elementBytes);
    Value value = kb.select(exists, kb.load(bits, base, offset), kb.constI(0, bits));
    LLVM::StoreOp::create(kb.b, kb.loc, value, kb.sharedAt(place, layout.element(kb, row, column)));
  });
}

} // namespace attune::codegen
