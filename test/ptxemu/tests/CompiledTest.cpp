// Kernels that LLVM has compiled from C (Portable.c): all of its instructions, divergence without
// order.
#include "attune/test/ptxemu/tests/Harness.h"
#include "attune/test/ptxemu/tests/Portable.h"
#include <fstream>

using namespace attune;
using namespace attune::ptx;

namespace {

std::string compiled(const char *name) {
  std::ifstream file(std::string(ATTUNE_TEST_PTX) + "/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Compiled, AgreesWithTheHost) {
  constexpr uint32_t n = 20000;
  Buffer<uint64_t> out(n);
  Code code(compiled("Portable.ptx"));
  ASSERT_EQ(code.error, "");
  rt::cuda::Result result = launch(code, "run_portable", {(n + 255) / 256, 256}, out.address, n);
  ASSERT_EQ(result, rt::cuda::Success) << message(result);
  std::vector<uint64_t> found = out.values();
  unsigned wrong = 0;
  for (uint32_t i = 0; i < n; ++i)
    if (found[i] != portable(i) && wrong++ < 5)
      ADD_FAILURE() << "at " << i << ": " << std::hex << found[i] << " instead of " << portable(i);
  EXPECT_EQ(wrong, 0u);
}

// The order of warps and the number of threads change nothing.
TEST(Compiled, SumsRows) {
  constexpr uint32_t rows = 9, columns = 700;
  std::vector<float> values(rows * columns);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = float(i % 13) - 6;
  Buffer<float> in(values), out(rows);
  Code code(compiled("Portable.ptx"));
  for (const char *seed : {"0", "1", "2", "3"}) {
    setenv("ATTUNE_PTX_SEED", seed, 1);
    ASSERT_EQ(launch(code, "sum_rows", {rows, 256}, in.address, out.address, columns),
              rt::cuda::Success);
    for (uint32_t row = 0; row < rows; ++row) {
      float expected = 0;
      for (uint32_t k = 0; k < columns; ++k)
        expected += values[row * columns + k];
      EXPECT_EQ(out.values()[row], expected);
    }
  }
  unsetenv("ATTUNE_PTX_SEED");
}

/// Pipeline.c on small integers.
class Pipeline : public ::testing::Test {
protected:
  static constexpr uint32_t depth = 160;
  static int a(uint32_t row, uint32_t k) { return int((row * 5 + k * 3) % 7) - 3; }
  static int b(uint32_t k, uint32_t column) { return int((k * 2 + column * 5) % 9) - 4; }
  template <class F> static std::vector<uint16_t> halves(uint32_t rows, uint32_t columns, F value) {
    std::vector<uint16_t> result;
    for (uint32_t i = 0; i < rows * columns; ++i)
      result.push_back(std::bit_cast<uint16_t>(_Float16(value(i / columns, i % columns))));
    return result;
  }

  rt::cuda::Result run(const std::string &ptx) {
    Code code(ptx);
    EXPECT_EQ(code.error, "");
    return launch(code, "pipeline", {1, 128}, left.address, right.address, out.address, depth);
  }
  bool isRight() const {
    std::vector<float> found = out.values();
    for (uint32_t i = 0; i < found.size(); ++i) {
      int expected = 0;
      for (uint32_t k = 0; k < depth; ++k)
        expected += a(i / 64, k) * b(k, i % 64);
      if (found[i] != float(expected))
        return false;
    }
    return true;
  }

  Buffer<uint16_t> left{halves(64, depth, a)}, right{halves(depth, 64, b)};
  Buffer<float> out{64 * 64};
};

TEST_F(Pipeline, MultipliesWithoutConflicts) {
  for (const char *seed : {"0", "1", "2"}) {
    setenv("ATTUNE_PTX_SEED", seed, 1);
    ASSERT_EQ(run(compiled("Pipeline.ptx")), rt::cuda::Success);
    EXPECT_TRUE(isRight());
  }
  unsetenv("ATTUNE_PTX_SEED");
  if (onInterpreter()) {
    EXPECT_EQ(count("shared_wavefronts"), count("shared_ideal_wavefronts"));
    EXPECT_EQ(count("opcode:mma"), uint64_t(4 * depth / 16 * 8));
  }
}

/// Every way to leave out or weaken one line; the name is for messages.
std::vector<std::pair<std::string, std::string>> broken(const std::string &ptx) {
  std::vector<std::pair<std::string, std::string>> result;
  auto change = [&](size_t begin, size_t end, const std::string &to) {
    std::string copy = ptx;
    result.push_back(
        {ptx.substr(begin, end - begin) + " -> " + to, copy.replace(begin, end - begin, to)});
  };
  for (size_t begin = 0, end; (end = ptx.find('\n', begin)) != ptx.npos; begin = end + 1) {
    std::string line = ptx.substr(begin, end - begin);
    for (const char *drop :
         {"bar.sync", "barrier.sync", "cp.async.commit_group", "cp.async.wait_group"})
      if (line.find(drop) != line.npos)
        change(begin, end, "");
    if (size_t at = line.find("wait_group 1"); at != line.npos)
      change(begin + at, begin + at + 12, "wait_group 2");
    if (size_t at = line.find(".x4.trans"); at != line.npos)
      change(begin + at, begin + at + 9, ".x4");
    if (size_t at = line.find("xor.b32"); at != line.npos)
      change(begin + at, begin + at + 7, "or.b32");
  }
  return result;
}

TEST_F(Pipeline, BrokenInAnyWayIsFound) {
  if (!onInterpreter())
    GTEST_SKIP();
  std::vector<std::pair<std::string, std::string>> all = broken(compiled("Pipeline.ptx"));
  EXPECT_GE(all.size(), 15u);
  for (const auto &[name, ptx] : all) {
    bool found = run(ptx) != rt::cuda::Success;
    device().primaryReset(0);
    EXPECT_TRUE(found || !isRight()) << name;
  }
}

} // namespace
