//===- ConstantLaws.h - Elements of constants, and the laws they follow -----------------------===//
//
// Reads constant tensors in either storage (dense or dense_resource) and recognises, by value, the
// constants that exporters make out of positions: ramps, triangular and banded masks.
// Used by `Elements` and by constant folding.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_CONSTANTLAWS_H
#define ATTUNE_PASSES_RAISE_CONSTANTLAWS_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"
#include <optional>

namespace attune {

/// Read access to the elements of a constant; does not copy.
class ConstantData {
public:
  /// Empty if the value is no constant tensor of integers or floats with readable data.
  static std::optional<ConstantData> get(mlir::Value value);
  static std::optional<ConstantData> get(mlir::Attribute value);

  mlir::RankedTensorType getType() const { return type; }
  int64_t size() const { return type.getNumElements(); }
  bool isSplat() const { return splat; }
  double getFloat(int64_t position) const;
  /// Sign-extended, but i1 and unsigned types are zero-extended.
  int64_t getInt(int64_t position) const;
  /// The bits of an element, of at most 64.
  uint64_t getBits(int64_t position) const;

private:
  mlir::RankedTensorType type;
  mlir::DenseElementsAttr dense;
  llvm::ArrayRef<char> bytes;
  unsigned width = 0;
  bool splat = false;
};

struct ConstantLaw {
  struct Axis {
    int64_t size, stride;
  };
  /// value(x) = start + slope * (x div divisor), of integers.
  struct Ramp {
    int64_t start, slope, divisor;
  };
  static std::optional<Ramp> ramp(const ConstantData &data, int64_t offset, Axis axis);
  /// One ramp per axis, whose sum (with the start of one of them) is the value.
  static std::optional<llvm::SmallVector<Ramp>> ramps(const ConstantData &data, int64_t offset,
                                                      llvm::ArrayRef<Axis> axes);
  /// Two values; the first holds where row + low <= column <= row + high. `inside` and `outside`
  /// are positions that hold them.
  struct Band {
    std::optional<int64_t> low, high;
    int64_t inside, outside;
  };
  static std::optional<Band> band(const ConstantData &data, int64_t offset, Axis row, Axis column);
  /// Whether the same values stand all along one of the axes.
  static bool isRepeated(const ConstantData &data, int64_t offset, llvm::ArrayRef<Axis> axes,
                         size_t along);
};

} // namespace attune
#endif
