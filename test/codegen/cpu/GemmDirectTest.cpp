#include "KernelHarness.h"

#include <array>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

/// A filter over time for each head, of products or distances: [b, t + 2 k, h C + r] and [h, k],
/// with the result's last axis given (where vectors end) and an epilogue that reads a value per
/// head.
std::string window(bool distance, int64_t channels) {
  std::string image = "tensor<?x?x3x" + std::to_string(channels) + "xf32>";
  std::string width = std::to_string(channels);
  std::string source = "tensor<?x?x" + std::to_string(3 * channels) + "xf32>";
  std::string maps = "affine_map<(b, t, h, r, k) -> (b, t + k * 2, h * " + width +
                     " + r)>, "
                     "affine_map<(b, t, h, r, k) -> (h, k)>, "
                     "affine_map<(b, t, h, r, k) -> (b, t, h, r)>";
  std::string sum =
      distance
          ? "%c = attune.contract ins(%a, %w : " + source +
                ", tensor<3x5xf32>) outs(%f : " + image +
                ") {kind = #attune.contract_kind<adder>, indexing_maps = [" + maps + "]}"
          : "%c = linalg.generic {indexing_maps = [" + maps +
                R"(], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
                     ins(%a, %w : )" +
                source + ", tensor<3x5xf32>) outs(%f : " + image + R"() {
                   ^bb0(%p: f32, %q: f32, %total: f32):
                     %m = arith.mulf %p, %q : f32
                     %s = arith.addf %total, %m : f32
                     linalg.yield %s : f32
                   } -> )" +
                image;
  return "func.func @main(%x: " + source +
         ", %v: tensor<3x5xf32>, %u: tensor<3xf32>, %nb: index, %nt: index, %no: index) -> " +
         image + "{ %0 = attune.kernel ins(%x, %v, %u : " + source +
         ", tensor<3x5xf32>, tensor<3xf32>) dims(%nb, %nt, %no) result_dims(%nb, %no)"
         " attributes {input_dims = array<i64: 0, 1>} -> " +
         image + "{ ^bb0(%a: " + source +
         ", %w: tensor<3x5xf32>, %bias: tensor<3xf32>, %b: index, %t: index, %o: index):" + R"(
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty(%b, %o) : )" +
         image + R"(
    %f = linalg.fill ins(%zero : f32) outs(%e : )" +
         image + ") -> " + image + "\n" + sum + R"(
    %g = linalg.generic {indexing_maps = [affine_map<(b, t, h, r) -> (b, t, h, r)>, affine_map<(b, t, h, r) -> (h)>,
        affine_map<(b, t, h, r) -> (b, t, h, r)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
        ins(%c, %bias : )" +
         image + ", tensor<3xf32>) outs(%e : " + image + R"() {
    ^bb0(%i: f32, %d: f32, %old: f32):
      %r = arith.addf %i, %d : f32
      linalg.yield %r : f32
    } -> )" +
         image + "\n attune.yield %g : " + image + "} return %0 : " + image + "}";
}

} // namespace

TEST(GemmDirect, Windows) {
  for (bool distance : {false, true})
    for (int64_t channels : {2, 7, 16, 83})
      for (const CpuTarget &target : runnableTargets()) {
        Kernel kernel(window(distance, channels), *createGemmEmitter(), target);
        ASSERT_TRUE(kernel.matched()) << target.cpu;
        for (auto [batch, length] : {std::array<int64_t, 2>{1, 9}, {2, 14}, {0, 9}, {3, 8}}) {
          int64_t out = length - 8;
          Array x = Array::random("f32", {batch, length, 3 * channels}, 1);
          Array w = Array::random("f32", {3, 5}, 2), bias = Array::random("f32", {3}, 3);
          Array want = Array::zeros("f32", {batch, out, 3, channels});
          for (int64_t b = 0; b < batch; ++b)
            for (int64_t t = 0; t < out; ++t)
              for (int64_t h = 0; h < 3; ++h)
                for (int64_t r = 0; r < channels; ++r) {
                  double sum = bias[h];
                  for (int64_t k = 0; k < 5; ++k) {
                    double value = x.at({b, t + 2 * k, h * channels + r}), tap = w.at({h, k});
                    sum += distance ? -std::abs(value - tap) : value * tap;
                  }
                  want.set(want.offset({b, t, h, r}), sum);
                }
          for (unsigned threads : {1u, 2u}) {
            KernelRun run = kernel.run({x, w, bias}, {batch, length, out}, threads);
            EXPECT_EQ(run.code, 0);
            EXPECT_LE(error(run.outputs[0], want), 1e-5) << target.cpu;
          }
          EXPECT_TRUE(kernel.run({x, w, bias}, {batch, length, out}, 1).outputs[0] ==
                      kernel.run({x, w, bias}, {batch, length, out}, 2).outputs[0]);
        }
      }
}
