#include "attune/dialect/Attune.h"
#include "attune/frontend/onnx/RuntimeAxes.h"

namespace attune::onnx {

template <ScanKind kind> static void convertCumulative(Node &node) {
  Tensor input = node.input(0);
  Shape axis = node.extentsOf(1);
  node.check(axis.size() == 1,
             "input 'axis' has " + llvm::Twine(axis.size()) + " elements; accepted: 1");
  if (input.dtype().isBool() || (input.dtype().isFloat() && input.dtype().bits() == 8))
    node.unsupported("element type " + input.dtype().name() + "; accepted: integers and floats");
  node.check(input.rank() > 0, "the input is a scalar; accepted: rank 1 or more");
  // An axis that data decides changes places with the first one.
  bool known = axis[0].constant().has_value();
  int64_t along = known ? node.normaliseAxis(*axis[0].constant(), input.rank()) : 0;
  Tensor x = known ? input : swapAxes(node, input, axis[0], 0);
  auto op = ScanOp::create(node.builder(), node.loc(), node.value(x), kind, along,
                           node.flagAttr("exclusive", 0), node.flagAttr("reverse", 0));
  Tensor y = node.tensor(op.getResult(), input.dtype(), x.shape());
  if (known)
    return node.setOutput(0, y);
  Tensor back = swapAxes(node, y, axis[0], 0);
  node.setOutput(0, reshape(node, back, input.shape()));
}

void registerScan(Registry &registry) {
  registry.add("CumProd", 26, convertCumulative<ScanKind::Prod>);
  registry.add("CumSum", 11, convertCumulative<ScanKind::Sum>);
}

} // namespace attune::onnx
