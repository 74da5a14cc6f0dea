//===- LinearProduct.h - Sums of products behind a scalar -------------------------------------===//
//
// Writes a scalar of `Elements` as a sum of products, as far as asked: contractions, sums and
// cumulative sums are replaced by what they add up, one at a time. In this form linear, quadratic
// and cumulative spellings of the same attention differ only in the order of expansion.
//
//   Products products(sizes, elements);
//   Product p = products.flatten(scalar);              // q(i,f) * S(f,e) * (1 / z(i))
//   p = *products.expand(p, 1, {j});                   // sum_j q(i,f) * k(j,f) * v(j,e) * ...
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_LINEARPRODUCT_H
#define ATTUNE_PASSES_RAISE_LINEARPRODUCT_H

#include "attune/passes/raise/Match.h"

namespace attune {

/// sum over `sums` of factor * prod(factors) where all `conditions` hold. Divisors are factors 1/x.
struct Product {
  double factor = 1;
  llvm::SmallVector<mlir::Value> factors, conditions, sums;
  /// The sums that were expanded, and the element of each.
  llvm::SmallVector<mlir::Operation *> expanded;
  llvm::SmallVector<mlir::Value> loads;
};

class Products {
public:
  Products(Sizes &sizes, Elements &elements) : sizes(sizes), elements(elements) {}

  Product flatten(mlir::Value scalar);
  /// Multiplies the product by a scalar.
  void flatten(mlir::Value scalar, Product &into);
  /// Extents of the axes that a factor sums over, other than 1; nullopt if it is no sum.
  std::optional<llvm::SmallVector<mlir::AffineExpr>> summed(mlir::Value factor);
  /// The product with one factor replaced by what it sums, at these indices of the summed axes.
  std::optional<Product> expand(const Product &product, unsigned factor,
                                llvm::ArrayRef<mlir::Value> inner);
  /// What a sum without a condition adds up at these indices of the summed axes.
  std::optional<mlir::Value> summand(mlir::Value factor, llvm::ArrayRef<mlir::Value> inner);
  /// A scalar held by some tensor whose factors are these, with the constant it also has.
  std::optional<std::pair<mlir::Value, double>> whole(llvm::ArrayRef<mlir::Value> factors);
  /// The product of the factors as one scalar.
  mlir::Value multiply(llvm::ArrayRef<mlir::Value> factors);

private:
  std::optional<llvm::SmallVector<mlir::AffineExpr>> loopExtents(mlir::linalg::LinalgOp op);

  Sizes &sizes;
  Elements &elements;
  /// Scalars that were split and that some tensor holds.
  llvm::SetVector<mlir::Value> split;
};

/// 1 - mu^(row - column + 1): what a key counts with momentum, but for a factor.
mlir::Value momentumFactor(Elements &elements, mlir::Type type, double mu, mlir::Value row,
                           mlir::Value column);
/// How far weights may be from a law, relative to the largest: tables and powers are rounded.
double rounding(mlir::Type type);
/// x if the scalar is 1/x, or null.
mlir::Value inverted(mlir::Value scalar);
/// Removes the elements of `part` from `all`, each once; false if one is missing.
bool removeAll(llvm::SmallVectorImpl<mlir::Value> &all, llvm::ArrayRef<mlir::Value> part);

} // namespace attune
#endif
