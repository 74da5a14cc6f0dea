#include "KernelHarness.h"

#include <array>
#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

Array panels(const Array &matrix, const char *dtype) {
  int64_t k = matrix.shape[0], n = matrix.shape[1];
  Array packed = Array::zeros(dtype, {(n + 15) / 16, k, 16});
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < n; ++j)
      packed.set((j / 16 * k + i) * 16 + j % 16, matrix.at({i, j}));
  return packed;
}

struct Sample {
  std::vector<Array> inputs;
  std::vector<int64_t> sizes;
  Array expected;
};

/// Every run on every target, on 1 and 2 threads that must agree to the bit.
void check(const std::string &text, const std::vector<Sample> &samples, double tolerance = 2e-5) {
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(text, *createGemmEmitter(), target);
    ASSERT_TRUE(kernel.matched()) << target.cpu;
    for (const Sample &run : samples) {
      KernelRun one = kernel.run(run.inputs, run.sizes, 1);
      KernelRun two = kernel.run(run.inputs, run.sizes, 2);
      EXPECT_EQ(one.code, 0);
      EXPECT_LE(error(one.outputs[0], run.expected), tolerance) << target.cpu;
      EXPECT_TRUE(one.outputs[0] == two.outputs[0]) << target.cpu;
    }
  }
}

bool matches(const std::string &text) {
  return Kernel(text, *createGemmEmitter(), runnableTargets().front()).matched();
}

// relu6-free encoder block: x * W + bias, GELU, then heads in front: [b, s, h*d] -> [b, h, s, d].
const char *kHeads = R"(
#id = affine_map<(b, s, n) -> (b, s, n)>
#last = affine_map<(b, s, n) -> (n)>
func.func @main(%x: tensor<?x?x40xf32>, %w: tensor<3x40x16xf32>, %v: tensor<48xf32>,
                %nb: index, %ns: index) -> tensor<?x3x?x16xf32> {
  %0 = attune.kernel ins(%x, %w, %v : tensor<?x?x40xf32>, tensor<3x40x16xf32>, tensor<48xf32>)
      dims(%nb, %ns) result_dims(%nb, %ns) attributes {input_dims = array<i64: 0, 1>}
      -> tensor<?x3x?x16xf32> {
  ^bb0(%a: tensor<?x?x40xf32>, %p: tensor<3x40x16xf32>, %bias: tensor<48xf32>, %b: index, %s: index):
    %zero = arith.constant 0.0 : f32
    %we = tensor.empty() : tensor<40x48xf32>
    %u = linalg.unpack %p outer_dims_perm = [1, 0] inner_dims_pos = [1] inner_tiles = [16] into %we
        : tensor<3x40x16xf32> -> tensor<40x48xf32>
    %e = tensor.empty(%b, %s) : tensor<?x?x48xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?x48xf32>) -> tensor<?x?x48xf32>
    %c = linalg.contract indexing_maps = [affine_map<(b, s, n, k) -> (b, s, k)>,
        affine_map<(b, s, n, k) -> (k, n)>, affine_map<(b, s, n, k) -> (b, s, n)>]
        ins(%a, %u : tensor<?x?x40xf32>, tensor<40x48xf32>)
        outs(%f : tensor<?x?x48xf32>) -> tensor<?x?x48xf32>
    %g = linalg.generic {indexing_maps = [#id, #last, #id],
        iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%c, %bias : tensor<?x?x48xf32>, tensor<48xf32>) outs(%e : tensor<?x?x48xf32>) {
    ^bb1(%i: f32, %j: f32, %o: f32):
      %t = arith.addf %i, %j : f32
      %half = arith.constant 0.5 : f32
      %r = arith.constant 0.70710678 : f32
      %one = arith.constant 1.0 : f32
      %q = arith.mulf %t, %r : f32
      %er = math.erf %q : f32
      %ep = arith.addf %er, %one : f32
      %h = arith.mulf %t, %half : f32
      %y = arith.mulf %h, %ep : f32
      linalg.yield %y : f32
    } -> tensor<?x?x48xf32>
    %x4 = tensor.expand_shape %g [[0], [1], [2, 3]] output_shape [%b, %s, 3, 16]
        : tensor<?x?x48xf32> into tensor<?x?x3x16xf32>
    %e4 = tensor.empty(%b, %s) : tensor<?x3x?x16xf32>
    %t4 = linalg.transpose ins(%x4 : tensor<?x?x3x16xf32>) outs(%e4 : tensor<?x3x?x16xf32>)
        permutation = [0, 2, 1, 3]
    attune.yield %t4 : tensor<?x3x?x16xf32>
  }
  return %0 : tensor<?x3x?x16xf32>
}
)";

