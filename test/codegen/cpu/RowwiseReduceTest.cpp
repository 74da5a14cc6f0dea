#include "RowwiseHarness.h"

#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

double layerNorm(const Array &x, std::vector<int64_t> index, int64_t n, double eps,
                 std::function<double(int64_t)> at) {
  double mean = 0, variance = 0;
  for (int64_t i = 0; i < n; ++i)
    mean += at(i);
  mean /= n;
  for (int64_t i = 0; i < n; ++i)
    variance += (at(i) - mean) * (at(i) - mean);
  return (at(index.back()) - mean) / std::sqrt(variance / n + eps);
}

const char *kResidualNorm = R"(
  %e = tensor.empty(%d0, %d1, %d2) : tensor<?x?x?xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j, k)>,
        affine_map<(i, j, k) -> (i, j, k)>], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%a0, %a1 : tensor<?x?x?xf32>, tensor<?x?x?xf32>) outs(%e : tensor<?x?x?xf32>) {
  ^bb1(%x: f32, %y: f32, %o: f32):
    %z = arith.addf %x, %y : f32
    linalg.yield %z : f32
  } -> tensor<?x?x?xf32>
  %r = attune.norm ins(%s : tensor<?x?x?xf32>) {axis = 2 : i64, eps = 1.0e-5 : f64,
      kind = #attune.norm_kind<KIND>} -> tensor<?x?x?xf32>
  attune.yield %r : tensor<?x?x?xf32>)";

std::string replaced(std::string text, const std::string &from, const std::string &to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

TEST(Rowwise, ResidualNorm) {
  for (bool layer : {true, false}) {
    std::string text = kernelText({"tensor<?x?x?xf32>", "tensor<?x?x?xf32>"}, {0, 1, 2, 0, 1, 2}, 3,
                                  {"tensor<?x?x?xf32>"}, {0, 1, 2},
                                  replaced(kResidualNorm, "KIND", layer ? "layer" : "rms"));
    for (const CpuTarget &target : runnableTargets()) {
      Kernel kernel(text, *createRowwiseEmitter(), target);
      ASSERT_TRUE(kernel.matched());
      for (int64_t n : kLengths) {
        Array x = Array::random("f32", {2, 5, n}, 1, 99, 101),
              y = Array::random("f32", {2, 5, n}, 2);
        KernelRun run = kernel.run({x, y}, {2, 5, n});
        KernelRun two = kernel.run({x, y}, {2, 5, n}, 2);
        EXPECT_TRUE(run.outputs[0] == two.outputs[0]);
        expectNear(
            run.outputs[0], {2, 5, n},
            [&](auto &i) {
              auto at = [&](int64_t k) { return x.at({i[0], i[1], k}) + y.at({i[0], i[1], k}); };
              if (layer)
                return layerNorm(x, i, n, 1e-5, at);
              double sum = 0;
              for (int64_t k = 0; k < n; ++k)
                sum += at(k) * at(k);
              return at(i[2]) / std::sqrt(sum / n + 1e-5);
            },
            2e-4);
      }
    }
  }
}

const char *kSoftmax = R"(
  %e = tensor.empty(%d0, %d1) : tensor<?x?xf32>
  %r = linalg.softmax dimension(DIM) ins(%a0 : tensor<?x?xf32>) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  attune.yield %r : tensor<?x?xf32>)";

TEST(Rowwise, Softmax) {
  for (int axis : {1, 0}) {
    std::string text = kernelText({"tensor<?x?xf32>"}, {0, 1}, 2, {"tensor<?x?xf32>"}, {0, 1},
                                  replaced(kSoftmax, "DIM", std::to_string(axis)));
    for (const CpuTarget &target : runnableTargets()) {
      Kernel kernel(text, *createRowwiseEmitter(), target);
      ASSERT_TRUE(kernel.matched());
      for (int64_t m : {1, 6})
        for (int64_t n : kLengths) {
          Array x = Array::random("f32", {m, n}, 1, -90, 90);
          if (n > 3) {
            x.set(2, -INFINITY);
            x.set(n * m - 1, NAN);
          }
          KernelRun run = kernel.run({x}, {m, n});
          expectNear(
              run.outputs[0], {m, n},
              [&](auto &i) {
                double most = -INFINITY, sum = 0;
                for (int64_t k = 0; k < x.shape[axis]; ++k)
                  most = std::fmax(most, axis ? x.at({i[0], k}) : x.at({k, i[1]}));
                for (int64_t k = 0; k < x.shape[axis]; ++k)
                  sum += std::exp((axis ? x.at({i[0], k}) : x.at({k, i[1]})) - most);
                return std::exp(x.at(i) - most) / sum;
              },
              2e-6);
        }
    }
  }
}

