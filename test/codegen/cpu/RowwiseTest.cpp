#include "RowwiseHarness.h"

#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

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
// Dtypes, NaN, division
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

} // namespace
