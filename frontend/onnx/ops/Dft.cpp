#include "attune/dialect/Attune.h"
#include "attune/frontend/onnx/Build.h"

using namespace mlir;

namespace attune::onnx {

static void convertDft(Node &node) {
  Tensor input = node.input(0);
  if (!input.dtype().isFloat() || input.dtype().bits() == 8)
    node.unsupported("element type " + input.dtype().name() +
                     "; accepted: float16, bfloat16, float, double");
  bool inverse = node.flagAttr("inverse", 0), onesided = node.flagAttr("onesided", 0);
  // The axis was an attribute before opset 20.
  int64_t axis = -2;
  if (node.version() < 20)
    axis = node.intAttr("axis", 1);
  else if (node.has(2))
    axis = node.constantInts(2).front();
  axis = node.normaliseAxis(axis, input.rank());
  node.check(axis != input.rank() - 1, "the last axis holds real and imaginary part; accepted: "
                                       "another axis");
  std::optional<int64_t> parts = input.shape().back().constant();
  node.check(parts == 1 || parts == 2, "the last axis must have extent 1 (real) or 2 (complex)");
  node.check(!onesided || (inverse ? parts == 2 : parts == 1),
             inverse ? "a onesided inverse needs a complex input" : "onesided needs a real input");
  Extent size = input.dim(axis), length = size;
  if (node.has(1)) {
    Shape given = node.extentsOf(1);
    node.check(given.size() == 1, "input 'dft_length' is not a scalar");
    length = given[0];
  } else if (onesided && inverse) {
    length = (size - 1) * 2;
  }
  node.require(node.extents().less(0, length), "the length of the transform is not positive");
  Shape shape = input.shape();
  shape[axis] = onesided && !inverse ? node.extents().floorDiv(length, 2) + 1 : length;
  shape.back() = onesided && inverse ? 1 : 2;
  auto type = RankedTensorType::get(staticShape(shape), input.dtype().type(node.context()));
  auto op = DftOp::create(node.builder(), node.loc(), type, node.value(input), node.index(length),
                          axis, inverse, onesided);
  node.setOutput(0, node.tensor(op.getResult(), input.dtype(), shape));
}

void registerDft(Registry &registry) { registry.add("DFT", 17, convertDft); }

} // namespace attune::onnx
