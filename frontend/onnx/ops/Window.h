//===- Window.h - Sliding windows of convolution and pooling ----------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_OPS_WINDOW_H
#define ATTUNE_FRONTEND_ONNX_OPS_WINDOW_H

#include "attune/frontend/onnx/Build.h"

namespace attune::onnx {

/// The attributes kernel_shape, strides, dilations, pads, auto_pad and ceil_mode, resolved for one
/// input [N, C, spatial...]. One entry per spatial axis.
struct Window {
  std::vector<int64_t> kernel, strides, dilations;
  Shape before, after; ///< padding
  Shape excess;        ///< of `after`, what rounding up the size (ceil_mode) adds
  Shape out;           ///< positions of the window

  int64_t rank() const { return kernel.size(); }
  bool isPadded() const;
  /// Input positions that one window spans.
  int64_t span(int64_t axis) const { return (kernel[axis] - 1) * dilations[axis] + 1; }
  /// Every window is one element.
  bool isPointwise() const;
  /// Windows touch without overlap and cover the input exactly.
  bool isPatches(const Tensor &input) const;
};

/// `kernel` is used where the operator has no attribute kernel_shape (a convolution's weights).
Window readWindow(Node &node, const Tensor &input, std::optional<std::vector<int64_t>> kernel);

/// The input with the window's padding around it, filled with `value`.
Tensor padded(Node &node, const Tensor &input, const Window &window, mlir::TypedAttr value);

} // namespace attune::onnx
#endif
