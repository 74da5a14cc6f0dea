// Tiles of operands in shared memory, several of them in flight by asynchronous copies. f16 and
// bf16 are multiplied by mma.sync, f32 by fused multiply-add or as tf32 by mma.sync; or distances
// are summed, of f32 or of bytes.
#include "attune/codegen/gpu/ByteDistances.h"
#include "attune/codegen/gpu/Fragments.h"
#include "attune/codegen/gpu/GemmResults.h"

using namespace mlir;

namespace attune::codegen {
namespace {

struct GemmLayouts {
  TileLayout a, b;
  int64_t stage() const { return a.bytes() + b.bytes(); }
};

GemmLayouts layoutsOf(const GemmKernel &kernel, const GemmShape &shape) {
  int64_t bytes = kernel.elementBytes();
  bool tensorCores = shape.kind == GemmShape::Warps;
  bool inside =
      shape.kind == GemmShape::Bytes || (tensorCores && kernel.b.chunksAlongDepth(16 / bytes));
  return {{shape.rows, shape.depth, bytes, /*depthInside=*/true, /*swizzled=*/true},
          inside ? TileLayout{shape.columns, shape.depth, bytes, true, true}
                 : TileLayout{shape.depth, shape.columns, bytes, false, tensorCores,
                              /*fourRows=*/kernel.element.isF32()}};
}

/// The part of the tile whose sums are stored at a time: 16 rows of each warp.
int64_t slabs(const GemmShape &shape) {
  return shape.kind == GemmShape::Warps ? shape.warpRows() / 16 : 1;
}
int64_t slabRows(const GemmShape &shape) { return shape.rows / slabs(shape); }

class TileCode {
public:
  TileCode(DeviceBuilder &kb, const GemmKernel &kernel, const GemmShape &shape)
      : kb(kb), shape(shape), fragments(kb, kernel.element, kernel.math),
        distance(kernel.g.product.distance), tiles(layoutsOf(kernel, shape)) {}

  Values multiply(Value aAt, Value bAt, ValueRange sums) {
    if (shape.kind == GemmShape::Bytes)
      return bytes().add(aAt, bAt, sums);
    return shape.kind == GemmShape::Warps ? multiplyTensors(aAt, bAt, sums)
                                          : multiplyFloats(aAt, bAt, sums);
  }
  void store(GemmResults &results, Value memory, int64_t slab, ValueRange sums) {
    if (shape.kind == GemmShape::Bytes)
      return bytes().store(results, memory, sums);
    shape.kind == GemmShape::Warps ? storeTensors(results, memory, slab, sums)
                                   : storeFloats(results, memory, sums);
  }
  /// The row of the tile that a row of a slab is.
  Value rowInTile(int64_t slab, Value row) {
    if (shape.kind != GemmShape::Warps)
      return row;
    Value warp = kb.mul(kb.div(row, 16), shape.warpRows());
    return kb.add(kb.add(warp, kb.rem(row, kb.idx(16))), 16 * slab);
  }

private:
  DeviceBuilder &kb;
  const GemmShape &shape;
  Fragments fragments; ///< of tensor cores
  bool distance;       ///< terms are -|a - b|

public:
  const GemmLayouts tiles;

private:
  ByteDistances bytes() { return {kb, shape, tiles.a, tiles.b}; }

  //===------------------------------------------------------------------------------------------===//
  // Tensor cores
  //===------------------------------------------------------------------------------------------===//

  struct Place {
    Value warpRow, warpColumn, inEight, low, high; ///< the last two: bits of the matrix number
  };
  Place place() {
    Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
    Value warp = kb.div(kb.thread(), DeviceBuilder::kWarp), matrix = kb.div(lane, 8);
    return {kb.div(warp, shape.across), kb.rem(warp, kb.idx(shape.across)), kb.rem(lane, kb.idx(8)),
            kb.rem(matrix, kb.idx(2)), kb.div(matrix, 2)};
  }

  using Operand = Fragments::Operand;

  /// Rows [first, first + 16) of A, in the depths of a step.
  Operand rowsOf(Value aAt, const Place &at, Value first, int64_t step) {
    Value row = kb.add(first, kb.add(kb.mul(at.low, 8), at.inEight));
    Value chunk = kb.add(at.high, 2 * step);
    return fragments.operand(
        fragments.load(kb.sharedAt(aAt, tiles.a.chunk(kb, row, chunk)), false));
  }

