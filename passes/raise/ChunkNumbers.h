//===- ChunkNumbers.h - Numbers that depend on positions in chunks ----------------------------===//
//
// Evaluates scalars of `Elements` that depend on two positions alone (masks, decays, tables of
// constants), where a sequence is cut into chunks of constant length: for given places in the two
// chunks, and any two chunks of a given order. How many chunks lie between them stays a variable.
//
//   ChunkNumbers numbers(elements, i, j, 64);
//   numbers.value(scalar, ChunkOrder::Before, 3, 5);  // j at place 5 of a chunk before i's
//
// Used by the raise of chunked linear attention only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_CHUNKNUMBERS_H
#define ATTUNE_PASSES_RAISE_CHUNKNUMBERS_H

#include "attune/passes/raise/ConstantLaws.h"
#include "attune/passes/raise/Elements.h"
#include <variant>

namespace attune {

/// The chunk of j in relation to the chunk of i.
enum class ChunkOrder { Before, Same, After };

/// sum of scale * ratio^n for n = 0, 1, ...: n + 1 chunks apart (n = 0 in the same chunk).
struct Powers {
  struct Term {
    double scale, ratio;
  };
  llvm::SmallVector<Term, 2> terms;

  Powers() = default;
  explicit Powers(double constant) { add({constant, 1}); }
  void add(Term term);
  /// The constant that it is, if it is one.
  std::optional<double> constant() const;
  Powers operator*(const Powers &other) const;
};

class ChunkNumbers {
public:
  ChunkNumbers(Elements &elements, mlir::Value row, mlir::Value column, int64_t length)
      : elements(elements), row(row), column(column), length(length) {}

  /// Whether a condition holds; nullopt if that is not decided.
  std::optional<bool> holds(mlir::Value condition, ChunkOrder order, int64_t rowPlace,
                            int64_t columnPlace);
  std::optional<Powers> value(mlir::Value scalar, ChunkOrder order, int64_t rowPlace,
                              int64_t columnPlace);

private:
  /// apart * n + chunk * c + rest, with c >= 0 the earlier of the two chunks.
  struct Whole {
    int64_t apart = 0, chunk = 0, rest = 0;
  };
  struct Real {
    Powers powers;
    double apart = 0, chunk = 0;
  };
  using Number = std::variant<std::monostate, bool, Whole, Real>;

  void start(ChunkOrder order, int64_t rowPlace, int64_t columnPlace);
  Number number(mlir::Value scalar);
  Number compute(mlir::Value scalar);
  Number computeWhole(mlir::Operation *op, Whole a, Whole b);
  Number computeReal(mlir::Operation *op, const Real &a, const Real &b);
  Number load(const ElementOf &element);
  Number geometric(llvm::function_ref<std::optional<int64_t>(int64_t, int64_t)> position,
                   const ConstantData &data);

  Elements &elements;
  mlir::Value row, column;
  int64_t length;
  Whole rowNumber, columnNumber;
  llvm::DenseMap<mlir::Value, Number> known;
};

} // namespace attune
#endif
