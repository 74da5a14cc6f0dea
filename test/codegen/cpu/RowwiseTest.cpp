#include "KernelHarness.h"

#include <cmath>
#include <functional>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

/// A kernel whose region is `body`; inputs are `a0`, `a1`, ..., sizes `d0`, `d1`, ...
std::string kernelText(std::vector<std::string> inputs, std::vector<int> inputDims, int numDims,
                       std::vector<std::string> results, std::vector<int> resultDims,
                       const std::string &body) {
  auto join = [](const std::vector<std::string> &parts) {
    std::string text;
    for (const std::string &part : parts)
      text += (text.empty() ? "" : ", ") + part;
    return text;
  };
  std::vector<std::string> args, names, block, dims, extents;
  for (size_t i = 0; i < inputs.size(); ++i) {
    args.push_back("%x" + std::to_string(i) + ": " + inputs[i]);
    names.push_back("%x" + std::to_string(i));
    block.push_back("%a" + std::to_string(i) + ": " + inputs[i]);
  }
  for (int i = 0; i < numDims; ++i) {
    args.push_back("%n" + std::to_string(i) + ": index");
    dims.push_back("%n" + std::to_string(i));
    block.push_back("%d" + std::to_string(i) + ": index");
  }
  for (int dim : resultDims)
    extents.push_back("%n" + std::to_string(dim));
  std::vector<std::string> numbers;
  for (int dim : inputDims)
    numbers.push_back(std::to_string(dim));
  std::string text = "func.func @main(" + join(args) +
                     ") {\n  %r:" + std::to_string(results.size()) + " = attune.kernel ";
  if (!inputs.empty())
    text += "ins(" + join(names) + " : " + join(inputs) + ") ";
  if (!dims.empty())
    text += "dims(" + join(dims) + ") ";
  if (!extents.empty())
    text += "result_dims(" + join(extents) + ") ";
  text += "attributes {input_dims = array<i64" + std::string(numbers.empty() ? "" : ": ") +
          join(numbers) + ">} -> " + join(results) + " {\n^bb0(" + join(block) + "):\n" + body +
          "\n}\nreturn\n}\n";
  return text;
}

/// Runs on every target with one and two threads, expects the same bits from both, and gives the
/// results of each target to `check`.
void runAll(const std::string &text, std::vector<Array> inputs, std::vector<int64_t> sizes,
            std::function<void(const KernelRun &)> check) {
  for (const CpuTarget &target : runnableTargets()) {
    SCOPED_TRACE(target.cpu);
    Kernel kernel(text, *createRowwiseEmitter(), target);
    ASSERT_TRUE(kernel.matched());
    KernelRun one = kernel.run(inputs, sizes, 1), two = kernel.run(inputs, sizes, 2);
    EXPECT_EQ(one.code, two.code);
    for (size_t i = 0; i < one.outputs.size(); ++i)
      EXPECT_TRUE(one.outputs[i] == two.outputs[i]) << "bits depend on the number of threads";
    check(one);
  }
}

void expectNear(const Array &got, const std::vector<int64_t> &shape,
                std::function<double(const std::vector<int64_t> &)> expected, double tolerance) {
  ASSERT_EQ(got.shape, shape);
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t i = 0; i < got.size(); ++i) {
    int64_t rest = i;
    for (int64_t axis = static_cast<int64_t>(shape.size()) - 1; axis >= 0; --axis) {
      index[axis] = rest % shape[axis];
      rest /= shape[axis];
    }
    double x = got[i], y = expected(index);
    if (std::isnan(y) ? !std::isnan(x)
                      : !(x == y || std::abs(x - y) <= tolerance * (1 + std::abs(y)))) {
      ADD_FAILURE() << "element " << i << ": " << x << ", expected " << y;
      return;
    }
  }
}

const std::vector<int64_t> kLengths = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 67, 131};

//===--------------------------------------------------------------------------------------------===//
// Elementwise
//===--------------------------------------------------------------------------------------------===//

const char *kSilu = R"(
  %e = tensor.empty(%d0) : tensor<?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]} ins(%a0 : tensor<?xf32>) outs(%e : tensor<?xf32>) {
  ^bb1(%x: f32, %o: f32):
    %one = arith.constant 1.0 : f32
    %n = arith.negf %x : f32
    %p = math.exp %n : f32
    %s = arith.addf %p, %one : f32
    %y = arith.divf %x, %s : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  attune.yield %r : tensor<?xf32>)";

TEST(Rowwise, Silu) {
  std::string text = kernelText({"tensor<?xf32>"}, {0}, 1, {"tensor<?xf32>"}, {0}, kSilu);
  for (int64_t n : {0, 1, 15, 16, 17, 4097, 100003}) {
    Array x = Array::random("f32", {n}, 1, -8, 8);
    runAll(text, {x}, {n}, [&](const KernelRun &run) {
      EXPECT_EQ(run.code, 0);
      expectNear(
          run.outputs[0], {n}, [&](auto &i) { return x.at(i) / (1 + std::exp(-x.at(i))); }, 2e-6);
    });
  }
}

