//===- Agreement.h - A Halide kernel against the reference lowering ---------------------------===//
//
// Compiles the one kernel of a module twice, by the Halide back end and by the reference lowering,
// and compares what they compute on the same inputs, for 1 and 2 threads (which must agree to the
// bit).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_CODEGEN_HALIDE_AGREEMENT_H
#define ATTUNE_TEST_CODEGEN_HALIDE_AGREEMENT_H

#include "KernelHarness.h"
#include "attune/codegen/halide/Emitter.h"

namespace attune::test {

/// A tensor type, and for every `?` the number of the size that it is.
struct Typed {
  std::string type;
  std::vector<int64_t> dims = {};
};

/// A module of one kernel: inputs `%a0`, `%a1`, ..., sizes `%d0`, ... and a body that ends in a
/// yield.
inline std::string kernelText(const std::vector<Typed> &inputs, const std::vector<Typed> &results,
                              int64_t sizes, const std::string &body) {
  auto list = [](size_t count, auto item) {
    std::string text;
    for (size_t i = 0; i < count; ++i)
      text += (i ? ", " : "") + item(i);
    return text;
  };
  auto n = [](auto value) { return std::to_string(value); };
  std::vector<int64_t> inputDims, resultDims;
  for (const Typed &input : inputs)
    inputDims.insert(inputDims.end(), input.dims.begin(), input.dims.end());
  for (const Typed &result : results)
    resultDims.insert(resultDims.end(), result.dims.begin(), result.dims.end());
  std::string types = list(inputs.size(), [&](size_t i) { return inputs[i].type; });
  std::string out = list(results.size(), [&](size_t i) { return results[i].type; });
  auto values = [&](size_t count, std::string name) {
    return list(count, [&](size_t i) { return "%" + name + n(i); });
  };
  auto typed = [&](std::string name) {
    return list(inputs.size(), [&](size_t i) { return "%" + name + n(i) + ": " + inputs[i].type; });
  };
  auto indices = [&](std::string name) {
    return list(sizes, [&](size_t i) { return "%" + name + n(i) + ": index"; });
  };
  std::string comma = sizes ? ", " : "";
  std::string text =
      "func.func @main(" + typed("x") + comma + indices("n") + ") -> (" + out + ") {\n";
  text += "  %r" + (results.size() > 1 ? ":" + n(results.size()) : std::string()) +
          " = attune.kernel ins(" + values(inputs.size(), "x") + " : " + types + ")";
  if (sizes)
    text += " dims(" + values(sizes, "n") + ")";
  if (!resultDims.empty())
    text += " result_dims(" +
            list(resultDims.size(), [&](size_t i) { return "%n" + n(resultDims[i]); }) + ")";
  text +=
      " attributes {input_dims = array<i64" + std::string(inputDims.empty() ? "" : ": ") +
      list(inputDims.size(), [&](size_t i) { return n(inputDims[i]); }) + ">} -> " + out +
      " {\n  ^bb0(" + typed("a") + comma + indices("d") + "):\n" + body + "  }\n  return " +
      (results.size() > 1 ? list(results.size(), [&](size_t i) { return "%r#" + n(i); }) : "%r") +
      " : " + out + "\n}\n";
  return text;
}

class Agreement {
public:
  explicit Agreement(llvm::StringRef text, llvm::StringRef cpu = "x86-64-v3")
      : target(llvm::cantFail(codegen::CpuTarget::parse(cpu))),
        halide(text, *codegen::createHalideEmitter(), target),
        reference(text, *codegen::createLoopsEmitter(), target) {}

  /// Expects agreement to `tolerance` relative to 1 + |value|.
  void check(const std::vector<Array> &inputs, const std::vector<int64_t> &sizes = {},
             double tolerance = 1e-5) {
    ASSERT_TRUE(halide.matched());
    ASSERT_TRUE(reference.matched());
    KernelRun expected = reference.run(inputs, sizes);
    KernelRun one = halide.run(inputs, sizes, 1);
    ASSERT_EQ(one.code, 0);
    ASSERT_EQ(one.outputs.size(), expected.outputs.size());
    for (size_t i = 0; i < one.outputs.size(); ++i)
      EXPECT_LE(error(one.outputs[i], expected.outputs[i]), tolerance);
    // Workers that share memory by mistake do not always meet.
    for (int attempt = 0; attempt < 4; ++attempt) {
      KernelRun two = halide.run(inputs, sizes, 2);
      ASSERT_EQ(two.code, 0);
      for (size_t i = 0; i < one.outputs.size(); ++i)
        ASSERT_TRUE(one.outputs[i] == two.outputs[i]) << "another number of threads, other bits";
    }
  }

  codegen::CpuTarget target;
  Kernel halide, reference;
};

} // namespace attune::test
#endif
