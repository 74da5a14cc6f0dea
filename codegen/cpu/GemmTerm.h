//===- GemmTerm.h - What a matrix product adds, and its register tiles ------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_GEMMTERM_H
#define ATTUNE_CODEGEN_CPU_GEMMTERM_H

#include "attune/codegen/cpu/Target.h"

namespace attune::codegen {

constexpr int64_t kPanelColumns = 16;

/// What the inner loop adds for an element of A and one of B.
enum class GemmTerm {
  Product,   ///< a b
  ProductI8, ///< a b, with B panels of i8
  Product4,  ///< a b, with B panels of codes of 4 bits,
  Product5,  ///< of 5 bits,
  Product8,  ///< of 8 bits
  Shift4,    ///< shifted integers with codes of 4 bits; A are tables (GemmTables.h), sums i32
  Shift5,    ///< of 5 bits,
  Shift6,    ///< of 6 bits
  Distance   ///< -|a - b|
};
/// Bits of the codes in B, or 0.
int64_t codeBits(GemmTerm term);
bool isShift(GemmTerm term);
/// With codes of so many bits.
GemmTerm productWithCodes(int64_t bits);
GemmTerm shiftWithCodes(int64_t bits);

/// The register tile of a CPU: all accumulators, the B vectors and one A scalar in registers; for
/// distances also two constants and the difference, for codes words and what decodes them.
struct GemmTile {
  int64_t rows, panels;
  int64_t columns() const { return panels * kPanelColumns; }
  static GemmTile of(const CpuTarget &target, GemmTerm term = GemmTerm::Product);
  /// Of the vectors that a micro-kernel uses.
  static int64_t lanes(const CpuTarget &target, GemmTerm term);
};

} // namespace attune::codegen
#endif