/// Every kind of broadcast: full, row, column, scalar, leading axis missing.
const char *kBroadcast = R"(
  %e = tensor.empty(%d0, %d1) : tensor<?x?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (0, j)>,
        affine_map<(i, j) -> (i, 0)>, affine_map<(i, j) -> ()>, affine_map<(i, j) -> (j)>,
        affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%a0, %a1, %a2, %a3, %a4 : tensor<?x?xf32>, tensor<1x?xf32>, tensor<?x1xf32>, tensor<f32>, tensor<?xf32>)
      outs(%e : tensor<?x?xf32>) {
  ^bb1(%x: f32, %row: f32, %column: f32, %scalar: f32, %last: f32, %o: f32):
    %0 = arith.mulf %x, %row : f32
    %1 = arith.addf %0, %column : f32
    %2 = arith.mulf %1, %scalar : f32
    %3 = arith.subf %2, %last : f32
    linalg.yield %3 : f32
  } -> tensor<?x?xf32>
  attune.yield %r : tensor<?x?xf32>)";

TEST(Rowwise, Broadcasts) {
  std::string text = kernelText(
      {"tensor<?x?xf32>", "tensor<1x?xf32>", "tensor<?x1xf32>", "tensor<f32>", "tensor<?xf32>"},
      {0, 1, 1, 0, 1}, 2, {"tensor<?x?xf32>"}, {0, 1}, kBroadcast);
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(text, *createRowwiseEmitter(), target);
    ASSERT_TRUE(kernel.matched());
    for (int64_t m : {0, 1, 3, 57})
      for (int64_t n : kLengths) {
        Array x = Array::random("f32", {m, n}, 1), row = Array::random("f32", {1, n}, 2),
              column = Array::random("f32", {m, 1}, 3), scalar = Array::random("f32", {}, 4),
              last = Array::random("f32", {n}, 5);
        KernelRun run = kernel.run({x, row, column, scalar, last}, {m, n});
        expectNear(
            run.outputs[0], {m, n},
            [&](auto &i) { return (x.at(i) * row[i[1]] + column[i[0]]) * scalar[0] - last[i[1]]; },
            1e-6);
      }
  }
}

const char *kTranspose = R"(
  %e = tensor.empty(%d1, %d0) : tensor<?x3x?xf32>
  %t = linalg.transpose ins(%a0 : tensor<?x3x?xf32>) outs(%e : tensor<?x3x?xf32>) permutation = [2, 1, 0]
  %r = linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j, k)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%t : tensor<?x3x?xf32>) outs(%e : tensor<?x3x?xf32>) {
  ^bb1(%x: f32, %o: f32):
    %two = arith.constant 2.0 : f32
    %y = arith.mulf %x, %two : f32
    linalg.yield %y : f32
  } -> tensor<?x3x?xf32>
  attune.yield %r, %t : tensor<?x3x?xf32>, tensor<?x3x?xf32>)";

TEST(Rowwise, TransposedReads) {
  std::string text =
      kernelText({"tensor<?x3x?xf32>"}, {0, 1}, 2, {"tensor<?x3x?xf32>", "tensor<?x3x?xf32>"},
                 {1, 0, 1, 0}, kTranspose);
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {5, 17}, {16, 16}, {33, 7}, {0, 4}}) {
    Array x = Array::random("f32", {m, 3, n}, 1);
    runAll(text, {x}, {m, n}, [&, m = m, n = n](const KernelRun &run) {
      expectNear(
          run.outputs[0], {n, 3, m}, [&](auto &i) { return 2 * x.at({i[2], i[1], i[0]}); }, 0);
      expectNear(run.outputs[1], {n, 3, m}, [&](auto &i) { return x.at({i[2], i[1], i[0]}); }, 0);
    });
  }
}

/// Heads merged on the way out, split on the way in, sliced and joined.
const char *kHeads = R"(
  %e = tensor.empty(%d0) : tensor<?x4x8xf32>
  %x = tensor.expand_shape %a0 [[0], [1, 2]] output_shape [%d0, 4, 8] : tensor<?x32xf32> into tensor<?x4x8xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j, k)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x : tensor<?x4x8xf32>) outs(%e : tensor<?x4x8xf32>) {
  ^bb1(%v: f32, %o: f32):
    %w = arith.negf %v : f32
    linalg.yield %w : f32
  } -> tensor<?x4x8xf32>
  %te = tensor.empty(%d0) : tensor<4x?x8xf32>
  %t = linalg.transpose ins(%y : tensor<?x4x8xf32>) outs(%te : tensor<4x?x8xf32>) permutation = [1, 0, 2]
  %s = tensor.extract_slice %a0[0, 5] [%d0, 3] [1, 2] : tensor<?x32xf32> to tensor<?x3xf32>
  %m = tensor.collapse_shape %y [[0], [1, 2]] : tensor<?x4x8xf32> into tensor<?x32xf32>
  %c = tensor.concat dim(1) %m, %s : (tensor<?x32xf32>, tensor<?x3xf32>) -> tensor<?x35xf32>
  attune.yield %t, %c : tensor<4x?x8xf32>, tensor<?x35xf32>)";

