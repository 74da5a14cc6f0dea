#include "KernelHarness.h"

#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

struct Problem {
  int64_t b, n, m, e, taps; ///< n = m if causal; else taps = n + m - 1
  bool causal, channels, dynamic = false;
};

std::string extents(std::vector<int64_t> shape, bool dynamic) {
  std::string text = "tensor<";
  for (int64_t extent : shape)
    text += (dynamic ? "?" : std::to_string(extent)) + "x";
  return text + "f32>";
}

std::string module(const Problem &p) {
  std::string x = extents({p.b, p.m, p.e}, p.dynamic), y = extents({p.b, p.n, p.e}, p.dynamic);
  std::string c = p.channels ? extents({p.taps, p.e}, p.dynamic) : extents({p.taps}, p.dynamic);
  std::string inputDims = p.channels ? "4, 3, 0, 2, 3" : "4, 0, 2, 3";
  return "func.func @main(%c: " + c + ", %x: " + x + ", %b: index, %n: index, %m: index, " +
         "%e: index, %k: index) -> " + y + " {\n  %0 = attune.kernel ins(%c, %x : " + c + ", " + x +
         ")\n      dims(%b, %n, %m, %e, %k)" + (p.dynamic ? " result_dims(%b, %n, %e)" : "") +
         " attributes {input_dims = array<i64" + (p.dynamic ? ": " + inputDims : "") + ">} -> " +
         y + " {\n  ^bb0(%c1: " + c + ", %x1: " + x +
         ", %b1: index, %n1: index, %m1: index, %e1: index, %k1: index):\n" +
         "    %y = attune.toeplitz ins(%c1, %x1 : " + c + ", " + x +
         ") {direction = #attune.direction<" + (p.causal ? "causal" : "bidirectional") + ">} -> " +
         y + "\n    attune.yield %y : " + y + "\n  }\n  return %0 : " + y + "\n}\n";
}

void check(const Problem &p, bool poison = false) {
  Array x = Array::random("f32", {p.b, p.m, p.e}, 1);
  Array c = p.channels ? Array::random("f32", {p.taps, p.e}, 2, -1, 1)
                       : Array::random("f32", {p.taps}, 2, -1, 1);
  if (poison) // Must reach the rows that see it, and no others.
    x.set(x.offset({0, p.m / 2, 0}), NAN);
  Array want = Array::zeros("f32", {p.b, p.n, p.e});
  for (int64_t b = 0; b < p.b; ++b)
    for (int64_t n = 0; n < p.n; ++n)
      for (int64_t e = 0; e < p.e; ++e) {
        double sum = 0;
        for (int64_t m = 0; m < p.m; ++m) {
          int64_t t = p.causal ? n - m : n - m + p.m - 1;
          if (t >= 0 && t < p.taps)
            sum += (p.channels ? c.at({t, e}) : c[t]) * x.at({b, m, e});
        }
        want.set(want.offset({b, n, e}), sum);
      }
  std::string text = module(p);
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(text, *createToeplitzEmitter(), target);
    ASSERT_TRUE(kernel.matched()) << target.cpu << text;
    std::vector<int64_t> sizes{p.b, p.n, p.m, p.e, p.taps};
    KernelRun one = kernel.run({c, x}, sizes, 1), two = kernel.run({c, x}, sizes, 2);
    EXPECT_EQ(one.code, 0);
    EXPECT_LE(error(one.outputs[0], want), 5e-5) << target.cpu << text;
    if (!poison)
      EXPECT_TRUE(one.outputs[0] == two.outputs[0]) << target.cpu;
  }
}

} // namespace

TEST(ToeplitzEmitter, Causal) {
  for (int64_t length : {1, 6, 8, 9, 31})
    check({1, length, length, 19, length, true, true});
  check({2, 523, 523, 16, 523, true, false});
}

TEST(ToeplitzEmitter, ShortKernels) {
  for (int64_t taps : {1, 8, 23, 60})
    check({1, 37, 37, 17, taps, true, true});
}

TEST(ToeplitzEmitter, BothDirections) {
  for (auto [n, m] : {std::pair<int64_t, int64_t>{1, 1}, {1, 9}, {9, 1}, {17, 23}, {40, 16}}) {
    check({2, n, m, 20, n + m - 1, false, true});
    check({1, n, m, 3, n + m - 1, false, false});
  }
}

TEST(ToeplitzEmitter, Dynamic) {
  check({2, 21, 21, 18, 7, true, true, true});
  check({1, 13, 22, 33, 34, false, false, true});
  check({1, 0, 0, 16, 4, true, true, true});
}

TEST(ToeplitzEmitter, NotANumber) {
  check({1, 30, 30, 16, 7, true, true}, /*poison=*/true);
  check({1, 19, 19, 16, 19, true, false}, /*poison=*/true);
}