  /// Columns [first, first + 8) of B and the next 8, in the depths of a step.
  std::array<Operand, 2> columnsOf(Value bAt, const Place &at, Value first, int64_t step) {
    const TileLayout &tile = tiles.b;
    if (!tile.depthInside && tile.fourRows)
      return {floatsOf(bAt, first, step), floatsOf(bAt, kb.add(first, 8), step)};
    Value row, chunk;
    if (tile.depthInside) {
      row = kb.add(first, kb.add(kb.mul(at.high, 8), at.inEight));
      chunk = kb.add(at.low, 2 * step);
    } else {
      row = kb.add(kb.add(kb.mul(at.low, 8), at.inEight), fragments.depth() * step);
      chunk = kb.add(kb.div(first, 8), at.high);
    }
    Value address = kb.sharedAt(bAt, tile.chunk(kb, row, chunk));
    Values words = fragments.load(address, !tile.depthInside);
    return {fragments.operand(ValueRange(words).take_front(2)),
            fragments.operand(ValueRange(words).drop_front(2))};
  }

  /// Columns [first, first + 8) of f32, which `ldmatrix` cannot transpose.
  Operand floatsOf(Value bAt, Value first, int64_t step) {
    Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
    Value column = kb.add(first, kb.div(lane, 4)), inFour = kb.rem(lane, kb.idx(4));
    Values floats;
    for (int64_t half = 0; half < 2; ++half) {
      Value row = kb.add(inFour, fragments.depth() * step + 4 * half);
      Value address = kb.sharedAt(bAt, tiles.b.element(kb, row, column));
      floats.push_back(LLVM::LoadOp::create(kb.b, kb.loc, kb.f32(), address, 4));
    }
    return fragments.split(floats);
  }

  Values multiplyTensors(Value aAt, Value bAt, ValueRange carried) {
    Place at = place();
    Values sums(carried);
    int64_t across = shape.warpColumns() / 8;
    Value firstRow = kb.mul(at.warpRow, shape.warpRows());
    Value firstColumn = kb.mul(at.warpColumn, shape.warpColumns());
    for (int64_t step = 0; step < shape.depth / fragments.depth(); ++step) {
      SmallVector<Operand> rows;
      for (int64_t i = 0; i < shape.warpRows(); i += 16)
        rows.push_back(rowsOf(aAt, at, kb.add(firstRow, i), step));
      for (int64_t j = 0; j < shape.warpColumns(); j += 16)
        for (auto [half, column] :
             llvm::enumerate(columnsOf(bAt, at, kb.add(firstColumn, j), step)))
          for (auto [i, row] : llvm::enumerate(rows)) {
            int64_t first = 4 * (int64_t(i) * across + j / 8 + int64_t(half));
            llvm::copy(fragments.multiply(row, column, ValueRange(sums).slice(first, 4)),
                       sums.begin() + first);
          }
    }
    return sums;
  }

  /// The rows 16 * slab and on of all rows of warps, one below the other.
  void storeTensors(GemmResults &results, Value memory, int64_t slab, ValueRange sums) {
    Value lane = kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp));
    Place at = place();
    Value row = kb.add(kb.mul(at.warpRow, 16), kb.div(lane, 4));
    Value column =
        kb.add(kb.mul(at.warpColumn, shape.warpColumns()), kb.mul(kb.rem(lane, kb.idx(4)), 2));
    int64_t across = shape.warpColumns() / 8;
    for (int64_t j = 0; j < across; ++j)
      for (int64_t half = 0; half < 2; ++half) {
        ValueRange pair = sums.slice(4 * (slab * across + j) + 2 * half, 2);
        results.put(memory, kb.add(row, 8 * half), kb.add(column, 8 * j), pair);
      }
  }

  //===------------------------------------------------------------------------------------------===//
  // Fused multiply-add
  //===------------------------------------------------------------------------------------------===//

  /// A thread's sums are those of fours of rows and columns, the next four a part of the tile
  /// further: threads read neighbouring fours.
  static constexpr int64_t kFour = 4;
  Value rowOf(int64_t number) {
    Value four = kb.div(kb.thread(), shape.columns / shape.patch);
    return kb.add(kb.mul(four, kFour), inTile(number, shape.rows));
  }
  Value columnOf(int64_t number) {
    Value four = kb.rem(kb.thread(), kb.idx(shape.columns / shape.patch));
    return kb.add(kb.mul(four, kFour), inTile(number, shape.columns));
  }
  int64_t inTile(int64_t number, int64_t extent) const {
    return number / kFour * (extent * kFour / shape.patch) + number % kFour;
  }

  Value addTerm(Value a, Value b, Value sum) {
    if (!distance)
      return math::FmaOp::create(kb.b, kb.loc, a, b, sum);
    Value gap = arith::SubFOp::create(kb.b, kb.loc, a, b);
    return arith::SubFOp::create(kb.b, kb.loc, sum, math::AbsFOp::create(kb.b, kb.loc, gap));
  }