/// Embedding lookup of two tables, sum, layer norm with scale and bias; padding of ids is checked.
const char *kEmbedding = R"(
  %e = tensor.empty(%d0, %d1) : tensor<?x?x24xf32>
  %g = linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i, j)>, affine_map<(i, j, k) -> (j, k)>,
        affine_map<(i, j, k) -> (i, j, k)>], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%a0, %a2 : tensor<?x?xi64>, tensor<?x24xf32>) outs(%e : tensor<?x?x24xf32>) {
  ^bb1(%id: i64, %position: f32, %o: f32):
    %rows = arith.constant 11 : index
    %last = arith.constant 10 : index
    %zero = arith.constant 0 : index
    %raw = arith.index_cast %id : i64 to index
    %neg = arith.cmpi slt, %raw, %zero : index
    %wrapped = arith.addi %raw, %rows : index
    %index = arith.select %neg, %wrapped, %raw : index
    %ge = arith.cmpi sge, %index, %zero : index
    %lt = arith.cmpi slt, %index, %rows : index
    %ok = arith.andi %ge, %lt : i1
    cf.assert %ok, "index out of range"
    %low = arith.maxsi %index, %zero : index
    %safe = arith.minsi %low, %last : index
    %k = linalg.index 2 : index
    %v = tensor.extract %a1[%safe, %k] : tensor<11x24xf32>
    %s = arith.addf %v, %position : f32
    linalg.yield %s : f32
  } -> tensor<?x?x24xf32>
  %r = attune.norm ins(%g : tensor<?x?x24xf32>) scale(%a3 : tensor<24xf32>) bias(%a4 : tensor<24xf32>)
      {axis = 2 : i64, eps = 1.0e-12 : f64, kind = #attune.norm_kind<layer>} -> tensor<?x?x24xf32>
  attune.yield %r : tensor<?x?x24xf32>)";

const char *kGroupNorm = R"(
  %r = attune.norm ins(%a0 : tensor<?x6x?x?xf32>) scale(%a1 : tensor<6xf32>) bias(%a2 : tensor<6xf32>)
      {axis = 1 : i64, eps = 1.0e-5 : f64, groups = GROUPS : i64, kind = #attune.norm_kind<group>}
      -> tensor<?x6x?x?xf32>
  attune.yield %r : tensor<?x6x?x?xf32>)";

TEST(Rowwise, GroupNorm) {
  for (int64_t groups : {2, 6}) {
    std::string text = kernelText({"tensor<?x6x?x?xf32>", "tensor<6xf32>", "tensor<6xf32>"},
                                  {0, 1, 2}, 3, {"tensor<?x6x?x?xf32>"}, {0, 1, 2},
                                  replaced(kGroupNorm, "GROUPS", std::to_string(groups)));
    for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {9, 33}}) {
      Array x = Array::random("f32", {2, 6, h, w}, 1, 99, 101),
            scale = Array::random("f32", {6}, 2), bias = Array::random("f32", {6}, 3);
      runAll(text, {x, scale, bias}, {2, h, w}, [&, h = h, w = w](const KernelRun &run) {
        int64_t each = 6 / groups, count = each * h * w;
        expectNear(
            run.outputs[0], {2, 6, h, w},
            [&](auto &i) {
              auto at = [&](int64_t k) {
                return x.at({i[0], i[1] / each * each + k / (h * w), k / w % h, k % w});
              };
              double mean = 0, variance = 0;
              for (int64_t k = 0; k < count; ++k)
                mean += at(k) / count;
              for (int64_t k = 0; k < count; ++k)
                variance += (at(k) - mean) * (at(k) - mean) / count;
              return (x.at(i) - mean) / std::sqrt(variance + 1e-5) * scale[i[1]] + bias[i[1]];
            },
            2e-4);
      });
    }
  }
}

