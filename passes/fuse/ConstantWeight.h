//===- ConstantWeight.h - Matrices that are known when compiling ------------------------------===//
//
// Weights of matrix products: constants, or 8-bit integers that the graph makes floats of. Shared
// by the passes that lay weights out anew.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_FUSE_CONSTANTWEIGHT_H
#define ATTUNE_PASSES_FUSE_CONSTANTWEIGHT_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attune {

/// A matrix whose elements are `stored` [* scale].
struct ConstantWeight {
  mlir::Value stored;     ///< constant of rank 2
  mlir::Value scale;      ///< constant, null if none; has one element unless it follows an axis
  int64_t scaleAxis = -1; ///< the axis of `stored` along which `scale` varies, -1 if none
};

/// Reads a constant, or f32 of i8 [* scale] in one or two elementwise operators.
std::optional<ConstantWeight> matchConstantWeight(mlir::Value matrix);

/// A contraction with a constant weight, one k loop, one n loop and no batch loop. A scale follows
/// the columns or is one for all.
struct WeightedContraction {
  mlir::Operation *op; ///< linalg.contract, or attune.contract of distances
  llvm::SmallVector<mlir::AffineMap> maps;
  unsigned side;   ///< operand that is the weight
  unsigned k, n;   ///< loops
  bool transposed; ///< the weight is [n, k]
  ConstantWeight weight;
};
std::optional<WeightedContraction> matchWeightedContraction(mlir::Operation *op);

} // namespace attune
#endif
