//===- Polynomial.h - Index expressions in distributed form -----------------------------------===//
//
// `i * (2 n - 1) + i` and `2 i n` are the same position, but not the same `AffineExpr`, and affine
// simplification does not multiply sums by symbols. A polynomial is a sum of monomials over dims,
// symbols and what is neither (quotients, remainders), each with an integer factor.
//
//   Polynomial whole(position);
//   whole.slope(d0)          // what multiplies d0
//   whole.toExpr(context)
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_POLYNOMIAL_H
#define ATTUNE_PASSES_RAISE_POLYNOMIAL_H

#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>

namespace attune {

class Polynomial {
public:
  Polynomial() = default;
  explicit Polynomial(mlir::AffineExpr expr) { add(expr, {}, 1); }

  Polynomial operator+(const Polynomial &other) const;
  Polynomial operator-(const Polynomial &other) const;
  Polynomial operator*(int64_t factor) const;
  /// The product with one variable.
  Polynomial times(mlir::AffineExpr variable) const;

  bool isZero() const { return terms.empty(); }
  std::optional<int64_t> asConstant() const;
  /// The variable that the polynomial is, and the constant added to it.
  std::optional<std::pair<mlir::AffineExpr, int64_t>> asVariable() const;
  bool has(mlir::AffineExpr variable) const;
  /// The sum of the terms with the variable, without it; nullopt if it is not linear in it.
  std::optional<Polynomial> slope(mlir::AffineExpr variable) const;
  /// In the order in which terms were first added.
  mlir::AffineExpr toExpr(mlir::MLIRContext *context) const;

private:
  using Variables = llvm::SmallVector<mlir::AffineExpr, 2>;
  struct Term {
    Variables variables;
    int64_t factor;
  };
  void add(Variables variables, int64_t factor);
  void add(mlir::AffineExpr expr, const Variables &with, int64_t factor);

  llvm::SmallVector<Term, 4> terms; ///< no two with the same variables, no factor is 0
};

} // namespace attune
#endif
