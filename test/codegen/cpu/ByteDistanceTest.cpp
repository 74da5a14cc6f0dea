#include "KernelHarness.h"

#include <array>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

/// -sum |a - b| of the bytes that the arrays hold.
int64_t byteDistance(const Array &a, int64_t at, int64_t step, const Array &b, int64_t from,
                     int64_t stride, int64_t count) {
  int64_t sum = 0;
  for (int64_t k = 0; k < count; ++k)
    sum -= std::abs(static_cast<uint8_t>(a.bytes[at + k * step]) -
                    static_cast<uint8_t>(b.bytes[from + k * stride]));
  return sum;
}

/// Bytes of which a third are 0 or 255.
Array randomBytes(std::vector<int64_t> shape, unsigned seed) {
  Array bytes = Array::random("i8", std::move(shape), seed, -128, 128);
  for (size_t i = seed; i < bytes.bytes.size(); i += 3)
    bytes.bytes[i] = i % 2 ? 0 : static_cast<char>(255);
  return bytes;
}

const std::vector<std::array<int64_t, 3>> kByteSizes = {
    {1, 1, 1},    {2, 3, 7},   {5, 4, 8},     {6, 5, 9}, {7, 9, 15}, {12, 16, 31},
    {13, 17, 64}, {3, 33, 65}, {37, 300, 21}, {3, 5, 0}, {0, 4, 4},  {4, 0, 4}};

} // namespace

/// Exact, with both orders of the weight in memory, and an epilogue that makes floats of the sums.
TEST(ByteDistance, Products) {
  std::string text = R"(
func.func @main(%x: tensor<?x?xi8>, %w: tensor<?x?xi8>, %v: tensor<?xf32>, %nm: index, %nn: index, %nk: index)
    -> (tensor<?x?xi32>, tensor<?x?xf32>) {
  %0:2 = attune.kernel ins(%x, %w, %v : tensor<?x?xi8>, tensor<?x?xi8>, tensor<?xf32>) dims(%nm, %nn, %nk)
      result_dims(%nm, %nn, %nm, %nn) attributes {input_dims = array<i64: 0, 2, WDIMS, 1>} -> tensor<?x?xi32>, tensor<?x?xf32> {
  ^bb0(%a: tensor<?x?xi8>, %b: tensor<?x?xi8>, %bias: tensor<?xf32>, %m: index, %n: index, %k: index):
    %zero = arith.constant 0 : i32
    %scale = arith.constant 0.5 : f32
    %e = tensor.empty(%m, %n) : tensor<?x?xi32>
    %f = linalg.fill ins(%zero : i32) outs(%e : tensor<?x?xi32>) -> tensor<?x?xi32>
    %c = attune.contract ins(%a, %b : tensor<?x?xi8>, tensor<?x?xi8>) outs(%f : tensor<?x?xi32>)
        {kind = #attune.contract_kind<adder>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
         affine_map<(m, n, k) -> (WMAP)>, affine_map<(m, n, k) -> (m, n)>]}
    %ge = tensor.empty(%m, %n) : tensor<?x?xf32>
    %g = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>,
        affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
        ins(%c, %bias : tensor<?x?xi32>, tensor<?xf32>) outs(%ge : tensor<?x?xf32>) {
    ^bb1(%i: i32, %d: f32, %o: f32):
      %t = arith.sitofp %i : i32 to f32
      %u = arith.mulf %t, %scale : f32
      %r = arith.addf %u, %d : f32
      linalg.yield %r : f32
    } -> tensor<?x?xf32>
    attune.yield %c, %g : tensor<?x?xi32>, tensor<?x?xf32>
  }
  return %0#0, %0#1 : tensor<?x?xi32>, tensor<?x?xf32>
}
)";
  for (bool transposed : {true, false}) {
    std::string copy = text;
    copy.replace(copy.find("WDIMS"), 5, transposed ? "1, 2" : "2, 1");
    copy.replace(copy.find("WMAP"), 4, transposed ? "n, k" : "k, n");
    for (const CpuTarget &target : runnableTargets()) {
      Kernel kernel(copy, *createGemmEmitter(), target);
      ASSERT_TRUE(kernel.matched()) << target.cpu;
      for (auto [m, n, k] : kByteSizes) {
        Array x = randomBytes({m, k}, 1);
        Array w = randomBytes(transposed ? std::vector{n, k} : std::vector{k, n}, 2);
        Array v = Array::random("f32", {n}, 3);
        Array sums = Array::zeros("i32", {m, n}), scaled = Array::zeros("f32", {m, n});
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            int64_t sum =
                byteDistance(x, i * k, 1, w, transposed ? j * k : j, transposed ? 1 : n, k);
            sums.set(i * n + j, sum);
            scaled.set(i * n + j, sum * 0.5 + v[j]);
          }
        for (unsigned threads : {1u, 2u}) {
          KernelRun run = kernel.run({x, w, v}, {m, n, k}, threads);
          EXPECT_EQ(run.code, 0);
          EXPECT_TRUE(run.outputs[0] == sums) << target.cpu << " " << m << " " << n << " " << k;
          EXPECT_LE(error(run.outputs[1], scaled), 1e-6);
        }
      }
    }
  }
}

