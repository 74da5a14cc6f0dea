//===- IntegerShifts.h - Terms that are one integer, shifted by constants ---------------------===//
//
// Exporters write `s (x >> p)` in many ways: shifts, divisions by powers of two, choices by the
// sign of x between patterns of bits, magnitudes and signs apart. The matcher does not know those
// ways: it follows the bits of x through the term, for x > 0, x = 0 and x < 0 apart and for all
// that the constants say, and compares with what a shift does to them. What it accepts is equal for
// every x.
//
//   if (std::optional<IntegerShifts> shifts = matchIntegerShifts(elements, term, isInput, reason))
//     ... shifts->input: the tensor element x; shifts->codes: one for each point of shifts->loops
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_INTEGERSHIFTS_H
#define ATTUNE_PASSES_RAISE_INTEGERSHIFTS_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/Elements.h"

namespace attune {

/// How an element becomes the integer that is shifted: extended to so many bits, 32 or 64.
struct Extension {
  unsigned width;
  bool isSigned;
};

/// `term = s (x shifted by p)`, with s and p as codes of `attune.contract`.
struct IntegerShifts {
  ElementOf input; ///< x
  Extension extension;
  llvm::SmallVector<mlir::Value> loops; ///< free indices that the codes vary with
  std::vector<int8_t> codes;            ///< of all points of the loops, the last one fastest
  int64_t exponentBias;
  ContractRounding rounding;
  double scale = 1; ///< of a float term: what all of them are multiplied by, positive
};

/// The element is one that `isInput` accepts. `reason` is set where the term shifts, but not so.
std::optional<IntegerShifts> matchIntegerShifts(Elements &elements, mlir::Value term,
                                                llvm::function_ref<bool(const ElementOf &)> isInput,
                                                llvm::StringRef &reason);

/// The same of a float term: such an integer, made a float, times constants of one magnitude.
std::optional<IntegerShifts>
matchFloatsOfShifts(Elements &elements, mlir::Value term,
                    llvm::function_ref<bool(const ElementOf &)> isInput);

} // namespace attune
#endif
