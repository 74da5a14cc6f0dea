#include "attune/dialect/Attune.h"
#include "attune/frontend/onnx/RuntimeAxes.h"

using namespace mlir;

namespace attune::onnx {

static void convertDft(Node &node) {
  Tensor input = node.input(0);
  if (!input.dtype().isFloat() || input.dtype().bits() == 8)
    node.unsupported("element type " + input.dtype().name() +
                     "; accepted: float16, bfloat16, float, double");
  bool inverse = node.flagAttr("inverse", 0), onesided = node.flagAttr("onesided", 0);
  // The axis was an attribute before opset 20.
  Extent given = -2;
  if (node.version() < 20)
    given = node.intAttr("axis", 1);
  else if (node.has(2))
    given = node.extentsOf(2)[0];
  node.check(input.rank() >= 2,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 2 or more");
  // An axis that data decides changes places with the one before the last.
  bool known = given.constant().has_value();
  int64_t axis = known ? node.normaliseAxis(*given.constant(), input.rank()) : input.rank() - 2;
  if (!known) {
    Extents &extents = node.extents();
    Extent last = extents.max(extents.equal(given, -1), extents.equal(given, input.rank() - 1));
    node.require(Extent(1) - last, "the axis is the one of real and imaginary part");
    Shape parts = input.shape();
    input = swapAxes(node, input, given, axis);
    Shape shape = input.shape();
    shape.back() = parts.back();
    input = reshape(node, input, shape);
  }
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
  Tensor result = node.tensor(op.getResult(), input.dtype(), shape);
  if (!known) {
    result = swapAxes(node, result, given, axis);
    Shape exact = result.shape();
    exact.back() = shape.back();
    result = reshape(node, result, exact);
  }
  node.setOutput(0, result);
}

void registerDft(Registry &registry) { registry.add("DFT", 17, convertDft); }

} // namespace attune::onnx
