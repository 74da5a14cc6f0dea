#include "attune/codegen/cost/Features.h"
#include "attune/codegen/cost/IndexValue.h"

#include "mlir/Parser/Parser.h"
#include "llvm/Support/FormatVariadic.h"
#include <gtest/gtest.h>

using namespace attune;
using namespace attune::codegen;
using namespace mlir;

namespace {

class Parsed {
public:
  explicit Parsed(const std::string &text) {
    DialectRegistry registry;
    registerAllDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module);
  }
  KernelOp kernel() {
    KernelOp found;
    module->walk([&](KernelOp op) { found = op; });
    return found;
  }
  KernelFeatures describe(const KernelEmitter &emitter, std::vector<int64_t> dims) {
    EXPECT_TRUE(emitter.matches(kernel(), target()));
    return codegen::describe(kernel(), emitter, target(), dims,
                             [](unsigned input) { return input == 1; });
  }
  static const CpuTarget &target() {
    static const CpuTarget v3 = llvm::cantFail(CpuTarget::parse("x86-64-v3"));
    return v3;
  }

private:
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

constexpr const char *kProduct = R"(
func.func @main(%x: tensor<?x64xf32>, %w: tensor<2x64x16xf32>, %n: index) -> tensor<?x32xf32> {
  %0 = attune.kernel ins(%x, %w : tensor<?x64xf32>, tensor<2x64x16xf32>) dims(%n) result_dims(%n)
      attributes {input_dims = array<i64: 0>} -> tensor<?x32xf32> {
  ^bb0(%a: tensor<?x64xf32>, %p: tensor<2x64x16xf32>, %m: index):
    %zero = arith.constant 0.0 : f32
    %we = tensor.empty() : tensor<64x32xf32>
    %b = linalg.unpack %p outer_dims_perm = [1, 0] inner_dims_pos = [1] inner_tiles = [16] into %we
        : tensor<2x64x16xf32> -> tensor<64x32xf32>
    %e = tensor.empty(%m) : tensor<?x32xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x32xf32>) -> tensor<?x32xf32>
    %y = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
        affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>]
        ins(%a, %b : tensor<?x64xf32>, tensor<64x32xf32>)
        outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
    attune.yield %y : tensor<?x32xf32>
  }
  return %0 : tensor<?x32xf32>
})";

std::string attention(const std::string &mask) {
  return llvm::formatv(R"(
func.func @main(%q: tensor<1x4x?x16xf32>, %n: index) -> tensor<1x4x?x16xf32> {{
  %0 = attune.kernel ins(%q : tensor<1x4x?x16xf32>) dims(%n) result_dims(%n)
      attributes {{input_dims = array<i64: 0>} -> tensor<1x4x?x16xf32> {{
  ^bb0(%a: tensor<1x4x?x16xf32>, %m: index):
    %o = attune.attention ins(%a, %a, %a : tensor<1x4x?x16xf32>, tensor<1x4x?x16xf32>,
        tensor<1x4x?x16xf32>) -> tensor<1x4x?x16xf32> {0}
    attune.yield %o : tensor<1x4x?x16xf32>
  }
  return %0 : tensor<1x4x?x16xf32>
})",
                       mask)
      .str();
}

constexpr const char *kCausal = R"(mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index, %r: index, %c: index):
      %ok = arith.cmpi sle, %j, %i : index
      attune.yield %ok : i1
    })";

constexpr const char *kGather = R"(
#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
func.func @main(%ids: tensor<?xi64>, %t: tensor<1000x8xf32>, %n: index) -> tensor<?x8xf32> {
  %0 = attune.kernel ins(%ids, %t : tensor<?xi64>, tensor<1000x8xf32>) dims(%n) result_dims(%n)
      attributes {input_dims = array<i64: 0>} -> tensor<?x8xf32> {
  ^bb0(%a: tensor<?xi64>, %table: tensor<1000x8xf32>, %m: index):
    %e = tensor.empty(%m) : tensor<?x8xf32>
    %y = linalg.generic {indexing_maps = [#row, #id], iterator_types = ["parallel", "parallel"]}
        ins(%a : tensor<?xi64>) outs(%e : tensor<?x8xf32>) {
    ^bb1(%id: i64, %o: f32):
      %i = arith.index_cast %id : i64 to index
      %j = linalg.index 1 : index
      %v = tensor.extract %table[%i, %j] : tensor<1000x8xf32>
      linalg.yield %v : f32
    } -> tensor<?x8xf32>
    attune.yield %y : tensor<?x8xf32>
  }
  return %0 : tensor<?x8xf32>
})";

} // namespace

