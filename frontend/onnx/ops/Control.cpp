#include "attune/frontend/onnx/Build.h"

using namespace mlir;

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

//===--------------------------------------------------------------------------------------------===//
// Loops: unrolled
//===--------------------------------------------------------------------------------------------===//

/// Loops become straight-line code, which must stay small enough to compile.
static void checkTrips(Node &node, int64_t trips, const ::onnx::GraphProto &body) {
  constexpr int64_t kMostNodes = 20000;
  if (trips > kMostNodes || trips * std::max(body.node_size(), 1) > kMostNodes)
    node.unsupported("a loop of " + llvm::Twine(trips) + " steps of " +
                     llvm::Twine(body.node_size()) +
                     " nodes; accepted: " + llvm::Twine(kMostNodes) + " nodes in all");
}

/// What every step of a loop gave, stacked along `axis`.
static Tensor stack(Node &node, MutableArrayRef<Tensor> steps, int64_t axis) {
  if (steps.empty())
    node.unsupported("a loop of no steps with outputs per step; accepted: 1 step or more");
  for (Tensor &step : steps)
    step = keepDims(node, step, {axis});
  return concat(node, steps, axis);
}

static Tensor elementOf(Node &node, const Tensor &input, int64_t axis, int64_t position) {
  SmallVector<SliceRange> ranges;
  for (const Extent &e : input.shape())
    ranges.push_back({0, e, 1});
  ranges[axis] = {position, 1, 1};
  Shape shape = input.shape();
  shape.erase(shape.begin() + axis);
  return reshape(node, slice(node, input, ranges), shape);
}

namespace {
/// Scan 9 on; the batch of Scan 8 is a loop around it.
class ScanUnroller {
public:
  ScanUnroller(Node &node, int64_t inputs) : node(node), body(node.graphAttr("body")) {
    scans = node.intAttr("num_scan_inputs");
    node.check(scans > 0 && scans <= inputs,
               "attribute 'num_scan_inputs' is " + llvm::Twine(scans));
    states = inputs - scans;
    outputs = node.numOutputs() - states;
    node.check(outputs >= 0, "there are fewer outputs than states");
  }

  int64_t states, scans, outputs;
  std::vector<int64_t> inputAxes, outputAxes;
  std::vector<int64_t> inputBackwards, outputBackwards;

  void readDirections(llvm::StringRef input, llvm::StringRef output) {
    inputBackwards = perItem(input, scans);
    if (!output.empty())
      outputBackwards = perItem(output, outputs);
    else
      outputBackwards.assign(outputs, 0);
    for (int64_t direction : llvm::concat<int64_t>(inputBackwards, outputBackwards))
      node.check(direction == 0 || direction == 1,
                 "a direction is " + llvm::Twine(direction) + "; accepted: 0, 1");
  }
  std::vector<int64_t> perItem(llvm::StringRef name, int64_t count) {
    std::vector<int64_t> values = node.intsAttr(name, std::vector<int64_t>(count, 0));
    node.check(int64_t(values.size()) == count, "attribute '" + name + "' has " +
                                                    llvm::Twine(values.size()) + " entries for " +
                                                    llvm::Twine(count));
    return values;
  }

  std::vector<Tensor> run(ArrayRef<Tensor> inputs) {
    SmallVector<int64_t> axes;
    for (int64_t i = 0; i < scans; ++i)
      axes.push_back(node.normaliseAxis(inputAxes[i], inputs[states + i].rank()));
    std::optional<int64_t> trips = inputs[states].dim(axes[0]).constant();
    if (!trips)
      node.unsupported("the number of steps is dynamic; accepted: a static one");
    for (int64_t i = 0; i < scans; ++i)
      node.requireEqual(inputs[states + i].dim(axes[i]), *trips,
                        "the scanned inputs differ in length");
    checkTrips(node, *trips, body);
    std::vector<Tensor> carried(inputs.begin(), inputs.begin() + states);
    std::vector<SmallVector<Tensor>> collected(outputs);
    for (int64_t step = 0; step < *trips; ++step) {
      std::vector<Tensor> arguments = carried;
      for (int64_t i = 0; i < scans; ++i)
        arguments.push_back(elementOf(node, inputs[states + i], axes[i],
                                      inputBackwards[i] ? *trips - 1 - step : step));
      std::vector<Tensor> results = node.inlineGraph(body, arguments);
      node.check(int64_t(results.size()) == states + outputs,
                 "the body has " + llvm::Twine(results.size()) +
                     " outputs; accepted: " + llvm::Twine(states + outputs));
      carried.assign(results.begin(), results.begin() + states);
      for (int64_t i = 0; i < outputs; ++i)
        collected[i].push_back(results[states + i]);
    }
    for (int64_t i = 0; i < outputs; ++i) {
      if (outputBackwards[i])
        std::reverse(collected[i].begin(), collected[i].end());
      int64_t rank = collected[i].empty() ? 1 : collected[i][0].rank() + 1;
      carried.push_back(stack(node, collected[i], node.normaliseAxis(outputAxes[i], rank)));
    }
    return carried;
  }

private:
  Node &node;
  const ::onnx::GraphProto &body;
};
} // namespace