  Values multiplyFloats(Value aAt, Value bAt, ValueRange carried) {
    Type four = kb.vec(kFour);
    Values sums(carried);
    auto load = [&](Value base, Value offset) {
      return LLVM::LoadOp::create(kb.b, kb.loc, four, kb.sharedAt(base, offset), 16).getResult();
    };
    auto part = [&](Value vector, int64_t i) -> Value {
      return vector::ExtractOp::create(kb.b, kb.loc, vector, i);
    };
    for (int64_t k = 0; k < shape.depth; k += kFour) {
      Values rows;
      for (int64_t i = 0; i < shape.patch; ++i)
        rows.push_back(load(aAt, tiles.a.element(kb, rowOf(i), kb.idx(k))));
      for (int64_t d = 0; d < kFour; ++d)
        for (int64_t j = 0; j < shape.patch; j += kFour) {
          Value columns = load(bAt, tiles.b.element(kb, kb.idx(k + d), columnOf(j)));
          for (int64_t i = 0; i < shape.patch; ++i)
            for (int64_t c = 0; c < kFour; ++c) {
              Value &sum = sums[shape.patch * i + j + c];
              sum = addTerm(part(rows[i], d), part(columns, c), sum);
            }
        }
    }
    return sums;
  }

  void storeFloats(GemmResults &results, Value memory, ValueRange sums) {
    for (int64_t i = 0; i < shape.patch; ++i)
      for (int64_t j = 0; j < shape.patch; j += kFour)
        results.put(memory, rowOf(i), columnOf(j), sums.slice(shape.patch * i + j, kFour));
  }
};

} // namespace

int64_t tileGemmBytes(const GemmKernel &kernel, const GemmShape &shape) {
  return std::max(shape.stages * layoutsOf(kernel, shape).stage(),
                  GemmResults::bytes(slabRows(shape), shape.columns));
}

bool buildTileGemm(DeviceBuilder &kb, const KernelArgs &args, const GemmKernel &kernel,
                   const GemmChoice &choice) {
  const GemmShape &shape = choice.shape;
  Scope scope(kernel.sizes, kb, args);
  GemmResults results(kb, scope, kernel, shape.columns);
  GemmBlock block = GemmBlock::of(kb, scope, kernel, choice);
  TileCode code(kb, kernel, shape);
  const TileLayout &aTile = code.tiles.a, &bTile = code.tiles.b;
  TileLoader aLoader(kb, scope, kernel.a, aTile, kernel.element, block.batch, block.row,
                     shape.threads());
  TileLoader bLoader(kb, scope, kernel.b, bTile, kernel.element, block.batch, block.column,
                     shape.threads());
  Value memory = kb.dynamicShared(kernel.device), stages = kb.idx(shape.stages);
  auto place = [&](Value number) {
    return kb.sharedAt(memory, kb.mul(number, code.tiles.stage()));
  };
  auto load = [&](Value tile, Value number) {
    Value at = place(number), depth = kb.mul(tile, shape.depth);
    aLoader.load(depth, at);
    bLoader.load(depth, kb.sharedAt(at, kb.idx(aTile.bytes())));
  };

  for (int64_t i = 0; i < shape.stages - 1; ++i) {
    load(kb.add(block.firstTile, i), kb.idx(i));
    kb.commitCopies();
  }
  Value zero = arith::ConstantOp::create(kb.b, kb.loc, kb.b.getZeroAttr(kernel.sumType()));
  Values zeros(shape.rows * shape.columns / shape.threads(), zero);
  Value count = kb.sub(block.endTile, block.firstTile);
  Values sums = kb.forLoop(kb.idx(0), count, 1, zeros, [&](Value tile, ValueRange carried) {
    kb.waitForCopies(shape.stages - 2);
    kb.barrier();
    // The stage that the block has just left.
    Value next = kb.add(tile, shape.stages - 1);
    kb.ifThen(kb.lt(next, count),
              [&] { load(kb.add(block.firstTile, next), kb.rem(next, stages)); });
    kb.commitCopies();
    Value at = place(kb.rem(tile, stages));
    return code.multiply(at, kb.sharedAt(at, kb.idx(aTile.bytes())), carried);
  });
  kb.waitForCopies(0);
  for (int64_t slab = 0; slab < slabs(shape); ++slab) {
    kb.barrier();
    code.store(results, memory, slab, sums);
    kb.barrier();
    results.finish(memory, kb.thread(), shape.threads(), slabRows(shape), block,
                   choice.mostParts > 1,
                   [&](Value row) { return kb.add(block.row, code.rowInTile(slab, row)); });
  }
  return results.valid();
}

} // namespace attune::codegen