TEST(Features, WorkAndBytesAtKnownSizes) {
  Parsed ir(kProduct);
  KernelFeatures features = ir.describe(*createGemmEmitter(), {100});
  EXPECT_EQ(features.emitter, "gemm");
  EXPECT_EQ(features.work.fma, 2 * 100 * 64 * 32);
  EXPECT_EQ(features.weightBytes, 4 * 64 * 32);
  EXPECT_EQ(features.work.bytes, 4 * (100 * 64 + 64 * 32 + 100 * 32));
  EXPECT_EQ(ir.describe(*createGemmEmitter(), {7}).work.fma, 2 * 7 * 64 * 32);
  EXPECT_EQ(workOf(ir.kernel(), {7}).fma, 2 * 7 * 64 * 32);
}

/// The columns of `width` floats become rows.
std::string transpose(int64_t width) {
  return llvm::formatv(R"(
func.func @main(%x: tensor<?x{0}xf32>, %n: index) -> tensor<{0}x?xf32> {{
  %0 = attune.kernel ins(%x : tensor<?x{0}xf32>) dims(%n) result_dims(%n)
      attributes {{input_dims = array<i64: 0>} -> tensor<{0}x?xf32> {{
  ^bb0(%a: tensor<?x{0}xf32>, %m: index):
    %e = tensor.empty(%m) : tensor<{0}x?xf32>
    %y = linalg.transpose ins(%a : tensor<?x{0}xf32>) outs(%e : tensor<{0}x?xf32>)
        permutation = [1, 0]
    attune.yield %y : tensor<{0}x?xf32>
  }
  return %0 : tensor<{0}x?xf32>
})",
                       width)
      .str();
}

TEST(Features, TilesOfAProduct) {
  Parsed ir(kProduct);
  auto plan = [&](int64_t rows) { return ir.describe(*createGemmEmitter(), {rows}).plan; };
  // Tiles of 6 x 16; rows are shared out evenly, columns are padded.
  EXPECT_EQ(plan(600).rows, 6);
  EXPECT_EQ(plan(7).rows, 3.5);
  EXPECT_EQ(plan(600).columns, 16);
  EXPECT_NEAR(plan(600).padding, 1, 1e-9);
  EXPECT_EQ(plan(1).copied, 0);
  EXPECT_EQ(plan(600).copied, 4 * 600 * 64);
  EXPECT_GT(plan(600).tasks, 4);
}

TEST(Features, MasksRuleOutBlocks) {
  Parsed whole(attention("")), causal(attention(kCausal));
  EXPECT_NEAR(whole.describe(*createAttentionEmitter(), {960}).plan.visited, 1, 1e-9);
  double seen = causal.describe(*createAttentionEmitter(), {960}).plan.visited;
  EXPECT_GT(seen, 0.5);
  EXPECT_LT(seen, 0.55);
  EXPECT_EQ(causal.describe(*createAttentionEmitter(), {960}).work.fma, 2 * 2 * 4 * 960 * 960 * 16);
}

TEST(Features, AGatherReadsWhatItTakes) {
  Parsed ir(kGather);
  KernelFeatures features = ir.describe(*createRowwiseEmitter(), {5});
  EXPECT_EQ(features.weightBytes, 5 * 8 * 4);
  EXPECT_EQ(features.work.bytes, 5 * 8 + 2 * 5 * 8 * 4);
  EXPECT_EQ(features.gatheredBytes, 5 * 8 * 4);
  EXPECT_EQ(features.buffers, 3);
  EXPECT_GT(ir.describe(*createRowwiseEmitter(), {500}).plan.instructions,
            features.plan.instructions);
}

TEST(Features, RowsOfATableLieAlongTheLanes) {
  Parsed ir(kGather);
  KernelPlan plan = ir.describe(*createRowwiseEmitter(), {5}).plan;
  EXPECT_EQ(plan.strided, 0);
  // A row: its number and address, and a vector of 8 floats that is loaded and stored.
  EXPECT_GE(plan.instructions, 5 * 2);
  EXPECT_LE(plan.instructions, 5 * 16);
}

/// Two rows of a table, times four columns that are repeated along the rows.
constexpr const char *kGathers = R"(
#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
func.func @main(%ids: tensor<?xi64>, %t: tensor<1000x64xf32>, %x: tensor<?xf32>, %n: index)
    -> tensor<?x64xf32> {
  %0 = attune.kernel ins(%ids, %t, %x : tensor<?xi64>, tensor<1000x64xf32>, tensor<?xf32>)
      dims(%n) result_dims(%n) attributes {input_dims = array<i64: 0, 0>} -> tensor<?x64xf32> {
  ^bb0(%a: tensor<?xi64>, %table: tensor<1000x64xf32>, %c: tensor<?xf32>, %m: index):
    %e = tensor.empty(%m) : tensor<?x64xf32>
    %y = linalg.generic {indexing_maps = [#row, #row, #row, #row, #row, #id],
        iterator_types = ["parallel", "parallel"]}
        ins(%a, %c, %c, %c, %c : tensor<?xi64>, tensor<?xf32>, tensor<?xf32>, tensor<?xf32>,
        tensor<?xf32>) outs(%e : tensor<?x64xf32>) {
    ^bb1(%id: i64, %p: f32, %q: f32, %r: f32, %s: f32, %o: f32):
      %i = arith.index_cast %id : i64 to index
      %j = linalg.index 1 : index
      %other = arith.muli %i, %i : index
      %v = tensor.extract %table[%i, %j] : tensor<1000x64xf32>
      %w = tensor.extract %table[%other, %j] : tensor<1000x64xf32>
      %1 = arith.addf %v, %w : f32
      %2 = arith.mulf %1, %p : f32
      %3 = arith.mulf %2, %q : f32
      %4 = arith.mulf %3, %r : f32
      %5 = arith.mulf %4, %s : f32
      linalg.yield %5 : f32
    } -> tensor<?x64xf32>
    attune.yield %y : tensor<?x64xf32>
  }
  return %0 : tensor<?x64xf32>
})";

TEST(Features, LanesLieAlongTheRowsOfTables) {
  Parsed ir(kGathers);
  KernelPlan plan = ir.describe(*createRowwiseEmitter(), {50}).plan;
  EXPECT_EQ(plan.strided, 0);
  EXPECT_LE(plan.instructions, 50 * (8 * 9 + 64));
}

TEST(Features, LinesThatLieAPowerOfTwoApartPushEachOtherOut) {
  Parsed odd(transpose(480)), even(transpose(512)), far(transpose(1024));
  auto perElement = [](Parsed &ir, int64_t rows, int64_t width) {
    double strided = ir.describe(*createRowwiseEmitter(), {rows}).plan.strided;
    return strided / static_cast<double>(rows * width);
  };
  EXPECT_EQ(perElement(odd, 120, 480), 1);
  // The lines of a block of lanes lie side by side, unless they share a single set.
  EXPECT_EQ(perElement(even, 120, 512), 1);
  EXPECT_EQ(perElement(far, 8, 1024), 1);
  EXPECT_GT(perElement(far, 120, 1024), 2);
}

TEST(IndexValue, FoldsArithmeticOfTheRegion) {
  Parsed ir(R"(
func.func @main(%x: tensor<?x4xf32>, %n: index) -> tensor<?xf32> {
  %c4 = arith.constant 4 : index
  %r = arith.muli %n, %c4 : index
  %0 = attune.kernel ins(%x : tensor<?x4xf32>) dims(%n, %r) result_dims(%r)
      attributes {input_dims = array<i64: 0>} -> tensor<?xf32> {
  ^bb0(%a: tensor<?x4xf32>, %m: index, %s: index):
    %y = tensor.collapse_shape %a [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
    attune.yield %y : tensor<?xf32>
  }
  return %0 : tensor<?xf32>
})");
  OwningOpRef<KernelOp> copy(ir.kernel().clone());
  IndexValue valueOf(*copy, {6, 24});
  Value collapsed = copy->getYield().getOperand(0);
  EXPECT_EQ(valueOf.extent(collapsed, 0), 24);
  EXPECT_EQ(valueOf.elements(copy->getInputArgs()[0]), 24);
}
