//===- RowTiles.h - Rows of matrices through shared memory ------------------------------------===//
//
// Whole rows, as queries, keys, values and results of attention are. Rows and columns that are
// missing are zero in the tile. Copies go by 16 bytes where `chunks` says so, else element
// by element.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_ROWTILES_H
#define ATTUNE_CODEGEN_GPU_ROWTILES_H

#include "attune/codegen/gpu/Tiles.h"

namespace attune::codegen {

struct RowMatrix {
  mlir::Value base; ///< address of row 0
  mlir::Value rowStride, columnStride;
  mlir::Value first, rows; ///< of the tile's first row, and where rows end
  int64_t columns;         ///< that exist in memory
  mlir::Type element;
  bool chunks; ///< rows consist of whole, aligned chunks of 16 bytes
  /// The offset of a row in elements, where rows are not `rowStride` apart.
  std::function<mlir::Value(mlir::Value row)> offset = {};
};

/// Starts to bring rows to a tile; copies may be under way until they are waited for.
void loadRows(DeviceBuilder &kb, const RowMatrix &matrix, const TileLayout &tile, mlir::Value at,
              int64_t threads);
/// Writes the rows of a tile that exist.
void storeRows(DeviceBuilder &kb, const RowMatrix &matrix, const TileLayout &tile, mlir::Value at,
               int64_t threads);

} // namespace attune::codegen
#endif
