//===- ShiftReading.h - One way to read a term as a shift -------------------------------------===//
//
// Follows the bits of one element through an integer term (see `IntegerShifts.h`): splits the term
// in what depends on the element and what constants and loops say, and compares, for every
// combination of constants and every sign of the element, with what shifts do.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_SHIFTREADING_H
#define ATTUNE_PASSES_RAISE_SHIFTREADING_H

#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/BitPattern.h"
#include "attune/passes/raise/IntegerShifts.h"
#include <array>

namespace attune {

/// One way to read a term: as a function of this element.
class ShiftReading {
public:
  ShiftReading(Elements &elements, mlir::Value term, llvm::ArrayRef<mlir::Value> factors,
               mlir::Value x, ElementOf input, Extension extension)
      : result{std::move(input), extension, {}, {}, 0, {}}, elements(elements), term(term),
        factors(factors), x(x) {}

  bool run();
  IntegerShifts result;
  llvm::StringRef reason; ///< why not

private:
  /// A shift of x, or 0 (sign 0).
  struct Shift {
    int64_t sign, power;
  };
  /// What gives the term in each rounding of integers, null where nothing does.
  using Shifts = std::array<std::optional<Shift>, 3>;

  bool collect(mlir::Value value);
  bool collectLoops();
  void splitKnown();
  std::optional<Cell> read(mlir::Value load);
  std::optional<Cell> evaluate(mlir::Value value, llvm::ArrayRef<int64_t> at);
  bool evaluate(const llvm::SetVector<mlir::Value> &values, llvm::ArrayRef<int64_t> at);
  std::optional<Shifts> shiftsOf();
  std::optional<BitPattern> follow(const BitPattern &ofX);
  std::optional<BitPattern> shifted(const BitPattern &ofX, const Shift &shift,
                                    ContractRounding rounding);
  bool scale(Shifts &shifts);
  bool encode(llvm::ArrayRef<Shifts> terms, llvm::ArrayRef<unsigned> positions);

  Elements &elements;
  mlir::Value term;
  llvm::ArrayRef<mlir::Value> factors; ///< floats that do not depend on x
  mlir::Value x;
  llvm::SetVector<mlir::Value> steps;    ///< values below the term that depend on x, operands first
  llvm::SetVector<mlir::Value> known;    ///< values that do not, operands first
  llvm::SetVector<mlir::Value> frontier; ///< of these, the ones that `steps` use, and the factors
  /// Known values that never change, that change with every point of the loops (loads among them),
  /// and those that change with the loads only.
  llvm::SetVector<mlir::Value> fixed, atPoints, ofLoads;
  llvm::DenseMap<mlir::Value, ConstantData> constants;
  llvm::DenseMap<mlir::Value, int64_t> cells; ///< at one point of the loops; floats as their bits
  bool isScaled = false;
};

} // namespace attune
#endif
