// Work and search knobs of the ops: counts at known sizes, and growth with the sequence length.

#include "attune/dialect/Attune.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Parser/Parser.h"

#include "gtest/gtest.h"

using namespace mlir;
using namespace attune;

namespace {

class Parsed {
public:
  explicit Parsed(StringRef text) {
    DialectRegistry registry;
    registerAllDialects(registry);
    context.appendDialectRegistry(registry);
    module = parseSourceString<ModuleOp>(text, &context);
  }

  template <class OpT> OpT get() {
    OpT found;
    module->walk([&](OpT op) { found = op; });
    return found;
  }

  /// Sum over all terms of one class, every unknown extent being `dynamic`.
  double count(WorkTerm::Class kind, int64_t dynamic = 1) {
    double sum = 0;
    module->walk([&](WorkOpInterface op) {
      auto extent = [&](Value tensor, int64_t axis) -> OpFoldResult {
        int64_t size = cast<RankedTensorType>(tensor.getType()).getDimSize(axis);
        return Builder(&context).getIndexAttr(ShapedType::isDynamic(size) ? dynamic : size);
      };
      for (const WorkTerm &term : op.getWork(extent)) {
        if (term.kind != kind)
          continue;
        double product = term.perIteration;
        for (OpFoldResult size : term.extents)
          product *= *getConstantIntValue(size);
        sum += product;
      }
    });
    return sum;
  }

private:
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

constexpr StringLiteral kAttention = R"(
func.func @f(%q: tensor<2x8x?x64xf32>, %k: tensor<2x4x?x64xf32>, %v: tensor<2x4x?x32xf32>, %c: f32)
    -> tensor<2x8x?x32xf32> {
  %o = attune.attention ins(%q, %k, %v : tensor<2x8x?x64xf32>, tensor<2x4x?x64xf32>, tensor<2x4x?x32xf32>)
    scale(%c : f32) -> tensor<2x8x?x32xf32>
  score {
  ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
    %t = math.tanh %x : f32
    attune.yield %t : f32
  }
  return %o : tensor<2x8x?x32xf32>
})";

TEST(Work, Attention) {
  Parsed ir(kAttention);
  double pairs = 2 * 8 * 10 * 10;
  EXPECT_EQ(ir.count(WorkTerm::Class::Fma, 10), pairs * 2 * (64 + 32));
  EXPECT_EQ(ir.count(WorkTerm::Class::Transcendental, 10), pairs * 2);
  EXPECT_EQ(ir.count(WorkTerm::Class::Arithmetic, 10), pairs * 4 + 2 * 8 * 10 * 32);
}

TEST(Work, GrowsWithTheSequence) {
  Parsed ir(kAttention);
  for (auto kind : {WorkTerm::Class::Fma, WorkTerm::Class::Arithmetic, WorkTerm::Class::Transcendental})
    EXPECT_LT(ir.count(kind, 128), ir.count(kind, 129));
}

TEST(Work, UnknownExtentsAreLeftOut) {
  Parsed ir(kAttention);
  auto unknown = [](Value, int64_t) { return OpFoldResult(); };
  EXPECT_TRUE(ir.get<AttentionOp>().getWork(unknown).empty());
}

TEST(Work, Norm) {
  Parsed ir(R"(
func.func @f(%x: tensor<6x10xf32>, %s: tensor<10xf32>) -> tensor<6x10xf32> {
  %y = attune.norm ins(%x : tensor<6x10xf32>) scale(%s : tensor<10xf32>)
    {axis = 1 : i64, eps = 0.0 : f64, kind = #attune.norm_kind<rms>} -> tensor<6x10xf32>
  return %y : tensor<6x10xf32>
})");
  EXPECT_EQ(ir.count(WorkTerm::Class::Arithmetic), 60 * 4);
  EXPECT_EQ(ir.count(WorkTerm::Class::Transcendental), 6);
}

TEST(Work, ScanAndDft) {
  Parsed ir(R"(
func.func @f(%x: tensor<3x8x1xf32>, %n: index) -> tensor<3x5x2xf32> {
  %s = attune.scan %x {axis = 1 : i64, kind = #attune.scan_kind<sum>} : tensor<3x8x1xf32>
  %y = attune.dft %s length(%n) {axis = 1 : i64, onesided = true} : tensor<3x8x1xf32> -> tensor<3x5x2xf32>
  return %y : tensor<3x5x2xf32>
})");
  EXPECT_EQ(ir.count(WorkTerm::Class::Arithmetic), 24);
  EXPECT_EQ(ir.count(WorkTerm::Class::Fma), 3 * 5 * 2 * 8 * 2);
  EXPECT_EQ(ir.count(WorkTerm::Class::Transcendental), 16);
}

TEST(Search, KeyHeadsDivideTheHeads) {
  Parsed ir(kAttention);
  auto op = cast<SearchOpInterface>(ir.get<AttentionOp>().getOperation());
  SmallVector<SearchKnob> knobs = op.getSearchKnobs();
  ASSERT_EQ(knobs.size(), 1u);
  EXPECT_EQ(knobs[0].name, "key_heads");
  EXPECT_EQ(knobs[0].current, 4);
  EXPECT_EQ(knobs[0].values, (SmallVector<int64_t>{1, 2, 4, 8}));
}

} // namespace
