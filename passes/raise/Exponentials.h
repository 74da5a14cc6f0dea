//===- Exponentials.h - Convolution kernels that are sums of exponentials ---------------------===//
//
// `k[t] = sum_n weight_n decay_n^t`, as models with moving averages compute their kernels: powers
// as exp(t log a) or pow(a, t), summed over n by a contraction or a reduction.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_EXPONENTIALS_H
#define ATTUNE_PASSES_RAISE_EXPONENTIALS_H

#include "attune/passes/raise/Match.h"

namespace attune {

/// Scalars of `Elements`; decay is exp of the product of `logDecay` if that is not empty.
struct Exponentials {
  mlir::Value state; ///< free index n; null if the kernel is one exponential
  mlir::Value decay;
  llvm::SmallVector<mlir::Value> logDecay, weight;
};

std::optional<Exponentials> matchExponentials(Elements &elements, Sizes &sizes, mlir::Value kernel,
                                              mlir::Value position);

/// The product of scalars (exp of it if `exponential`) for all values of two indices, either of
/// which may be null for an axis of extent 1: a constant computed in f64 and rounded once if
/// everything is constant, else a linalg.generic.
mlir::Value buildTable(mlir::OpBuilder &builder, mlir::Location loc, Elements &elements,
                       Sizes &sizes, llvm::ArrayRef<mlir::Value> factors, bool exponential,
                       mlir::Value row, mlir::Value column, mlir::FloatType element);

} // namespace attune
#endif
