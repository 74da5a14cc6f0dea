//===- Projections.h - Products with constant weights that may be merged ----------------------===//
#ifndef ATTUNE_PASSES_REWRITE_PROJECTIONS_H
#define ATTUNE_PASSES_REWRITE_PROJECTIONS_H

#include "attune/passes/fuse/ConstantWeight.h"

namespace attune {

/// One product of the shared left operand, perhaps with a bias.
struct Projection {
  WeightedContraction product;
  mlir::Operation *bias = nullptr; ///< elementwise, adds `shift`, or null
  llvm::SmallVector<float> shift;  ///< one per column, or one for all; none without a bias
  mlir::AffineMap leftMap;         ///< of the left operand, loops as in `product.op`
  mlir::AffineMap resultMap;       ///< loops in the order of the left operand's axes, then n
  int64_t columns = 0;
  bool returned = false, fused = false; ///< what reads the result

  mlir::Value result() const { return bias ? bias->getResult(0) : product.op->getResult(0); }
  mlir::Value left() const { return product.op->getOperand(1 - product.side); }
  /// The axis of the left operand that is summed over.
  unsigned depthAxis() const {
    return *leftMap.getResultPosition(getAffineDimExpr(product.k, leftMap.getContext()));
  }
  /// Whether reading a slice in place of the product takes another kernel.
  bool hasExtra() const { return returned || fused; }
};

/// A product in f32 whose weight is a constant of f32 or i8.
std::optional<Projection> matchProjection(mlir::linalg::ContractOp op);

/// Whether both are products of the same rows, with weights stored alike.
bool belongTogether(const Projection &a, const Projection &b);

} // namespace attune
#endif
