//===- RuntimeAxes.h - Axes that only the run knows -------------------------------------------===//
//
// Operators whose axes are an input can be converted without knowing them: ranks are static, and
// every size becomes a choice by "is this axis among them". The axes are checked when the model
// runs.
//
//   RuntimeAxes axes(node, node.extentsOf(1), x.rank());
//   Tensor kept = reshape(node, x, axes.removedFrom(x.shape()));
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_RUNTIMEAXES_H
#define ATTUNE_FRONTEND_ONNX_RUNTIMEAXES_H

#include "attune/frontend/onnx/Build.h"

namespace attune::onnx {

class RuntimeAxes {
public:
  /// `axes` of a tensor of rank `rank`; negative ones count from the end, none may come twice.
  RuntimeAxes(Node &node, llvm::ArrayRef<Extent> axes, int64_t rank);

  /// `named` if `axis` is among them, else `other`.
  Extent select(int64_t axis, const Extent &named, const Extent &other) const;
  /// Of `values`, which go with the axes, the one of `axis`; `other` if it is not among them.
  Extent pick(int64_t axis, llvm::ArrayRef<Extent> values, const Extent &other) const;
  /// `full` without the axes, which must have extent 1 or vanish by what the caller does.
  Shape removedFrom(const Shape &full) const;
  /// `kept` with axes of extent 1 where the axes are to be.
  Shape insertedInto(const Shape &kept) const;

private:
  /// How many of the axes before `axis` are not among them.
  mlir::Value keptBefore(int64_t axis) const;
  Extent opaque(mlir::Value index) const;

  Node &node;
  int64_t rank;
  llvm::SmallVector<mlir::Value> places; ///< index, one for each of the axes
  llvm::SmallVector<mlir::Value> named;  ///< i1, one for each axis of the tensor
};

/// `input` with `axis` (an extent that is checked to be in range) and `other` exchanged.
Tensor swapAxes(Node &node, const Tensor &input, const Extent &axis, int64_t other);

} // namespace attune::onnx
#endif
