#include "KernelHarness.h"

#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

struct Shape {
  int64_t b, l, c, n;
};

std::string typeOf(std::vector<int64_t> shape, bool dynamic) {
  std::string text = "tensor<";
  for (int64_t extent : shape)
    text += (dynamic ? "?" : std::to_string(extent)) + "x";
  return text + "f32>";
}

/// A kernel of one attune.ema; b, l and c are hidden if `dynamic`.
std::string module(Shape s, bool dynamic, bool skip, bool state, bool bidirectional, bool gate) {
  std::string x = typeOf({s.b, s.l, s.c}, dynamic);
  std::string rows = dynamic ? "?" : std::to_string(bidirectional ? 2 * s.c : s.c);
  std::string coeff = "tensor<" + rows + "x" + std::to_string(s.n) + "xf32>";
  std::string w = typeOf({s.c}, dynamic);
  std::string h = "tensor<" + (dynamic ? "?x?" : std::to_string(s.b) + "x" + std::to_string(s.c)) +
                  "x" + std::to_string(s.n) + "xf32>";
  std::string names = "%x, %a, %u, %v", types = x + ", " + coeff + ", " + coeff + ", " + coeff;
  std::string args = "%x: " + x + ", %a: " + coeff + ", %u: " + coeff + ", %v: " + coeff;
  std::string block = "%x1: " + x + ", %a1: " + coeff + ", %u1: " + coeff + ", %v1: " + coeff;
  std::string inputDims = "0, 1, 2, 3, 3, 3", resultDims = "%b, %l, %c";
  auto add = [&](std::string name, std::string type, std::string dims) {
    names += ", " + name;
    types += ", " + type;
    args += ", " + name + ": " + type;
    block += ", " + name + "1: " + type;
    inputDims += ", " + dims;
  };
  if (skip)
    add("%w", w, "2");
  if (state)
    add("%h", h, "0, 2");
  std::string results = x, after;
  if (state) {
    results += ", " + h;
    resultDims += ", %b, %c";
  }
  std::string yielded = "%y";
  if (gate) {
    yielded = "%g";
    std::string id = "affine_map<(b, l, c) -> (b, l, c)>";
    after = "    %g = linalg.generic {indexing_maps = [" + id + ", " + id + ", " + id +
            "], iterator_types = [\"parallel\", \"parallel\", \"parallel\"]}\n"
            "        ins(%y, %x1 : " +
            x + ", " + x + ") outs(%x1 : " + x +
            ") {\n"
            "    ^bb1(%p: f32, %q: f32, %o: f32):\n"
            "      %t = arith.mulf %p, %q : f32\n      linalg.yield %t : f32\n    } -> " +
            x + "\n";
  }
  std::string left = state ? "%y, %s" : "%y";
  return "func.func @main(" + args + ", %b: index, %l: index, %c: index, %r: index) -> (" +
         results + ") {\n  %0" + (state ? ":2" : "") + " = attune.kernel ins(" + names + " : " +
         types + ")\n      dims(%b, %l, %c, %r)" +
         (dynamic ? " result_dims(" + resultDims + ")" : "") +
         " attributes {input_dims = array<i64" + (dynamic ? ": " + inputDims : "") + ">} -> " +
         results + " {\n  ^bb0(" + block +
         ", %b1: index, %l1: index, %c1: index, %r1: index):\n    " + left +
         " = attune.ema ins(%x1 : " + x + ") coeffs(%a1, %u1, %v1 : " + coeff + ", " + coeff +
         ", " + coeff + ")" + (skip ? " skip(%w1 : " + w + ")" : "") +
         (state ? " init_state(%h1 : " + h + ")" : "") +
         (bidirectional ? " {bidirectional = true}" : "") + " -> " + x +
         (state ? " final_state(" + h + ")" : "") + "\n" + after + "    attune.yield " + yielded +
         (state ? ", %s" : "") + " : " + results + "\n  }\n  return %0" +
         (state ? "#0, %0#1" : "") + " : " + results + "\n}\n";
}

struct Problem {
  Shape s;
  bool dynamic = false, skip = false, state = false, bidirectional = false, gate = false;
};