TEST(Rowwise, EmbeddingNorm) {
  std::string text = kernelText({"tensor<?x?xi64>", "tensor<11x24xf32>", "tensor<?x24xf32>",
                                 "tensor<24xf32>", "tensor<24xf32>"},
                                {0, 1, 1}, 2, {"tensor<?x?x24xf32>"}, {0, 1}, kEmbedding);
  Array ids = Array::random("i64", {3, 7}, 1, -11, 11), table = Array::random("f32", {11, 24}, 2),
        position = Array::random("f32", {7, 24}, 3), scale = Array::random("f32", {24}, 4),
        bias = Array::random("f32", {24}, 5);
  runAll(text, {ids, table, position, scale, bias}, {3, 7}, [&](const KernelRun &run) {
    EXPECT_EQ(run.code, 0);
    expectNear(
        run.outputs[0], {3, 7, 24},
        [&](auto &i) {
          int64_t id = ids.at({i[0], i[1]});
          auto at = [&](int64_t k) {
            return table.at({id < 0 ? id + 11 : id, k}) + position.at({i[1], k});
          };
          return layerNorm(table, i, 24, 1e-12, at) * scale[i[2]] + bias[i[2]];
        },
        1e-5);
  });
  for (double bad : {11., -12., 1e15, -1e15}) {
    ids.set(20, bad);
    runAll(text, {ids, table, position, scale, bias}, {3, 7},
           [&](const KernelRun &run) { EXPECT_EQ(run.code, ATTUNE_KERNEL_INDEX_OUT_OF_RANGE); });
  }
}

/// Mean over the tokens that the mask keeps, then division by the row's length.
const char *kPool = R"(
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty(%d0) : tensor<?x40xf32>
  %ec = tensor.empty(%d0) : tensor<?xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<?x40xf32>) -> tensor<?x40xf32>
  %ic = linalg.fill ins(%zero : f32) outs(%ec : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(b, s, d) -> (b, s, d)>, affine_map<(b, s, d) -> (b, s)>,
        affine_map<(b, s, d) -> (b, d)>], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%a0, %a1 : tensor<?x?x40xf32>, tensor<?x?xi64>) outs(%i : tensor<?x40xf32>) {
  ^bb1(%x: f32, %m: i64, %acc: f32):
    %f = arith.sitofp %m : i64 to f32
    %y = arith.mulf %x, %f : f32
    %z = arith.addf %acc, %y : f32
    linalg.yield %z : f32
  } -> tensor<?x40xf32>
  %count = linalg.generic {indexing_maps = [affine_map<(b, s) -> (b, s)>, affine_map<(b, s) -> (b)>],
      iterator_types = ["parallel", "reduction"]} ins(%a1 : tensor<?x?xi64>) outs(%ic : tensor<?xf32>) {
  ^bb1(%m: i64, %acc: f32):
    %f = arith.sitofp %m : i64 to f32
    %z = arith.addf %f, %acc : f32
    linalg.yield %z : f32
  } -> tensor<?xf32>
  %mean = linalg.generic {indexing_maps = [affine_map<(b, d) -> (b, d)>, affine_map<(b, d) -> (b)>,
        affine_map<(b, d) -> (b, d)>], iterator_types = ["parallel", "parallel"]}
      ins(%sum, %count : tensor<?x40xf32>, tensor<?xf32>) outs(%e : tensor<?x40xf32>) {
  ^bb1(%s: f32, %n: f32, %o: f32):
    %tiny = arith.constant 1.0e-9 : f32
    %c = arith.maximumf %n, %tiny : f32
    %q = arith.divf %s, %c : f32
    linalg.yield %q : f32
  } -> tensor<?x40xf32>
  %squares = linalg.generic {indexing_maps = [affine_map<(b, d) -> (b, d)>, affine_map<(b, d) -> (b)>],
      iterator_types = ["parallel", "reduction"]} ins(%mean : tensor<?x40xf32>) outs(%ic : tensor<?xf32>) {
  ^bb1(%q: f32, %acc: f32):
    %p = arith.mulf %q, %q : f32
    %z = arith.addf %p, %acc : f32
    linalg.yield %z : f32
  } -> tensor<?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(b, d) -> (b, d)>, affine_map<(b, d) -> (b)>,
        affine_map<(b, d) -> (b, d)>], iterator_types = ["parallel", "parallel"]}
      ins(%mean, %squares : tensor<?x40xf32>, tensor<?xf32>) outs(%e : tensor<?x40xf32>) {
  ^bb1(%q: f32, %n: f32, %o: f32):
    %l = math.sqrt %n : f32
    %y = arith.divf %q, %l : f32
    linalg.yield %y : f32
  } -> tensor<?x40xf32>
  attune.yield %r, %count : tensor<?x40xf32>, tensor<?xf32>)";

