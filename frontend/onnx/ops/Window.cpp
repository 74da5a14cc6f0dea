#include "attune/frontend/onnx/ops/Window.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {

bool Window::isPadded() const {
  auto some = [](const Extent &e) { return !e.is(0); };
  return llvm::any_of(before, some) || llvm::any_of(after, some);
}

bool Window::isPointwise() const {
  auto one = [](int64_t v) { return v == 1; };
  return llvm::all_of(kernel, one) && llvm::all_of(strides, one) && !isPadded();
}

bool Window::isPatches(const Tensor &input) const {
  if (isPadded() || kernel != strides)
    return false;
  for (int64_t axis = 0; axis < rank(); ++axis)
    if (dilations[axis] != 1 || !(out[axis] * kernel[axis] == input.dim(axis + 2)))
      return false;
  return true;
}

static std::vector<int64_t> perAxis(Node &node, llvm::StringRef name, int64_t rank) {
  std::vector<int64_t> values = node.intsAttr(name, std::vector<int64_t>(rank, 1));
  node.check(static_cast<int64_t>(values.size()) == rank,
             "attribute '" + name + "' has " + llvm::Twine(values.size()) + " entries for " +
                 llvm::Twine(rank) + " spatial axes");
  for (int64_t value : values)
    node.check(value > 0, "attribute '" + name + "' has an entry of " + llvm::Twine(value) +
                              "; accepted: 1 or more");
  return values;
}

Window readWindow(Node &node, const Tensor &input, std::optional<std::vector<int64_t>> kernel) {
  node.check(input.rank() >= 3, "the input has rank " + llvm::Twine(input.rank()) +
                                    "; accepted: 3 or more (batch, channel, spatial axes)");
  int64_t rank = input.rank() - 2;
  Window w;
  w.kernel =
      node.hasAttr("kernel_shape") || !kernel ? perAxis(node, "kernel_shape", rank) : *kernel;
  node.check(!kernel || w.kernel == *kernel, "attribute 'kernel_shape' differs from the weights");
  w.strides = perAxis(node, "strides", rank);
  w.dilations = perAxis(node, "dilations", rank);
  std::string autoPad = node.stringAttr("auto_pad", "NOTSET");
  std::vector<int64_t> pads = node.intsAttr("pads", std::vector<int64_t>(2 * rank, 0));
  node.check(static_cast<int64_t>(pads.size()) == 2 * rank,
             "attribute 'pads' has " + llvm::Twine(pads.size()) + " entries for " +
                 llvm::Twine(rank) + " spatial axes");
  bool ceil = node.hasAttr("ceil_mode") && node.flagAttr("ceil_mode", 0);
  node.check(autoPad == "NOTSET" || autoPad == "VALID" || autoPad == "SAME_UPPER" ||
                 autoPad == "SAME_LOWER",
             "attribute 'auto_pad' is '" + autoPad +
                 "'; accepted: NOTSET, VALID, SAME_UPPER, SAME_LOWER");
  Extents &extents = node.extents();
  for (int64_t axis = 0; axis < rank; ++axis) {
    const Extent &size = input.dim(axis + 2);
    int64_t stride = w.strides[axis];
    if (autoPad.rfind("SAME", 0) == 0) {
      Extent out = extents.ceilDiv(size, stride);
      Extent total = extents.max((out - 1) * stride + w.span(axis) - size, 0);
      Extent half = extents.floorDiv(total, 2);
      w.before.push_back(autoPad == "SAME_UPPER" ? half : total - half);
      w.after.push_back(autoPad == "SAME_UPPER" ? total - half : half);
      w.excess.push_back(0);
      w.out.push_back(out);
      continue;
    }
    bool valid = autoPad == "VALID";
    node.check(valid || (pads[axis] >= 0 && pads[axis + rank] >= 0),
               "attribute 'pads' is negative");
    w.before.push_back(valid ? 0 : pads[axis]);
    w.after.push_back(valid ? 0 : pads[axis + rank]);
    w.excess.push_back(0);
    Extent room = size + w.before[axis] + w.after[axis] - w.span(axis);
    node.require(extents.less(-1, room), "the window is larger than the padded input");
    if (!ceil) {
      w.out.push_back(extents.floorDiv(room, stride) + 1);
      continue;
    }
    // The last window must start inside the input or the leading padding.
    Extent out = extents.ceilDiv(room, stride) + 1;
    Extent inside = extents.less((out - 1) * stride, size + w.before[axis]);
    out = extents.select(inside, out, out - 1);
    w.out.push_back(out);
    Extent covered = (out - 1) * stride + w.span(axis);
    w.excess[axis] = extents.max(covered - size - w.before[axis] - w.after[axis], 0);
    w.after[axis] = w.after[axis] + w.excess[axis];
  }
  return w;
}

Tensor padded(Node &node, const Tensor &input, const Window &window, TypedAttr value) {
  if (!window.isPadded())
    return input;
  Shape shape = input.shape(), low = {0, 0}, high = {0, 0};
  for (int64_t axis = 0; axis < window.rank(); ++axis) {
    shape[axis + 2] = shape[axis + 2] + window.before[axis] + window.after[axis];
    low.push_back(window.before[axis]);
    high.push_back(window.after[axis]);
  }
  auto type = RankedTensorType::get(staticShape(shape), input.dtype().type(node.context()));
  OpBuilder &b = node.builder();
  Value fill = arith::ConstantOp::create(b, node.loc(), value);
  Value result = tensor::PadOp::create(b, node.loc(), type, node.value(input), node.ofrs(low),
                                       node.ofrs(high), fill);
  return node.tensor(result, input.dtype(), shape);
}

} // namespace attune::onnx
