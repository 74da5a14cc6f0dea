#include "RowwiseHarness.h"

#include <cmath>

using namespace attune::codegen;

namespace attune::test {

std::string kernelText(std::vector<std::string> inputs, std::vector<int> inputDims, int numDims,
                       std::vector<std::string> results, std::vector<int> resultDims,
                       const std::string &body) {
  auto join = [](const std::vector<std::string> &parts) {
    std::string text;
    for (const std::string &part : parts)
      text += (text.empty() ? "" : ", ") + part;
    return text;
  };
  std::vector<std::string> args, names, block, dims, extents;
  for (size_t i = 0; i < inputs.size(); ++i) {
    args.push_back("%x" + std::to_string(i) + ": " + inputs[i]);
    names.push_back("%x" + std::to_string(i));
    block.push_back("%a" + std::to_string(i) + ": " + inputs[i]);
  }
  for (int i = 0; i < numDims; ++i) {
    args.push_back("%n" + std::to_string(i) + ": index");
    dims.push_back("%n" + std::to_string(i));
    block.push_back("%d" + std::to_string(i) + ": index");
  }
  for (int dim : resultDims)
    extents.push_back("%n" + std::to_string(dim));
  std::vector<std::string> numbers;
  for (int dim : inputDims)
    numbers.push_back(std::to_string(dim));
  std::string text = "func.func @main(" + join(args) +
                     ") {\n  %r:" + std::to_string(results.size()) + " = attune.kernel ";
  if (!inputs.empty())
    text += "ins(" + join(names) + " : " + join(inputs) + ") ";
  if (!dims.empty())
    text += "dims(" + join(dims) + ") ";
  if (!extents.empty())
    text += "result_dims(" + join(extents) + ") ";
  text += "attributes {input_dims = array<i64" + std::string(numbers.empty() ? "" : ": ") +
          join(numbers) + ">} -> " + join(results) + " {\n^bb0(" + join(block) + "):\n" + body +
          "\n}\nreturn\n}\n";
  return text;
}

void runAll(const std::string &text, std::vector<Array> inputs, std::vector<int64_t> sizes,
            std::function<void(const KernelRun &)> check) {
  for (const CpuTarget &target : runnableTargets()) {
    SCOPED_TRACE(target.cpu);
    Kernel kernel(text, *createRowwiseEmitter(), target);
    ASSERT_TRUE(kernel.matched());
    KernelRun one = kernel.run(inputs, sizes, 1), two = kernel.run(inputs, sizes, 2);
    EXPECT_EQ(one.code, two.code);
    for (size_t i = 0; i < one.outputs.size(); ++i)
      EXPECT_TRUE(one.outputs[i] == two.outputs[i]) << "bits depend on the number of threads";
    check(one);
  }
}

void expectNear(const Array &got, const std::vector<int64_t> &shape,
                std::function<double(const std::vector<int64_t> &)> expected, double tolerance) {
  ASSERT_EQ(got.shape, shape);
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t i = 0; i < got.size(); ++i) {
    int64_t rest = i;
    for (int64_t axis = static_cast<int64_t>(shape.size()) - 1; axis >= 0; --axis) {
      index[axis] = rest % shape[axis];
      rest /= shape[axis];
    }
    double x = got[i], y = expected(index);
    if (std::isnan(y) ? !std::isnan(x)
                      : !(x == y || std::abs(x - y) <= tolerance * (1 + std::abs(y)))) {
      ADD_FAILURE() << "element " << i << ": " << x << ", expected " << y;
      return;
    }
  }
}

} // namespace attune::test