// Back from heads, int8 weights with a scale per column, residual: [b, h, s, d] -> [b, s, n].
const char *kInt8 = R"(
#id = affine_map<(b, s, n) -> (b, s, n)>
func.func @main(%x: tensor<?x2x?x12xf32>, %w: tensor<2x24x16xi8>, %sc: tensor<20xf32>,
                %res: tensor<?x?x20xf32>, %nb: index, %ns: index) -> tensor<?x?x20xf32> {
  %0 = attune.kernel
      ins(%x, %w, %sc, %res : tensor<?x2x?x12xf32>, tensor<2x24x16xi8>, tensor<20xf32>,
          tensor<?x?x20xf32>)
      dims(%nb, %ns) result_dims(%nb, %ns) attributes {input_dims = array<i64: 0, 1, 0, 1>}
      -> tensor<?x?x20xf32> {
  ^bb0(%a: tensor<?x2x?x12xf32>, %p: tensor<2x24x16xi8>, %scale: tensor<20xf32>,
       %r: tensor<?x?x20xf32>, %b: index, %s: index):
    %zero = arith.constant 0.0 : f32
    %we = tensor.empty() : tensor<24x20xi8>
    %u = linalg.unpack %p outer_dims_perm = [1, 0] inner_dims_pos = [1] inner_tiles = [16] into %we
        : tensor<2x24x16xi8> -> tensor<24x20xi8>
    %de = tensor.empty() : tensor<24x20xf32>
    %d = linalg.generic {indexing_maps = [affine_map<(k, n) -> (k, n)>, affine_map<(k, n) -> (n)>,
        affine_map<(k, n) -> (k, n)>], iterator_types = ["parallel", "parallel"]}
        ins(%u, %scale : tensor<24x20xi8>, tensor<20xf32>) outs(%de : tensor<24x20xf32>) {
    ^bb1(%q: i8, %f: f32, %o: f32):
      %t = arith.sitofp %q : i8 to f32
      %y = arith.mulf %t, %f : f32
      linalg.yield %y : f32
    } -> tensor<24x20xf32>
    %te = tensor.empty(%b, %s) : tensor<?x?x2x12xf32>
    %t = linalg.transpose ins(%a : tensor<?x2x?x12xf32>) outs(%te : tensor<?x?x2x12xf32>)
        permutation = [0, 2, 1, 3]
    %e = tensor.empty(%b, %s) : tensor<?x?x20xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?x20xf32>) -> tensor<?x?x20xf32>
    %tc = tensor.collapse_shape %t [[0], [1], [2, 3]]
        : tensor<?x?x2x12xf32> into tensor<?x?x24xf32>
    %c = linalg.contract indexing_maps = [affine_map<(b, s, n, k) -> (b, s, k)>,
        affine_map<(b, s, n, k) -> (k, n)>, affine_map<(b, s, n, k) -> (b, s, n)>]
        ins(%tc, %d : tensor<?x?x24xf32>, tensor<24x20xf32>)
        outs(%f : tensor<?x?x20xf32>) -> tensor<?x?x20xf32>
    %g = linalg.generic {indexing_maps = [#id, #id, #id],
        iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%c, %r : tensor<?x?x20xf32>, tensor<?x?x20xf32>) outs(%e : tensor<?x?x20xf32>) {
    ^bb1(%i: f32, %j: f32, %o: f32):
      %y = arith.addf %i, %j : f32
      linalg.yield %y : f32
    } -> tensor<?x?x20xf32>
    attune.yield %g : tensor<?x?x20xf32>
  }
  return %0 : tensor<?x?x20xf32>
}
)";

