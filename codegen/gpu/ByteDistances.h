//===- ByteDistances.h - Sums of distances of bytes in tiles of a product ---------------------===//
//
// What a block does with tiles of bytes (Tiles.h, both with the depth inside) in the place of
// products: `vabsdiff4` adds the distances of four bytes to an i32. A thread has `patch` rows and
// columns of the tile; a warp reads eight neighbouring columns and four rows at a time.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_BYTEDISTANCES_H
#define ATTUNE_CODEGEN_GPU_BYTEDISTANCES_H

#include "attune/codegen/gpu/GemmResults.h"

namespace attune::codegen {

class ByteDistances {
public:
  using Value = mlir::Value;
  ByteDistances(DeviceBuilder &kb, const GemmShape &shape, const TileLayout &a,
                const TileLayout &b);

  /// The thread's sums, and a tile's distances; row by row.
  Values add(Value aAt, Value bAt, mlir::ValueRange sums);
  /// Puts the negative sums to `memory`.
  void store(GemmResults &results, Value memory, mlir::ValueRange sums);

private:
  Value rowOf(int64_t number);
  Value columnOf(int64_t number);

  DeviceBuilder &kb;
  const GemmShape &shape;
  const TileLayout &a, &b;
  Value row, column; ///< the first ones of the thread
};

} // namespace attune::codegen
#endif