TEST(Rowwise, MaskedMeanPool) {
  std::string text = kernelText({"tensor<?x?x40xf32>", "tensor<?x?xi64>"}, {0, 1, 0, 1}, 2,
                                {"tensor<?x40xf32>", "tensor<?xf32>"}, {0, 0}, kPool);
  for (int64_t s : {1, 6, 37}) {
    Array x = Array::random("f32", {3, s, 40}, 1), mask = Array::random("i64", {3, s}, 2, 0, 2);
    for (int64_t b = 0; b < 3; ++b)
      mask.set(b * s, 1);
    auto mean = [&](int64_t b, int64_t d) {
      double sum = 0, count = 0;
      for (int64_t k = 0; k < s; ++k) {
        sum += x.at({b, k, d}) * mask.at({b, k});
        count += mask.at({b, k});
      }
      return sum / count;
    };
    runAll(text, {x, mask}, {3, s}, [&](const KernelRun &run) {
      expectNear(
          run.outputs[0], {3, 40},
          [&](auto &i) {
            double sum = 0;
            for (int64_t d = 0; d < 40; ++d)
              sum += mean(i[0], d) * mean(i[0], d);
            return mean(i[0], i[1]) / std::sqrt(sum);
          },
          1e-5);
      expectNear(
          run.outputs[1], {3},
          [&](auto &i) {
            double count = 0;
            for (int64_t k = 0; k < s; ++k)
              count += mask.at({i[0], k});
            return count;
          },
          0);
    });
  }
}

/// Division by the sum of everything: each row would compute the whole sum again.
const char *kGlobalSum = R"(
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty(%d0) : tensor<?xf32>
  %s = tensor.empty() : tensor<f32>
  %i = linalg.fill ins(%zero : f32) outs(%s : tensor<f32>) -> tensor<f32>
  %sum = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>],
      iterator_types = ["reduction", "reduction"]} ins(%a1 : tensor<?x?xf32>) outs(%i : tensor<f32>) {
  ^bb1(%x: f32, %acc: f32):
    %z = arith.addf %x, %acc : f32
    linalg.yield %z : f32
  } -> tensor<f32>
  %ee = tensor.empty(%d0, %d1) : tensor<?x?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> ()>,
      affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %sum : tensor<?xf32>, tensor<f32>) outs(%ee : tensor<?x?xf32>) {
  ^bb1(%x: f32, %y: f32, %o: f32):
    %z = arith.divf %x, %y : f32
    linalg.yield %z : f32
  } -> tensor<?x?xf32>
  attune.yield %r : tensor<?x?xf32>)";

TEST(Rowwise, RefusesRepeatedReductions) {
  std::string text = kernelText({"tensor<?xf32>", "tensor<?x?xf32>"}, {0, 0, 1}, 2,
                                {"tensor<?x?xf32>"}, {0, 1}, kGlobalSum);
  Kernel kernel(text, *createRowwiseEmitter(), runnableTargets().back());
  EXPECT_FALSE(kernel.matched());
}

} // namespace
