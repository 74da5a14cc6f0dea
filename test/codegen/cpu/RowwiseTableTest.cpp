#include "RowwiseHarness.h"

using namespace attune::codegen;
using namespace attune::test;

namespace {

/// Rows, columns and shifted rows of tables by their numbers, which are in range.
const char *kTables = R"(
  %e = tensor.empty(%d0, %d1) : tensor<?x?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>,
        affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
        iterator_types = ["parallel", "parallel"]}
      ins(%a0, %a1, %a2 : tensor<?xi64>, tensor<?xi64>, tensor<?xi64>) outs(%e : tensor<?x?xf32>) {
  ^bb1(%a: i64, %b: i64, %c: i64, %o: f32):
    %two = arith.constant 2 : index
    %j = linalg.index 1 : index
    %ai = arith.index_cast %a : i64 to index
    %bi = arith.index_cast %b : i64 to index
    %ci = arith.index_cast %c : i64 to index
    %shifted = arith.addi %j, %two : index
    %av = tensor.extract %a3[%ai, %j] : tensor<11x?xf32>
    %bv = tensor.extract %a4[%j, %bi] : tensor<?x11xf32>
    %cv = tensor.extract %a5[%ci, %shifted] : tensor<11x200xf32>
    %ab = arith.addf %av, %bv : f32
    %s = arith.addf %ab, %cv : f32
    linalg.yield %s : f32
  } -> tensor<?x?xf32>
  attune.yield %r : tensor<?x?xf32>)";

TEST(RowwiseTable, RowsColumnsAndShiftedRows) {
  std::string text = kernelText({"tensor<?xi64>", "tensor<?xi64>", "tensor<?xi64>",
                                 "tensor<11x?xf32>", "tensor<?x11xf32>", "tensor<11x200xf32>"},
                                {0, 0, 0, 1, 1}, 2, {"tensor<?x?xf32>"}, {0, 1}, kTables);
  for (const CpuTarget &target : runnableTargets()) {
    SCOPED_TRACE(target.cpu);
    Kernel kernel(text, *createRowwiseEmitter(), target);
    ASSERT_TRUE(kernel.matched());
    for (int64_t m : {0, 1, 5, 37})
      for (int64_t n : kLengths) {
        Array a = Array::random("i64", {m}, 1, 0, 11), b = Array::random("i64", {m}, 2, 0, 11),
              c = Array::random("i64", {m}, 3, 0, 11), rows = Array::random("f32", {11, n}, 4),
              columns = Array::random("f32", {n, 11}, 5),
              shifted = Array::random("f32", {11, 200}, 6);
        KernelRun one = kernel.run({a, b, c, rows, columns, shifted}, {m, n}),
                  two = kernel.run({a, b, c, rows, columns, shifted}, {m, n}, 2);
        EXPECT_TRUE(one.outputs[0] == two.outputs[0]);
        expectNear(
            one.outputs[0], {m, n},
            [&](auto &i) {
              auto number = [&](const Array &ids) { return static_cast<int64_t>(ids[i[0]]); };
              return rows.at({number(a), i[1]}) + columns.at({i[1], number(b)}) +
                     shifted.at({number(c), i[1] + 2});
            },
            1e-6);
      }
  }
}

/// Columns that are repeated along rows: they outnumber what lies along a row.
const char *kColumns = R"(
  %e = tensor.empty(%d0, %d1) : tensor<?x?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
        affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
        iterator_types = ["parallel", "parallel"]}
      ins(%a0, %a1, %a2, %a3 : tensor<?x?xf32>, tensor<?xf32>, tensor<?xf32>, tensor<?xf32>)
      outs(%e : tensor<?x?xf32>) {
  ^bb1(%x: f32, %a: f32, %b: f32, %c: f32, %o: f32):
    %0 = arith.mulf %x, %a : f32
    %1 = arith.addf %0, %b : f32
    %2 = arith.mulf %1, %c : f32
    linalg.yield %2 : f32
  } -> tensor<?x?xf32>
  attune.yield %r : tensor<?x?xf32>)";

TEST(RowwiseTable, ManyColumns) {
  std::string text =
      kernelText({"tensor<?x?xf32>", "tensor<?xf32>", "tensor<?xf32>", "tensor<?xf32>"},
                 {0, 1, 0, 0, 0}, 2, {"tensor<?x?xf32>"}, {0, 1}, kColumns);
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {13, 7}, {33, 64}, {0, 5}}) {
    Array x = Array::random("f32", {m, n}, 1), a = Array::random("f32", {m}, 2),
          b = Array::random("f32", {m}, 3), c = Array::random("f32", {m}, 4);
    runAll(text, {x, a, b, c}, {m, n}, [&, m = m, n = n](const KernelRun &run) {
      expectNear(
          run.outputs[0], {m, n}, [&](auto &i) { return (x.at(i) * a[i[0]] + b[i[0]]) * c[i[0]]; },
          1e-6);
    });
  }
}

} // namespace