/// Weights that the compiler has laid out, with columns and depth filled up.
TEST(ByteDistance, PackedWeights) {
  for (auto [n, k] : {std::array<int64_t, 2>{1, 1}, {16, 8}, {37, 21}, {33, 64}, {300, 9}}) {
    int64_t panels = (n + 15) / 16, groups = (k + 7) / 8;
    std::string number = std::to_string(n), depth = std::to_string(k);
    std::string packed =
        "tensor<" + std::to_string(panels) + "x" + std::to_string(groups) + "x16x8xi8>";
    std::string matrix = "tensor<" + number + "x" + depth + "xi8>";
    std::string input = "tensor<?x" + depth + "xi8>", result = "tensor<?x" + number + "xi32>";
    std::string text = "func.func @main(%x: " + input + ", %w: " + packed + ", %nm: index) -> " +
                       result + "{ %0 = attune.kernel ins(%x, %w : " + input + ", " + packed +
                       ") dims(%nm) result_dims(%nm)" +
                       " attributes {input_dims = array<i64: 0>} -> " + result + "{" +
                       "^bb0(%a: " + input + ", %p: " + packed + ", %m: index):" + R"(
    %zero = arith.constant 0 : i32
    %we = tensor.empty() : )" +
                       matrix + R"(
    %b = linalg.unpack %p inner_dims_pos = [0, 1] inner_tiles = [16, 8] into %we : )" +
                       packed + " -> " + matrix + "%e = tensor.empty(%m) : " + result +
                       "%f = linalg.fill ins(%zero : i32) outs(%e : " + result + ") -> " + result +
                       "%c = attune.contract ins(%a, %b : " + input + ", " + matrix +
                       ") outs(%f : " + result + R"()
        {kind = #attune.contract_kind<adder>, indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
         affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]}
    attune.yield %c : )" +
                       result + "} return %0 : " + result + "}";
    Array w = randomBytes({n, k}, 2), p = Array::zeros("i8", {panels, groups, 16, 8});
    for (int64_t j = 0; j < n; ++j)
      for (int64_t d = 0; d < k; ++d)
        p.bytes[((j / 16 * groups + d / 8) * 16 + j % 16) * 8 + d % 8] = w.bytes[j * k + d];
    for (const CpuTarget &target : runnableTargets()) {
      Kernel kernel(text, *createGemmEmitter(), target);
      ASSERT_TRUE(kernel.matched()) << target.cpu;
      for (int64_t m : {1, 7}) {
        Array x = randomBytes({m, k}, 1), want = Array::zeros("i32", {m, n});
        for (int64_t i = 0; i < m * n; ++i)
          want.set(i, byteDistance(x, i / n * k, 1, w, i % n * k, 1, k));
        EXPECT_TRUE(kernel.run({x, p}, {m}, 1).outputs[0] == want) << target.cpu;
        EXPECT_TRUE(kernel.run({x, p}, {m}, 2).outputs[0] == want) << target.cpu;
      }
    }
  }
}

/// A convolution over a padded image: panels of pixels within a row and across rows.
TEST(ByteDistance, Convolution) {
  std::string text = R"(
func.func @main(%x: tensor<2x3x9x24xi8>, %w: tensor<5x3x3x2xi8>) -> tensor<2x5x4x23xi32> {
  %0 = attune.kernel ins(%x, %w : tensor<2x3x9x24xi8>, tensor<5x3x3x2xi8>) -> tensor<2x5x4x23xi32> {
  ^bb0(%a: tensor<2x3x9x24xi8>, %b: tensor<5x3x3x2xi8>):
    %zero = arith.constant 0 : i32
    %e = tensor.empty() : tensor<2x5x4x23xi32>
    %f = linalg.fill ins(%zero : i32) outs(%e : tensor<2x5x4x23xi32>) -> tensor<2x5x4x23xi32>
    %c = attune.contract ins(%a, %b : tensor<2x3x9x24xi8>, tensor<5x3x3x2xi8>) outs(%f : tensor<2x5x4x23xi32>)
        {kind = #attune.contract_kind<adder>,
         indexing_maps = [affine_map<(b, o, h, w, c, i, j) -> (b, c, h * 2 + i, w + j)>,
                          affine_map<(b, o, h, w, c, i, j) -> (o, c, i, j)>,
                          affine_map<(b, o, h, w, c, i, j) -> (b, o, h, w)>]}
    attune.yield %c : tensor<2x5x4x23xi32>
  }
  return %0 : tensor<2x5x4x23xi32>
}
)";
  Array x = randomBytes({2, 3, 9, 24}, 1), w = randomBytes({5, 3, 3, 2}, 2);
  Array want = Array::zeros("i32", {2, 5, 4, 23});
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t o = 0; o < 5; ++o)
      for (int64_t h = 0; h < 4; ++h)
        for (int64_t v = 0; v < 23; ++v) {
          int64_t sum = 0;
          for (int64_t c = 0; c < 3; ++c)
            for (int64_t i = 0; i < 3; ++i)
              sum += byteDistance(x, x.offset({b, c, h * 2 + i, v}), 1, w, w.offset({o, c, i, 0}),
                                  1, 2);
          want.set(want.offset({b, o, h, v}), sum);
        }
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(text, *createGemmEmitter(), target);
    ASSERT_TRUE(kernel.matched()) << target.cpu;
    EXPECT_TRUE(kernel.run({x, w}, {}, 1).outputs[0] == want) << target.cpu;
    EXPECT_TRUE(kernel.run({x, w}, {}, 2).outputs[0] == want) << target.cpu;
  }
}
