//===- MaskBounds.h - Where a table of flags is true, as bounds of positions ------------------===//
//
// The tightest bounds on query, key, their distance and their block outside of which a table of
// [query, key] has no flag: causal masks, windows, blocks along the diagonal, padding, and what is
// made of them. Used on constant masks of attention, whose kernels skip what such bounds leave out.
//
//   MaskBounds bounds(flags, rows, columns);
//   if (bounds.isExact()) ...                         // the flags are what the bounds say
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_MASKBOUNDS_H
#define ATTUNE_PASSES_RAISE_MASKBOUNDS_H

#include "mlir/IR/Builders.h"
#include "llvm/ADT/BitVector.h"
#include <optional>

namespace attune {

class MaskBounds {
public:
  /// `flags` row by row.
  MaskBounds(const llvm::BitVector &flags, int64_t rows, int64_t columns);

  /// Every element within the bounds is set.
  bool isExact() const { return area == set; }
  /// The bounds leave out enough of the table to be worth a comparison each.
  bool isTight() const { return area <= rows * columns / 8 * 7; }
  int64_t getColumns() const { return columns; }
  /// Every row has an element that is set.
  bool isInEveryRow() const { return everyRow; }
  /// Whether row and column are within the bounds.
  mlir::Value emit(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value row,
                   mlir::Value column) const;

private:
  /// low <= x <= high, where given.
  struct Interval {
    std::optional<int64_t> low, high;
  };
  int64_t measure() const;
  void dropImplied();

  int64_t rows, columns;
  int64_t set = 0, area = 0;
  bool everyRow = true;
  Interval row, column, distance; ///< distance: column - row
  int64_t block = 0;              ///< row div block = column div block; 0: no such bound
};

} // namespace attune
#endif
