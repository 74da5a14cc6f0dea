//===- Tiles.h - Tiles of matrices in shared memory -------------------------------------------===//
//
// An operand of a matrix product, [outer][depth] anywhere in global memory, is staged tile by tile:
// by asynchronous copies of 16 bytes where neighbours in memory allow, else element by element.
// What lies outside of the matrix is zero in the tile.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_TILES_H
#define ATTUNE_CODEGEN_GPU_TILES_H

#include "attune/codegen/cpu/GemmMatch.h"
#include "attune/codegen/gpu/DeviceBuilder.h"

namespace attune::codegen {

/// How a tile of [outer][depth] elements lies in shared memory: rows of `columns` elements, without
/// padding. Chunks of 16 bytes of a row may be swapped, so that a warp meets no bank twice that
/// reads chunks of eight rows (`ldmatrix`), or eight neighbours of 4 bytes in each of four rows.
struct TileLayout {
  int64_t rows, columns, elementBytes;
  bool depthInside; ///< columns run along the depth, rows along the outer axis
  bool swizzled;
  bool fourRows = false; ///< of a swizzle: for the latter

  int64_t perChunk() const { return 16 / elementBytes; }
  int64_t bytes() const { return rows * columns * elementBytes; }
  int64_t rowBytes() const { return columns * elementBytes; }
  /// The byte offset of a chunk. Chunks of rows that are a multiple of 8 apart are at the same
  /// place in them.
  mlir::Value chunk(DeviceBuilder &kb, mlir::Value row, mlir::Value chunk) const;
  mlir::Value element(DeviceBuilder &kb, mlir::Value row, mlir::Value column) const;
};

/// An operand in global memory, as sizes of the kernel.
struct TileSource {
  int64_t input; ///< of the kernel
  Size offset, outerExtent, depthExtent;
  GemmAxisSizes batch, outer, depth;

  /// Whether chunks along the depth (along the outer axis) are whole and aligned.
  bool chunksAlongDepth(int64_t perChunk) const { return chunksAlong(depth, perChunk); }
  bool chunksAlongOuter(int64_t perChunk) const { return chunksAlong(outer, perChunk); }

private:
  bool chunksAlong(const GemmAxisSizes &axes, int64_t perChunk) const;
};

/// Code that stages one operand, inside one function.
class TileLoader {
public:
  using Value = mlir::Value;
  /// `first`: the outer index of the tile; `threads` of a block take part.
  TileLoader(DeviceBuilder &kb, Scope &scope, const TileSource &source, const TileLayout &layout,
             mlir::Type element, Value batch, Value first, int64_t threads);

  /// Starts to bring the depths from `depth` on to `place` (shared memory). Copies may be under way
  /// until they are waited for.
  void load(Value depth, Value place);

private:
  void loadChunks(Value depth, Value place);
  void loadElements(Value depth, Value place);
  /// Whether an element exists, and its offset, of a tile's position.
  std::pair<Value, Value> locate(Value row, Value column, Value depth);

  DeviceBuilder &kb;
  const TileLayout &layout;
  mlir::Type element;
  Value base, first, outerExtent, depthExtent;
  llvm::SmallVector<GemmAxis> outer, depth;
  int64_t threads;
  bool chunks;
};

} // namespace attune::codegen
#endif