static void convertScan(Node &node) {
  std::vector<Tensor> inputs = node.inputs();
  ScanUnroller scan(node, inputs.size());
  scan.readDirections("scan_input_directions", "scan_output_directions");
  scan.inputAxes = scan.perItem("scan_input_axes", scan.scans);
  scan.outputAxes = scan.perItem("scan_output_axes", scan.outputs);
  std::vector<Tensor> results = scan.run(inputs);
  for (auto [i, result] : llvm::enumerate(results))
    node.setOutput(i, result);
}

static void convertScan8(Node &node) {
  if (node.has(0))
    node.unsupported("input 'sequence_lens'; accepted: sequences of one length");
  std::vector<Tensor> inputs = node.inputs(1);
  ScanUnroller scan(node, inputs.size());
  scan.readDirections("directions", "");
  scan.inputAxes.assign(scan.scans, 0);
  scan.outputAxes.assign(scan.outputs, 0);
  std::optional<int64_t> batch = inputs[0].rank() ? inputs[0].dim(0).constant() : std::nullopt;
  if (!batch)
    node.unsupported("a dynamic batch; accepted: a static one");
  std::vector<SmallVector<Tensor>> collected(node.numOutputs());
  for (int64_t b = 0; b < *batch; ++b) {
    std::vector<Tensor> own;
    for (const Tensor &input : inputs) {
      node.check(input.rank() > 0 && input.dim(0).is(*batch), "the inputs differ in batch");
      own.push_back(elementOf(node, input, 0, b));
    }
    for (auto [all, one] : llvm::zip(collected, scan.run(own)))
      all.push_back(one);
  }
  for (auto [i, all] : llvm::enumerate(collected))
    node.setOutput(i, stack(node, all, 0));
}

static void convertLoop(Node &node) {
  const ::onnx::GraphProto &body = node.graphAttr("body");
  Tensor condition = node.has(1) ? node.input(1) : Tensor();
  auto flag = [&](const Tensor &t) {
    auto value = t ? t.constantInts() : std::vector<int64_t>{1};
    if (!value || value->size() != 1)
      node.unsupported("the condition depends on data; accepted: one known at compile time");
    return value->front() != 0;
  };
  bool goesOn = flag(condition);
  std::optional<int64_t> trips;
  if (node.has(0)) {
    trips = node.extentsOf(0).front().constant();
    if (!trips)
      node.unsupported("the number of steps depends on data or sizes; accepted: a constant");
    checkTrips(node, std::max<int64_t>(*trips, 0), body);
  }
  std::vector<Tensor> carried;
  for (int i = 2; i < node.numInputs(); ++i)
    carried.push_back(node.input(i));
  int64_t states = carried.size(), outputs = node.numOutputs() - states;
  node.check(outputs >= 0, "there are fewer outputs than states");
  std::vector<SmallVector<Tensor>> collected(outputs);
  for (int64_t step = 0; goesOn && (!trips || step < *trips); ++step) {
    checkTrips(node, step, body);
    std::vector<Tensor> arguments = {
        node.contents({step}, kInt64, {}),
        Tensor::ofUniform(scalarAttr(node.context(), kBool, 1), kBool, {})};
    llvm::append_range(arguments, carried);
    std::vector<Tensor> results = node.inlineGraph(body, arguments);
    node.check(int64_t(results.size()) == 1 + states + outputs,
               "the body has " + llvm::Twine(results.size()) +
                   " outputs; accepted: " + llvm::Twine(1 + states + outputs));
    goesOn = flag(results[0]);
    carried.assign(results.begin() + 1, results.begin() + 1 + states);
    for (int64_t i = 0; i < outputs; ++i)
      collected[i].push_back(results[1 + states + i]);
  }
  for (auto [i, state] : llvm::enumerate(carried))
    node.setOutput(i, state);
  for (int64_t i = 0; i < outputs; ++i)
    if (node.wants(states + i))
      node.setOutput(states + i, stack(node, collected[i], 0));
}

void registerControl(Registry &registry) {
  registry.add("If", 1, convertIf);
  registry.add("Loop", 1, convertLoop);
  registry.add("Scan", 8, convertScan8, 8);
  registry.add("Scan", 9, convertScan);
}

} // namespace attune::onnx
