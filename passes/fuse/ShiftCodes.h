//===- ShiftCodes.h - Weights that are powers of two, packed ----------------------------------===//
//
// From the values of a constant weight to the words of attune.unpack_codes.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_FUSE_SHIFTCODES_H
#define ATTUNE_PASSES_FUSE_SHIFTCODES_H

#include "attune/dialect/Attune.h"

namespace attune {

/// Weights s 2^p of a constant tensor, 0 among them.
class ShiftValues {
public:
  /// f32, or i8 codes with the bias of their attune.contract; not valid for other values.
  /// `integers`: what is shifted.
  ShiftValues(mlir::Value constant, std::optional<int64_t> exponentBias, bool integers);
  explicit operator bool() const { return bits != 0; }

  /// Of the packed codes: the fewest of 4, 5, 8 bits that hold all magnitudes, of integers also 6.
  int64_t bits = 0, bias = 1;
  /// The field (sign, magnitude) of an element.
  uint32_t field(int64_t element) const;

private:
  struct Term {
    bool negative;
    int exponent; ///< kZero: the weight 0
  };
  static constexpr int kZero = INT_MIN;
  std::optional<Term> term(int64_t element) const;

  llvm::ArrayRef<float> floats;
  llvm::ArrayRef<int8_t> codes;
  bool splat = false;
  int64_t codesBias = 0;
};

/// The words of the weights behind attune.unpack_codes, as i8 [extents of `depth`..., columns].
/// `depth` and `column` are axes of the constant.
mlir::Value packShiftCodes(mlir::OpBuilder &b, mlir::Location loc, const ShiftValues &values,
                           llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> depth,
                           int64_t column);

} // namespace attune
#endif
