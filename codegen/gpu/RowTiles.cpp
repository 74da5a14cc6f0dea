#include "attune/codegen/gpu/RowTiles.h"

using namespace mlir;

namespace attune::codegen {

static Value both(DeviceBuilder &kb, Value x, Value y) {
  return kb.b.createOrFold<arith::AndIOp>(kb.loc, x, y);
}

/// A position in the tile: the address in memory and, as bytes, in the tile.
struct Place {
  Value exists, address, inTile;
  int64_t behind = 0; ///< bytes behind `inTile`

  Value inShared(DeviceBuilder &kb, Value at) const {
    return kb.sharedAt(kb.sharedAt(at, inTile), kb.idx(behind));
  }
};

/// Calls `body` for the chunks of a tile that are a thread's.
static void forChunks(DeviceBuilder &kb, const RowMatrix &matrix, const TileLayout &tile,
                      int64_t threads, llvm::function_ref<void(const Place &)> body) {
  int64_t perRow = tile.columns / tile.perChunk(), all = tile.rows * perRow;
  // Where rows of chunks fit the threads, only the row differs from one chunk to the next: one
  // address, whose steps are the same for all threads.
  bool fits = threads % perRow == 0;
  int64_t step = threads / perRow;
  Value row0, chunk0, address0, left;
  auto visit = [&](int64_t start) {
    Value number = kb.add(kb.thread(), start);
    Value row = fits ? kb.add(row0, start / perRow) : kb.div(number, perRow);
    Value chunk = fits ? chunk0 : kb.rem(number, kb.idx(perRow));
    Value exists = kb.lt(row, left), column = kb.mul(chunk, tile.perChunk());
    if (matrix.columns < tile.columns)
      exists = both(kb, exists, kb.lt(column, kb.idx(matrix.columns)));
    Value address;
    if (fits && !matrix.offset) {
      address = kb.gep(address0, kb.mul(matrix.rowStride, start / perRow), matrix.element);
    } else {
      Value at = kb.add(matrix.first, row);
      at = matrix.offset ? matrix.offset(at) : kb.mul(at, matrix.rowStride);
      address = kb.gep(matrix.base, kb.add(at, column), matrix.element);
    }
    if (fits && step % 8 == 0)
      body({exists, address, tile.chunk(kb, row0, chunk), start / perRow * tile.rowBytes()});
    else
      body({exists, address, tile.chunk(kb, row, chunk)});
  };
  left = kb.sub(matrix.rows, matrix.first);
  if (fits) {
    row0 = kb.div(kb.thread(), perRow);
    chunk0 = kb.rem(kb.thread(), kb.idx(perRow));
    Value start = kb.mul(kb.add(matrix.first, row0), matrix.rowStride);
    address0 = kb.gep(matrix.base, kb.add(start, kb.mul(chunk0, tile.perChunk())), matrix.element);
  }
  for (int64_t start = 0; start < all; start += fits ? step * perRow : threads) {
    if (all - start >= threads)
      visit(start);
    else
      kb.ifThen(kb.lt(kb.thread(), kb.idx(all - start)), [&] { visit(start); });
  }
}

/// The same for elements.
static void forElements(DeviceBuilder &kb, const RowMatrix &matrix, const TileLayout &tile,
                        int64_t threads, llvm::function_ref<void(const Place &)> body) {
  kb.forLoop(kb.thread(), kb.idx(tile.rows * tile.columns), threads, [&](Value number) {
    Value row = kb.div(number, tile.columns), column = kb.rem(number, kb.idx(tile.columns));
    Value at = kb.add(matrix.first, row);
    Value exists = both(kb, kb.lt(at, matrix.rows), kb.lt(column, kb.idx(matrix.columns)));
    Value offset = matrix.offset ? matrix.offset(at) : kb.mul(at, matrix.rowStride);
    offset = kb.add(offset, kb.mul(column, matrix.columnStride));
    body({exists, kb.gep(matrix.base, offset, matrix.element), tile.element(kb, row, column)});
  });
}

/// Bits, whatever the type: they are only moved.
static Type bitsOf(DeviceBuilder &kb, Type element) {
  return kb.b.getIntegerType(element.getIntOrFloatBitWidth());
}

void loadRows(DeviceBuilder &kb, const RowMatrix &matrix, const TileLayout &tile, Value at,
              int64_t threads) {
  if (matrix.chunks) {
    // Where the number of bytes is 0, no address is read.
    Type i32 = kb.b.getI32Type();
    return forChunks(kb, matrix, tile, threads, [&](const Place &place) {
      kb.copyAsync(place.inShared(kb, at), place.address,
                   kb.select(place.exists, kb.constI(16, i32), kb.constI(0, i32)));
    });
  }
  Type bits = bitsOf(kb, matrix.element);
  forElements(kb, matrix, tile, threads, [&](const Place &place) {
    Value zero = kb.constI(0, bits);
    Value value = kb.ifElse(
        place.exists, bits, [&]() -> Values { return {kb.load(bits, place.address)}; },
        [&]() -> Values { return {zero}; })[0];
    LLVM::StoreOp::create(kb.b, kb.loc, value, place.inShared(kb, at));
  });
}

void storeRows(DeviceBuilder &kb, const RowMatrix &matrix, const TileLayout &tile, Value at,
               int64_t threads) {
  auto move = [&](Type type, unsigned align) {
    return [&kb, at, type, align](const Place &place) {
      kb.ifThen(place.exists, [&] {
        Value from = place.inShared(kb, at);
        Value value = LLVM::LoadOp::create(kb.b, kb.loc, type, from, align);
        LLVM::StoreOp::create(kb.b, kb.loc, value, place.address, align);
      });
    };
  };
  if (matrix.chunks)
    forChunks(kb, matrix, tile, threads, move(kb.vec(4, kb.b.getI32Type()), 16));
  else
    forElements(kb, matrix, tile, threads, move(bitsOf(kb, matrix.element), tile.elementBytes));
}

} // namespace attune::codegen