void check(const Problem &p) {
  Shape s = p.s;
  int64_t rows = p.bidirectional ? 2 * s.c : s.c;
  Array x = Array::random("f32", {s.b, s.l, s.c}, 1),
        a = Array::random("f32", {rows, s.n}, 2, 0, 1);
  Array u = Array::random("f32", {rows, s.n}, 3), v = Array::random("f32", {rows, s.n}, 4);
  Array w = Array::random("f32", {s.c}, 5), h = Array::random("f32", {s.b, s.c, s.n}, 6);
  if (rows * s.n > 1) { // Neither memory nor forgetting.
    a.set(0, 1);
    a.set(1, 0);
  }
  Array want = Array::zeros("f32", {s.b, s.l, s.c}), last = h;
  for (int64_t b = 0; b < s.b; ++b)
    for (int64_t c = 0; c < s.c; ++c) {
      std::vector<double> y(s.l);
      for (int direction = 0; direction < (p.bidirectional ? 2 : 1); ++direction) {
        int64_t row = (direction * s.c + c) * s.n;
        std::vector<double> state(s.n);
        if (p.state)
          for (int64_t k = 0; k < s.n; ++k)
            state[k] = h.at({b, c, k});
        for (int64_t step = 0; step < s.l; ++step) {
          int64_t t = direction ? s.l - 1 - step : step;
          for (int64_t k = 0; k < s.n; ++k) {
            state[k] = a[row + k] * state[k] + u[row + k] * x.at({b, t, c});
            y[t] += v[row + k] * state[k];
          }
        }
        for (int64_t k = 0; k < s.n; ++k)
          last.set(last.offset({b, c, k}), state[k]);
      }
      for (int64_t t = 0; t < s.l; ++t) {
        double input = x.at({b, t, c}), sum = y[t] + (p.skip ? w[c] * input : 0);
        want.set(want.offset({b, t, c}), p.gate ? sum * input : sum);
      }
    }
  std::vector<Array> inputs{x, a, u, v};
  if (p.skip)
    inputs.push_back(w);
  if (p.state)
    inputs.push_back(h);
  std::string text = module(s, p.dynamic, p.skip, p.state, p.bidirectional, p.gate);
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(text, *createEmaEmitter(), target);
    ASSERT_TRUE(kernel.matched()) << target.cpu << text;
    std::vector<int64_t> sizes{s.b, s.l, s.c, rows};
    KernelRun one = kernel.run(inputs, sizes, 1), two = kernel.run(inputs, sizes, 2);
    EXPECT_EQ(one.code, 0);
    EXPECT_LE(error(one.outputs[0], want), 2e-5) << target.cpu << text;
    EXPECT_TRUE(one.outputs[0] == two.outputs[0]) << target.cpu;
    if (p.state) {
      EXPECT_LE(error(one.outputs[1], last), 2e-5) << target.cpu;
      EXPECT_TRUE(one.outputs[1] == two.outputs[1]) << target.cpu;
    }
  }
}

} // namespace

TEST(EmaEmitter, Shapes) {
  for (Shape s : {Shape{1, 1, 1, 1}, {2, 7, 3, 2}, {1, 17, 33, 4}, {1, 64, 64, 5}, {2, 9, 131, 3}})
    check({s});
}

TEST(EmaEmitter, Dynamic) {
  check({{2, 19, 21, 3}, /*dynamic=*/true, /*skip=*/true});
  check({{1, 0, 16, 3}, /*dynamic=*/true, /*skip=*/true});
  check({{2, 11, 70, 2}, true, true, /*state=*/true});
}

TEST(EmaEmitter, State) {
  check({{1, 1, 40, 16}, false, true, /*state=*/true});
  check({{2, 13, 17, 3}, false, false, /*state=*/true});
}

TEST(EmaEmitter, BothDirections) {
  check({{1, 1, 16, 2}, false, true, false, /*bidirectional=*/true});
  check({{2, 21, 35, 6}, false, true, false, /*bidirectional=*/true});
}

TEST(EmaEmitter, Gate) { check({{1, 18, 37, 4}, true, true, false, false, /*gate=*/true}); }

TEST(EmaEmitter, RefusesTruncation) {
  std::string text = module({1, 8, 8, 2}, false, false, false, false, false);
  text.replace(text.find(" -> tensor<1x8x8xf32>\n    attune.yield"), 0, " {truncation = 3 : i64}");
  EXPECT_FALSE(Kernel(text, *createEmaEmitter(), runnableTargets().front()).matched());
}
