//===- BitPattern.h - Integers whose bits are known or bits of another integer ----------------===//
//
// The value of a scalar as a function of one integer x whose sign is known: a pattern of bits, each
// 0, 1, or a bit of x or of -x, or the negative of such a pattern. Enough to follow x through
// shifts, masks, signs, casts and products with powers of two, exactly; whatever leaves it is not
// known. Used by the matcher of shifts (`IntegerShifts.h`).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_BITPATTERN_H
#define ATTUNE_PASSES_RAISE_BITPATTERN_H

#include "mlir/IR/Operation.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>

namespace attune {

class BitPattern {
public:
  static BitPattern constant(int64_t value, unsigned width);
  /// x itself: positive, or negative.
  static BitPattern unknown(unsigned width, bool isNegative);

  unsigned width() const { return bits.size(); }
  /// The value if x does not matter, sign-extended; 0 or 1 of one bit.
  std::optional<int64_t> asConstant() const;
  /// Of a pattern that shows bits of x or -x: places that they moved up.
  std::optional<int64_t> distance() const;

  BitPattern negate() const;
  BitPattern shiftLeft(unsigned count) const; ///< count < width, as in all shifts
  std::optional<BitPattern> shiftRight(unsigned count, bool isSigned) const;
  std::optional<BitPattern> divide(unsigned log2) const; ///< signed, towards 0
  std::optional<BitPattern> extend(unsigned width, bool isSigned) const;
  BitPattern truncate(unsigned width) const;
  /// The result of an integer operator of `arith` or `math` other than a choice, if it is a
  /// pattern.
  static std::optional<BitPattern> evaluate(mlir::Operation *op,
                                            llvm::ArrayRef<BitPattern> operands);

  bool operator==(const BitPattern &other) const {
    return negated == other.negated && bits == other.bits;
  }

private:
  enum : uint8_t { Zero, One, FirstOfX, FirstOfMinusX = FirstOfX + 64 };
  using Bits = llvm::SmallVector<uint8_t, 64>;

  BitPattern(Bits bits, bool negated, unsigned source);
  /// Bits of the negative, if the pattern is x or -x, sign-extended or not, shifted left or not.
  std::optional<Bits> negativeBits() const;
  /// As a pattern that is not negated.
  std::optional<Bits> plain() const;
  /// Set of the signs that the value may have.
  unsigned signs() const;
  static std::optional<BitPattern> compare(mlir::Operation *op, const BitPattern &a,
                                           const BitPattern &b);
  static std::optional<BitPattern> combine(mlir::Operation *op, const BitPattern &a,
                                           const BitPattern &b);
  static std::optional<BitPattern> multiply(const BitPattern &a, int64_t factor);

  Bits bits; ///< the lowest first
  bool negated;
  unsigned source; ///< width of x, 0 where it does not matter
};

} // namespace attune
#endif
