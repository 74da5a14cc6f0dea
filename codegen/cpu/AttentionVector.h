//===- AttentionVector.h - Register-level pieces of the attention kernel ----------------------===//
//
// Products of register tiles, exponentials, transposes between row-major tensors and panels.
// Internal to codegen/cpu/Attention*.cpp.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ATTENTIONVECTOR_H
#define ATTUNE_CODEGEN_CPU_ATTENTIONVECTOR_H

#include "attune/codegen/cpu/Attention.h"

namespace attune::codegen {

/// acc[r * vectors + v] + sum over k < count of a[r](k) * b(k)[v]; a(k) are scalars of memory, b(k)
/// rows of a panel of f32.
struct TileProduct {
  llvm::SmallVector<mlir::Value> a; ///< address of a[r](0)
  mlir::Value aStep;                ///< elements between a[r](k) and a[r](k + 1)
  mlir::Value b;
  int64_t vectors;
  mlir::Value count;
  Values run(KernelBuilder &kb, Values acc) const;
};

/// exp of vectors of numbers <= 0: at most 2 ulp from the exact value, 0 below -88 (-inf included),
/// NaN for NaN.
mlir::Value expNonPositive(KernelBuilder &kb, mlir::Value x);
/// x > y ? x : y, one instruction; NaN in x is dropped.
mlir::Value maxDroppingNaN(KernelBuilder &kb, mlir::Value x, mlir::Value y);

/// Converts a scalar or vector of any float type to f32 and back; unsigned integers to f32.
mlir::Value toF32(KernelBuilder &kb, mlir::Value x);
mlir::Value fromF32(KernelBuilder &kb, mlir::Value x, mlir::Type element);

/// As many vectors as they have lanes, rows and columns exchanged.
Values transpose(KernelBuilder &kb, mlir::ValueRange rows);

/// Whether a stride is known to be `value`.
bool isStride(mlir::Value stride, int64_t value);

/// Rows [0, rows) of a matrix in memory, `columns` wide, seen from its column-major panel
/// panel[column * width + row]. Rows from `rows` to `width` repeat the last one on loads.
struct PanelMatrix {
  mlir::Value address; ///< of element (0, 0)
  mlir::Value rowStride, columnStride;
  mlir::Type element;
  mlir::Value rows;    ///< at least 1
  mlir::Value columns; ///< static or dynamic
  int64_t width;       ///< a multiple of the vector
};
/// Combines what was loaded (`columns` of the matrix, one vector of rows) with what the panel holds
/// at `place` (address of that vector).
using PanelCombine = llvm::function_ref<void(mlir::Value loaded, mlir::Value place)>;
/// With a dynamic number of columns the panel has room for `lanes` more of them.
void loadPanel(KernelBuilder &kb, const PanelMatrix &matrix, mlir::Value panel,
               PanelCombine combine);
/// Stores panel(column, row) as given by `value(address of a vector of rows, first row)`.
void storePanel(KernelBuilder &kb, const PanelMatrix &matrix, mlir::Value panel,
                llvm::function_ref<mlir::Value(mlir::Value place, mlir::Value row)> value);

} // namespace attune::codegen
#endif
