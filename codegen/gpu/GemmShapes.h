//===- GemmShapes.h - How blocks of a matrix product work, and when ---------------------------===//
//
// The table of tiles, from the most to the least special. Sizes that are known while compiling rule
// tiles out; among those that are left, the host chooses for every call, by the rows and by how
// many blocks there are to fill the GPU with. What is chosen depends on sizes only, so that the
// same call gives the same bits.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_GEMMSHAPES_H
#define ATTUNE_CODEGEN_GPU_GEMMSHAPES_H

#include "attune/codegen/cpu/GemmMatch.h"
#include "attune/codegen/gpu/Target.h"

namespace attune::codegen {

/// The tile of a block, and who computes it.
struct GemmShape {
  enum Kind {
    Floats,    ///< fused multiply-add; threads have `patch` x `patch` sums
    Bytes,     ///< distances of bytes, sums as with `Floats`
    Warps,     ///< mma.sync: `down` x `across` warps, each on an equal part of the tile
    WarpGroups ///< wgmma: 4 warps for every 64 rows, one warp more copies
  } kind;
  int64_t rows, columns, depth, stages;
  int64_t down = 1, across = 1, patch = 0;
  /// Blocks that a multiprocessor should have registers for; 0: as ptxas likes. Left alone, it may
  /// spill a few registers to have room for more blocks.
  int64_t blocksTogether = 0;

  int64_t threads() const;
  int64_t warpRows() const { return rows / down; }
  int64_t warpColumns() const { return columns / across; }
};

/// Extents as values of a function.
struct GemmExtents {
  mlir::Value batch, m, n, k;
};

/// A tile that a product may take.
struct GemmChoice {
  GemmShape shape;
  int64_t mostRows;    ///< of the product; 0: any
  int64_t fewestTiles; ///< of the grid; 0: any
  int64_t mostParts;   ///< that the depth may be cut into, a power of two; 1: it is not cut
};

class GemmChoices {
public:
  using Value = mlir::Value;
  /// Of operands of type `element`; `mapped`: tensor maps describe both. Never empty; the last one
  /// is always possible.
  static llvm::SmallVector<GemmChoice> of(const GpuTarget &gpu, const GemmMatch &g,
                                          mlir::Type element, bool tensorCores, bool mapped);

  /// Which of `choices` a call takes, as an index value.
  static Value chosen(mlir::OpBuilder &b, mlir::Location loc, llvm::ArrayRef<GemmChoice> choices,
                      const GemmExtents &extents);
  /// Tiles of one batch.
  static Value tiles(mlir::OpBuilder &b, mlir::Location loc, const GemmShape &shape,
                     const GemmExtents &extents);
  /// Parts of the depth, each summed by a block of its own.
  static Value parts(mlir::OpBuilder &b, mlir::Location loc, const GemmChoice &choice,
                     const GemmExtents &extents);
};

} // namespace attune::codegen
#endif
