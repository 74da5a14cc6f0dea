#include "KernelHarness.h"

#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

struct Problem {
  int64_t b, l, c, n, window;
  bool dynamic = false, skip = false, gate = false;
};

/// A kernel of one attune.ema; b, l and c are hidden if dynamic.
std::string module(const Problem &p) {
  auto extent = [&](int64_t value) { return p.dynamic ? "?" : std::to_string(value); };
  std::string c = extent(p.c), x = "tensor<" + extent(p.b) + "x" + extent(p.l) + "x" + c + "xf32>";
  std::string coeff = "tensor<" + c + "x" + std::to_string(p.n) + "xf32>";
  std::string w = "tensor<" + c + "xf32>";
  std::string types = x + ", " + coeff + ", " + coeff + ", " + coeff + ", " + w;
  std::string after, yielded = "%y";
  if (p.gate) {
    std::string id = "affine_map<(b, l, c) -> (b, l, c)>";
    yielded = "%g";
    after = "    %g = linalg.generic {indexing_maps = [" + id + ", " + id + ", " + id +
            "], iterator_types = [\"parallel\", \"parallel\", \"parallel\"]}\n"
            "        ins(%y, %x1 : " +
            x + ", " + x + ") outs(%x1 : " + x +
            ") {\n"
            "    ^bb1(%p: f32, %q: f32, %o: f32):\n"
            "      %t = arith.mulf %p, %q : f32\n      linalg.yield %t : f32\n    } -> " +
            x + "\n";
  }
  return "func.func @main(%x: " + x + ", %a: " + coeff + ", %u: " + coeff + ", %v: " + coeff +
         ", %w: " + w + ", %b: index, %l: index, %c: index) -> " + x +
         " {\n  %0 = attune.kernel ins(%x, %a, %u, %v, %w : " + types + ") dims(%b, %l, %c)" +
         (p.dynamic ? " result_dims(%b, %l, %c)" : "") + " attributes {input_dims = array<i64" +
         (p.dynamic ? ": 0, 1, 2, 2, 2, 2, 2" : "") + ">} -> " + x + " {\n  ^bb0(%x1: " + x +
         ", %a1: " + coeff + ", %u1: " + coeff + ", %v1: " + coeff + ", %w1: " + w +
         ", %b1: index, %l1: index, %c1: index):\n    %y = attune.ema ins(%x1 : " + x +
         ") coeffs(%a1, %u1, %v1 : " + coeff + ", " + coeff + ", " + coeff + ")" +
         (p.skip ? " skip(%w1 : " + w + ")" : "") +
         " {form = #attune.form<chunked>, truncation = " + std::to_string(p.window) +
         " : i64} -> " + x + "\n" + after + "    attune.yield " + yielded + " : " + x +
         "\n  }\n  return %0 : " + x + "\n}\n";
}

void check(const Problem &p, double outlier = 0) {
  Array x = Array::random("f32", {p.b, p.l, p.c}, 1), w = Array::random("f32", {p.c}, 5);
  Array a = Array::random("f32", {p.c, p.n}, 2, 0, 1), u = Array::random("f32", {p.c, p.n}, 3);
  Array v = Array::random("f32", {p.c, p.n}, 4);
  a.set(0, 1); // Neither memory nor forgetting.
  if (p.n > 1)
    a.set(1, 0);
  if (outlier != 0)
    x.set(0, outlier);
  Array want = Array::zeros("f32", {p.b, p.l, p.c});
  for (int64_t c = 0; c < p.c; ++c) {
    std::vector<double> taps(p.window);
    for (int64_t k = 0; k < p.n; ++k)
      for (int64_t j = 0; j < p.window; ++j)
        taps[j] += u.at({c, k}) * v.at({c, k}) * std::pow(a.at({c, k}), double(j));
    for (int64_t b = 0; b < p.b; ++b)
      for (int64_t t = 0; t < p.l; ++t) {
        double input = x.at({b, t, c}), sum = p.skip ? w[c] * input : 0;
        for (int64_t j = 0; j < std::min(p.window, t + 1); ++j)
          sum += taps[j] * x.at({b, t - j, c});
        want.set(want.offset({b, t, c}), p.gate ? sum * input : sum);
      }
  }
  std::string text = module(p);
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(text, *createTruncatedEmaEmitter(), target);
    ASSERT_TRUE(kernel.matched()) << target.cpu << text;
    std::vector<Array> inputs{x, a, u, v, w};
    std::vector<int64_t> sizes{p.b, p.l, p.c};
    KernelRun one = kernel.run(inputs, sizes, 1), two = kernel.run(inputs, sizes, 2);
    EXPECT_EQ(one.code, 0);
    EXPECT_TRUE(one.outputs[0] == two.outputs[0]) << target.cpu;
    if (outlier == 0) {
      EXPECT_LE(error(one.outputs[0], want), 2e-5) << target.cpu << text;
      continue;
    }
    for (int64_t t = p.window; t < p.l; ++t)
      EXPECT_NEAR(one.outputs[0].at({0, t, 0}), want.at({0, t, 0}), 1e-4) << target.cpu << " " << t;
  }
}

} // namespace

TEST(TruncatedEmaEmitter, Lengths) {
  for (int64_t length : {1, 7, 8, 15, 16, 17, 61, 1023, 1024, 1025, 1040})
    check({1, length, 5, 3, 37});
  check({2, 2085, 3, 2, 128});
}

TEST(TruncatedEmaEmitter, Windows) {
  for (int64_t window : {32, 33, 47, 48, 127, 128, 129})
    check({1, 150, 17, 4, window});
}

TEST(TruncatedEmaEmitter, Channels) {
  for (int64_t channels : {1, 8, 15, 16, 33})
    check({2, 50, channels, 16, 40, /*dynamic=*/true, /*skip=*/true});
}

TEST(TruncatedEmaEmitter, States) {
  for (int64_t states : {1, 7, 8, 9, 17})
    check({1, 70, 16, states, 35, false, true, /*gate=*/true});
}

TEST(TruncatedEmaEmitter, Dynamic) {
  check({1, 0, 16, 3, 32, /*dynamic=*/true});
  check({2, 19, 21, 3, 64, /*dynamic=*/true, true, /*gate=*/true});
}

TEST(TruncatedEmaEmitter, ForgetsExactly) { check({1, 200, 1, 4, 64}, /*outlier=*/1e12); }

TEST(TruncatedEmaEmitter, RefusesShortWindows) {
  for (const CpuTarget &target : runnableTargets())
    EXPECT_FALSE(Kernel(module({1, 8, 8, 2, 7}), *createTruncatedEmaEmitter(), target).matched());
}
