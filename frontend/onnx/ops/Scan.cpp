#include "attune/dialect/Attune.h"
#include "attune/frontend/onnx/Build.h"

namespace attune::onnx {

static void convertCumSum(Node &node) {
  Tensor input = node.input(0);
  std::vector<int64_t> axis = node.constantInts(1);
  node.check(axis.size() == 1, "input 'axis' has " + llvm::Twine(axis.size()) +
                                   " elements; accepted: 1");
  if (input.dtype().isBool())
    node.unsupported("element type bool");
  auto op = ScanOp::create(node.builder(), node.loc(), node.value(input), ScanKind::Sum,
                           node.normaliseAxis(axis[0], input.rank()),
                           node.flagAttr("exclusive", 0), node.flagAttr("reverse", 0));
  node.setOutput(0, node.tensor(op.getResult(), input.dtype(), input.shape()));
}

void registerScan(Registry &registry) { registry.add("CumSum", 11, convertCumSum); }

} // namespace attune::onnx
