// Kernels that LLVM has compiled from C (Portable.c): all of its instructions, divergence without
// order.
#include "attune/test/ptxemu/tests/Harness.h"
#include "attune/test/ptxemu/tests/Portable.h"
#include <fstream>

using namespace attune;
using namespace attune::ptx;

namespace {

std::string compiled() {
  std::ifstream file(ATTUNE_TEST_PORTABLE_PTX);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Compiled, AgreesWithTheHost) {
  constexpr uint32_t n = 20000;
  Buffer<uint64_t> out(n);
  Code code(compiled());
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
  Code code(compiled());
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

} // namespace
