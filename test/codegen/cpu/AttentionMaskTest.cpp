#include "attune/codegen/cpu/AttentionMask.h"
#include "TestJit.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Parser/Parser.h"

#include <array>

using namespace mlir;
using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

using Bounds = std::array<int64_t, 4>; // lo, hi, fullLo, fullHi
constexpr int64_t kKeys = 100;

/// The facts of a mask region, evaluated for queries [first, last] by constant folding.
struct Mined {
  explicit Mined(const std::string &mask) : context(makeContext()) {
    std::string text = R"(
func.func @main(%q: tensor<1x1x50x4xf32>, %k: tensor<1x1x100x4xf32>, %n: index) {
  %o = attune.attention ins(%q, %k, %k : tensor<1x1x50x4xf32>, tensor<1x1x100x4xf32>,
      tensor<1x1x100x4xf32>) -> tensor<1x1x50x4xf32> mask {
  ^bb0(%b: index, %h: index, %i: index, %j: index, %n1: index, %m: index):
)" + mask + "\n } return }";
    module = parseSourceString<ModuleOp>(text, context.get());
    if (!module)
      return;
    module->walk([&](AttentionOp op) {
      AttentionRegion region(op, false);
      facts = mineMask(region);
    });
  }
  Bounds range(int64_t first, int64_t last, std::optional<int64_t> offset = {}) {
    CpuTarget target;
    KernelBuilder kb(module->getLoc(), target);
    Bounds out{-1, -1, -1, -1};
    kb.kernel(*module, "k", [&](const KernelArgs &) -> Value {
      KeyRange range = facts.range(kb, {}, kb.idx(first), kb.idx(last),
                                   offset ? kb.idx(*offset) : Value(), kb.idx(kKeys));
      int at = 0;
      for (Value value : {range.lo, range.hi, range.fullLo, range.fullHi})
        out[at++] = getConstantIntValue(value).value_or(-1);
      return {};
    });
    return out;
  }
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  MaskFacts facts;
};

} // namespace

TEST(AttentionMask, Causal) {
  for (const char *mask : {"%p = arith.cmpi sle, %j, %i : index attune.yield %p : i1",
                           "%p = arith.cmpi sge, %i, %m : index attune.yield %p : i1",
                           R"(%t = arith.constant true
                              %p = arith.cmpi sgt, %j, %i : index
                              %x = arith.xori %p, %t : i1
                              attune.yield %x : i1)",
                           R"(%f = arith.constant false
                              %t = arith.constant true
                              %p = arith.cmpi sgt, %j, %i : index
                              %x = arith.select %p, %f, %t : i1
                              attune.yield %x : i1)",
                           R"(%a = arith.index_cast %i : index to i64
                              %c = arith.index_cast %j : index to i64
                              %one = arith.constant 1 : i64
                              %s = arith.addi %a, %one : i64
                              %p = arith.cmpi slt, %c, %s : i64
                              attune.yield %p : i1)"}) {
    SCOPED_TRACE(mask);
    Mined mined(mask);
    ASSERT_TRUE(mined.module);
    EXPECT_FALSE(mined.facts.incomplete);
    EXPECT_EQ(mined.range(10, 19), (Bounds{0, 20, 0, 11}));
  }
}

TEST(AttentionMask, Window) {
  Mined mined(R"(
    %w = arith.constant 4 : index
    %start = arith.subi %i, %w : index
    %p = arith.cmpi sge, %j, %start : index
    %r = arith.cmpi sle, %j, %i : index
    %x = arith.andi %p, %r : i1
    attune.yield %x : i1)");
  ASSERT_TRUE(mined.module);
  EXPECT_EQ(mined.range(10, 12), (Bounds{6, 13, 8, 11}));
}

TEST(AttentionMask, RowsAreNotPositions) {
  Mined mined("%p = arith.cmpi sle, %j, %n1 : index attune.yield %p : i1");
  ASSERT_TRUE(mined.module);
  EXPECT_EQ(mined.range(10, 19, 3), (Bounds{0, 17, 0, 8}));
}

TEST(AttentionMask, QueriesOnly) {
  Mined mined(R"(
    %c = arith.constant 15 : index
    %p = arith.cmpi slt, %i, %c : index
    attune.yield %p : i1)");
  ASSERT_TRUE(mined.module);
  EXPECT_EQ(mined.range(10, 14), (Bounds{0, kKeys, 0, kKeys}));
  EXPECT_EQ(mined.range(10, 15)[1], kKeys);
  EXPECT_EQ(mined.range(10, 15)[3], 0); // partial everywhere
  EXPECT_EQ(mined.range(15, 20)[1], 0); // nothing
}

TEST(AttentionMask, BlockDiagonal) {
  Mined mined(R"(
    %w = arith.constant 8 : index
    %bi = arith.divui %i, %w : index
    %bj = arith.divui %j, %w : index
    %p = arith.cmpi eq, %bi, %bj : index
    attune.yield %p : i1)");
  ASSERT_TRUE(mined.module);
  EXPECT_EQ(mined.range(8, 15), (Bounds{8, 16, 8, 16}));
  EXPECT_EQ(mined.range(8, 16), (Bounds{8, 24, 8, 0}));
  EXPECT_EQ(mined.range(8, 15, 2)[3], 0); // positions may be negative
}

TEST(AttentionMask, UnknownConditions) {
  Mined mined(R"(
    %two = arith.constant 2 : index
    %r = arith.remui %j, %two : index
    %even = arith.cmpi eq, %r, %two : index
    %p = arith.cmpi sle, %j, %i : index
    %x = arith.andi %p, %even : i1
    attune.yield %x : i1)");
  ASSERT_TRUE(mined.module);
  EXPECT_TRUE(mined.facts.incomplete);
  EXPECT_EQ(mined.range(10, 19)[1], 20);
  EXPECT_EQ(mined.range(10, 19)[3], 0);
  Mined either(R"(
    %c = arith.constant 3 : index
    %p = arith.cmpi sle, %j, %i : index
    %r = arith.cmpi slt, %j, %c : index
    %x = arith.ori %p, %r : i1
    attune.yield %x : i1)");
  ASSERT_TRUE(either.module);
  EXPECT_EQ(either.range(10, 19), (Bounds{0, kKeys, 0, 0}));
}

TEST(AttentionMask, ConstantsFarAway) {
  Mined mined(R"(
    %w = arith.constant 9223372036854775807 : index
    %start = arith.subi %i, %w : index
    %p = arith.cmpi sge, %j, %start : index
    attune.yield %p : i1)");
  ASSERT_TRUE(mined.module);
  Bounds range = mined.range(10, 12);
  EXPECT_EQ(range[0], 0);
  EXPECT_EQ(range[3], kKeys);
}