// Scores of attention: batched, both operands computed at run time, B transposed.
const char *kBatched = R"(
func.func @main(%x: tensor<2x3x?x10xf32>, %y: tensor<2x3x?x10xf32>, %nq: index, %nk: index)
    -> tensor<2x3x?x?xf32> {
  %0 = attune.kernel ins(%x, %y : tensor<2x3x?x10xf32>, tensor<2x3x?x10xf32>) dims(%nq, %nk)
      result_dims(%nq, %nk) attributes {input_dims = array<i64: 0, 1>} -> tensor<2x3x?x?xf32> {
  ^bb0(%q: tensor<2x3x?x10xf32>, %k: tensor<2x3x?x10xf32>, %m: index, %n: index):
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty(%m, %n) : tensor<2x3x?x?xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3x?x?xf32>) -> tensor<2x3x?x?xf32>
    %c = linalg.contract indexing_maps = [affine_map<(a, b, m, n, k) -> (a, b, m, k)>,
        affine_map<(a, b, m, n, k) -> (a, b, n, k)>, affine_map<(a, b, m, n, k) -> (a, b, m, n)>]
        ins(%q, %k : tensor<2x3x?x10xf32>, tensor<2x3x?x10xf32>)
        outs(%f : tensor<2x3x?x?xf32>) -> tensor<2x3x?x?xf32>
    attune.yield %c : tensor<2x3x?x?xf32>
  }
  return %0 : tensor<2x3x?x?xf32>
}
)";

} // namespace

TEST(GemmEmitter, HeadsAndGelu) {
  std::vector<Sample> samples;
  for (auto [b, s] : {std::pair<int64_t, int64_t>{1, 1}, {2, 9}, {3, 16}, {1, 0}}) {
    Array x = Array::random("f32", {b, s, 40}, 1, -1, 1), w = Array::random("f32", {40, 48}, 2);
    Array bias = Array::random("f32", {48}, 3);
    Array want = Array::zeros("f32", {b, 3, s, 16});
    for (int64_t i = 0; i < b; ++i)
      for (int64_t j = 0; j < s; ++j)
        for (int64_t n = 0; n < 48; ++n) {
          double sum = bias[n];
          for (int64_t k = 0; k < 40; ++k)
            sum += x.at({i, j, k}) * w.at({k, n});
          want.set(want.offset({i, n / 16, j, n % 16}), gelu(sum));
        }
    samples.push_back({{x, panels(w, "f32"), bias}, {b, s}, want});
  }
  check(kHeads, samples);
}

TEST(GemmEmitter, Int8FromHeads) {
  std::vector<Sample> samples;
  for (auto [b, s] : {std::pair<int64_t, int64_t>{1, 1}, {2, 5}, {2, 30}}) {
    Array x = Array::random("f32", {b, 2, s, 12}, 1, -1, 1);
    Array w = Array::random("i8", {24, 20}, 2, -128, 128),
          scale = Array::random("f32", {20}, 3, 0, 0.02);
    Array residual = Array::random("f32", {b, s, 20}, 4);
    Array want = Array::zeros("f32", {b, s, 20});
    for (int64_t i = 0; i < b; ++i)
      for (int64_t j = 0; j < s; ++j)
        for (int64_t n = 0; n < 20; ++n) {
          double sum = residual.at({i, j, n});
          for (int64_t k = 0; k < 24; ++k)
            sum += x.at({i, k / 12, j, k % 12}) * w.at({k, n}) * scale[n];
          want.set(want.offset({i, j, n}), sum);
        }
    samples.push_back({{x, panels(w, "i8"), scale, residual}, {b, s}, want});
  }
  check(kInt8, samples);
}

TEST(GemmEmitter, BatchedScores) {
  std::vector<Sample> samples;
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {17, 33}, {5, 64}, {40, 3}}) {
    Array q = Array::random("f32", {2, 3, m, 10}, 1), k = Array::random("f32", {2, 3, n, 10}, 2);
    Array want = Array::zeros("f32", {2, 3, m, n});
    for (int64_t z = 0; z < 6; ++z)
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t d = 0; d < 10; ++d)
            sum += q[(z * m + i) * 10 + d] * k[(z * n + j) * 10 + d];
          want.set((z * m + i) * n + j, sum);
        }
    samples.push_back({{q, k}, {m, n}, want});
  }
  check(kBatched, samples);
}

TEST(GemmEmitter, Distances) {
  std::string text = R"(
func.func @main(%x: tensor<?x?xf32>, %w: tensor<?x?xf32>, %nm: index, %nn: index, %nk: index) -> tensor<?x?xf32> {
  %0 = attune.kernel ins(%x, %w : tensor<?x?xf32>, tensor<?x?xf32>) dims(%nm, %nn, %nk) result_dims(%nm, %nn)
      attributes {input_dims = array<i64: 0, 2, 1, 2>} -> tensor<?x?xf32> {
  ^bb0(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>, %m: index, %n: index, %k: index):
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty(%m, %n) : tensor<?x?xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
    %c = attune.contract ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%f : tensor<?x?xf32>)
        {kind = #attune.contract_kind<adder>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
         affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
    attune.yield %c : tensor<?x?xf32>
  }
  return %0 : tensor<?x?xf32>
}
)";
  std::vector<Sample> samples;
  for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 1}, {4, 15, 3}, {5, 16, 8}, {6, 17, 2},
                         {8, 32, 33}, {9, 33, 1}, {37, 50, 800}, {3, 5, 0}, {0, 4, 4}}) {
    Array x = Array::random("f32", {m, k}, 1), w = Array::random("f32", {n, k}, 2);
    Array want = Array::zeros("f32", {m, n});
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t d = 0; d < k; ++d)
          sum -= std::abs(double(x[i * k + d]) - w[j * k + d]);
        want.set(i * n + j, sum);
      }
    samples.push_back({{x, w}, {m, n, k}, want});
  }
  check(text, samples);
}

