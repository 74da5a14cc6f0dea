#include "RowwiseHarness.h"

using namespace attune::test;

namespace {

/// y[b, j, i] = x[b, i, j] + z[b, j, i]
const char *kTransposed = R"(
  %e = tensor.empty(%d0, %d1, %d2) : tensor<?x?x?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(b, j, i) -> (b, i, j)>,
        affine_map<(b, j, i) -> (b, j, i)>, affine_map<(b, j, i) -> (b, j, i)>],
        iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%a0, %a1 : tensor<?x?x?xf32>, tensor<?x?x?xf32>) outs(%e : tensor<?x?x?xf32>) {
  ^bb1(%x: f32, %z: f32, %o: f32):
    %s = arith.addf %x, %z : f32
    linalg.yield %s : f32
  } -> tensor<?x?x?xf32>
  attune.yield %r : tensor<?x?x?xf32>)";

/// Around the ends of blocks of lanes, and rows that lie a power of two apart.
const std::pair<int64_t, int64_t> kSizes[] = {{1, 1},   {1, 40},   {40, 1},  {15, 17}, {16, 16},
                                              {17, 15}, {31, 33},  {37, 41}, {64, 64}, {13, 512},
                                              {512, 5}, {67, 128}, {0, 16},  {16, 0}};

TEST(RowwiseTranspose, DynamicSizes) {
  std::string text = kernelText({"tensor<?x?x?xf32>", "tensor<?x?x?xf32>"}, {0, 2, 1, 0, 1, 2}, 3,
                                {"tensor<?x?x?xf32>"}, {0, 1, 2}, kTransposed);
  for (auto [n, m] : kSizes) {
    Array x = Array::random("f32", {2, m, n}, 1), z = Array::random("f32", {2, n, m}, 2);
    runAll(text, {x, z}, {2, n, m}, [&, m = m, n = n](const KernelRun &run) {
      expectNear(
          run.outputs[0], {2, n, m},
          [&](auto &i) {
            return x.at({i[0], i[2], i[1]}) + z.at(i);
          },
          1e-6);
    });
  }
}

TEST(RowwiseTranspose, StaticSizes) {
  for (const char *dtype : {"f32", "f16", "i64"})
    for (auto [n, m] : {std::pair<int64_t, int64_t>{16, 17}, {7, 31}, {64, 128}}) {
      std::string from =
                      "tensor<" + std::to_string(m) + "x" + std::to_string(n) + "x" + dtype + ">",
                  to = "tensor<" + std::to_string(n) + "x" + std::to_string(m) + "x" + dtype + ">";
      std::string text =
          kernelText({from}, {}, 0, {to}, {},
                     "%e = tensor.empty() : " + to + "\n%t = linalg.transpose ins(%a0 : " + from +
                         ") outs(%e : " + to + ") permutation = [1, 0]\nattune.yield %t : " + to);
      Array x = Array::random(dtype, {m, n}, 1, -9, 9);
      runAll(text, {x}, {}, [&, m = m, n = n](const KernelRun &run) {
        expectNear(
            run.outputs[0], {n, m},
            [&](auto &i) {
              return x.at({i[1], i[0]});
            },
            0);
      });
    }
}

} // namespace