TEST(Rowwise, ReshapesAndConcat) {
  std::string text = kernelText({"tensor<?x32xf32>"}, {0}, 1,
                                {"tensor<4x?x8xf32>", "tensor<?x35xf32>"}, {0, 0}, kHeads);
  for (int64_t n : {0, 1, 13}) {
    Array x = Array::random("f32", {n, 32}, 1);
    runAll(text, {x}, {n}, [&](const KernelRun &run) {
      expectNear(
          run.outputs[0], {4, n, 8}, [&](auto &i) { return -x.at({i[1], i[0] * 8 + i[2]}); }, 0);
      expectNear(
          run.outputs[1], {n, 35},
          [&](auto &i) { return i[1] < 32 ? -x.at(i) : x.at({i[0], 5 + 2 * (i[1] - 32)}); }, 0);
    });
  }
}

//===--------------------------------------------------------------------------------------------===//
// Rows
//===--------------------------------------------------------------------------------------------===//

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

//===--------------------------------------------------------------------------------------------===//
// Dtypes, NaN, errors, refusals
//===--------------------------------------------------------------------------------------------===//

/// (x + y) of one dtype, element by element.
std::string sumText(const std::string &element, const std::string &op) {
  std::string type = "tensor<?x" + element + ">";
  std::string body = "  %e = tensor.empty(%d0) : " + type +
                     "\n  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, "
                     "affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = "
                     "[\"parallel\"]} ins(%a0, %a1 : " +
                     type + ", " + type + ") outs(%e : " + type + ") {\n  ^bb1(%x: " + element +
                     ", %y: " + element + ", %o: " + element + "):\n    %z = " + op +
                     " %x, %y : " + element + "\n    linalg.yield %z : " + element + "\n  } -> " +
                     type + "\n  attune.yield %r : " + type;
  return kernelText({type, type}, {0, 0}, 1, {type}, {0}, body);
}

TEST(Rowwise, Dtypes) {
  CpuTarget target = runnableTargets().back();
  for (std::string element : {"f64", "f16", "bf16", "i64", "i32", "i16", "i8", "i1"}) {
    SCOPED_TRACE(element);
    bool isFloat = element.find('f') != std::string::npos;
    std::string op = isFloat ? "arith.addf" : element == "i1" ? "arith.xori" : "arith.addi";
    Kernel kernel(sumText(element, op), *createRowwiseEmitter(), target);
    ASSERT_TRUE(kernel.matched());
    for (int64_t n : {1, 16, 37}) {
      Array x = Array::random(element, {n}, 1, 0, 2), y = Array::random(element, {n}, 2, 0, 2);
      KernelRun run = kernel.run({x, y}, {n});
      expectNear(
          run.outputs[0], {n},
          [&](auto &i) {
            double sum = x[i[0]] + y[i[0]];
            return element == "i1" ? std::fmod(sum, 2) : sum;
          },
          element == "bf16"  ? 1e-2
          : element == "f16" ? 1e-3
                             : 1e-15);
    }
  }
}

TEST(Rowwise, MaximumPropagatesNaN) {
  Kernel kernel(sumText("f32", "arith.maximumf"), *createRowwiseEmitter(),
                runnableTargets().back());
  ASSERT_TRUE(kernel.matched());
  Array x = Array::of("f32", {3}, {1, NAN, 3}), y = Array::of("f32", {3}, {NAN, 2, 4});
  KernelRun run = kernel.run({x, y}, {3});
  EXPECT_TRUE(std::isnan(run.outputs[0][0]));
  EXPECT_TRUE(std::isnan(run.outputs[0][1]));
  EXPECT_EQ(run.outputs[0][2], 4);
}

TEST(Rowwise, IntegerDivisionNeverTraps) {
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(sumText("i32", "arith.divsi"), *createRowwiseEmitter(), target);
    ASSERT_TRUE(kernel.matched());
    Array x = Array::random("i32", {19}, 1, -50, 50), y = Array::random("i32", {19}, 2, 1, 9);
    x.set(3, INT32_MIN);
    y.set(3, -1);
    KernelRun run = kernel.run({x, y}, {19});
    EXPECT_EQ(run.code, 0);
    expectNear(
        run.outputs[0], {19},
        [&](auto &i) { return i[0] == 3 ? double(INT32_MIN) : std::trunc(x[i[0]] / y[i[0]]); }, 0);
    y.set(18, 0);
    EXPECT_EQ(kernel.run({x, y}, {19}).code, ATTUNE_KERNEL_DIVISION_BY_ZERO);
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