/// A convolution of distances over a padded image: rows and depth are sums of loops in memory.
TEST(GemmEmitter, DistancesOfImages) {
  std::string text = R"(
func.func @main(%x: tensor<2x3x9x8xf32>, %w: tensor<5x3x3x2xf32>) -> tensor<2x5x4x7xf32> {
  %0 = attune.kernel ins(%x, %w : tensor<2x3x9x8xf32>, tensor<5x3x3x2xf32>) -> tensor<2x5x4x7xf32> {
  ^bb0(%a: tensor<2x3x9x8xf32>, %b: tensor<5x3x3x2xf32>):
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<2x5x4x7xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x5x4x7xf32>) -> tensor<2x5x4x7xf32>
    %c = attune.contract ins(%a, %b : tensor<2x3x9x8xf32>, tensor<5x3x3x2xf32>) outs(%f : tensor<2x5x4x7xf32>)
        {kind = #attune.contract_kind<adder>,
         indexing_maps = [affine_map<(b, o, h, w, c, i, j) -> (b, c, h * 2 + i, w + j)>,
                          affine_map<(b, o, h, w, c, i, j) -> (o, c, i, j)>,
                          affine_map<(b, o, h, w, c, i, j) -> (b, o, h, w)>]}
    attune.yield %c : tensor<2x5x4x7xf32>
  }
  return %0 : tensor<2x5x4x7xf32>
}
)";
  Array x = Array::random("f32", {2, 3, 9, 8}, 1), w = Array::random("f32", {5, 3, 3, 2}, 2);
  Array want = Array::zeros("f32", {2, 5, 4, 7});
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t o = 0; o < 5; ++o)
      for (int64_t h = 0; h < 4; ++h)
        for (int64_t v = 0; v < 7; ++v) {
          double sum = 0;
          for (int64_t c = 0; c < 3; ++c)
            for (int64_t i = 0; i < 3; ++i)
              for (int64_t j = 0; j < 2; ++j)
                sum -= std::abs(double(x.at({b, c, h * 2 + i, v + j})) - w.at({o, c, i, j}));
          want.set(want.offset({b, o, h, v}), sum);
        }
  check(text, {{{x, w}, {}, want}});
}

TEST(GemmEmitter, Refuses) {
  // An epilogue over more elements than the product has would repeat work.
  std::string text = R"(
func.func @main(%x: tensor<4x8xf32>, %y: tensor<8x16xf32>) -> tensor<3x4x16xf32> {
  %0 = attune.kernel ins(%x, %y : tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<3x4x16xf32> {
  ^bb0(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>):
    %zero = arith.constant INIT : f32
    %e = tensor.empty() : tensor<4x16xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x16xf32>) -> tensor<4x16xf32>
    %c = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
        affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>]
        ins(%a, %b : tensor<4x8xf32>, tensor<8x16xf32>) outs(%f : tensor<4x16xf32>)
        -> tensor<4x16xf32>
    %ge = tensor.empty() : tensor<3x4x16xf32>
    %g = linalg.generic {indexing_maps = [affine_map<(z, m, n) -> (m, n)>,
        affine_map<(z, m, n) -> (z, m, n)>], iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%c : tensor<4x16xf32>) outs(%ge : tensor<3x4x16xf32>) {
    ^bb1(%i: f32, %o: f32):
      %t = arith.addf %i, %i : f32
      linalg.yield %t : f32
    } -> tensor<3x4x16xf32>
    attune.yield %g : tensor<3x4x16xf32>
  }
  return %0 : tensor<3x4x16xf32>
}
)";
  auto with = [&](const char *init) {
    std::string copy = text;
    return copy.replace(copy.find("INIT"), 4, init);
  };
  EXPECT_FALSE(matches(with("0.0")));
  EXPECT_FALSE(matches(with("1.0")));
}
