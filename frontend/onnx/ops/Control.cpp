#include "attune/frontend/onnx/Build.h"

namespace attune::onnx {

/// A condition known at compile time picks its branch; the other one is never looked at.
static void convertIf(Node &node) {
  auto condition = node.input(0).constantInts();
  if (!condition || condition->size() != 1)
    node.unsupported("the condition depends on data or sizes; accepted: one known at compile time");
  const char *branches[] = {"else_branch", "then_branch"};
  for (const char *branch : branches)
    node.dropAttr(branch);
  auto results = node.inlineGraph(node.graphAttr(branches[condition->front() != 0]), {});
  node.check(int(results.size()) == node.numOutputs(),
             "the branch has another number of outputs than the node");
  for (int i = 0; i < node.numOutputs(); ++i)
    node.setOutput(i, results[i]);
}

void registerControl(Registry &registry) { registry.add("If", 1, convertIf); }

} // namespace attune::onnx
