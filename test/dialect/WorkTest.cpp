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
  for (auto kind :
       {WorkTerm::Class::Fma, WorkTerm::Class::Arithmetic, WorkTerm::Class::Transcendental})
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

std::string linearAttention(StringRef attributes, StringRef operands = "") {
  return (R"(
func.func @f(%q: tensor<1x4x?x8xf32>, %k: tensor<1x2x?x8xf32>, %v: tensor<1x2x?x16xf32>,
             %b: tensor<1x2x?xf32>, %c: tensor<?xf32>) -> tensor<1x4x?x16xf32> {
  %o = attune.linear_attention
    ins(%q, %k, %v : tensor<1x4x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x16xf32>) )" +
          operands + " {" + attributes + R"(} -> tensor<1x4x?x16xf32>
  phi_k {
  ^bb0(%x: f32):
    %e = math.exp %x : f32
    attune.yield %e : f32
  }
  return %o : tensor<1x4x?x16xf32>
})")
      .str();
}

TEST(Work, LinearAttentionByItsForm) {
  // Per token and key head a product into the state, per token and query head one out of it; in
  // blocks of 4 tokens, half of the pairs see each other.
  double block = 4 * 10 * 4 / 2 * (8 + 16) * 2;
  double products = (2 + 4) * 10 * 8 * 16 * 2 + block, exponentials = 2 * 10 * 8;
  Parsed sum(linearAttention(""));
  EXPECT_EQ(sum.count(WorkTerm::Class::Fma, 10), products);
  EXPECT_EQ(sum.count(WorkTerm::Class::Transcendental, 10), exponentials);
  EXPECT_EQ(sum.count(WorkTerm::Class::Arithmetic, 10), 0);

  Parsed delta(linearAttention("update = #attune.update<delta>", "beta(%b : tensor<1x2x?xf32>)"));
  EXPECT_EQ(delta.count(WorkTerm::Class::Fma, 10), products + 2 * 10 * 8 * 16 * 2);

  Parsed gated(linearAttention("update = #attune.update<gated>", "decay(%b : tensor<1x2x?xf32>)"));
  // The state is scaled once per block.
  EXPECT_EQ(gated.count(WorkTerm::Class::Arithmetic, 10), 2 * 10 * 8 * 16 / 4);
  EXPECT_EQ(gated.count(WorkTerm::Class::Transcendental, 10), exponentials + 2 * 10);

  // Of the pairs of a causal kernel half.
  double pairs = 4 * 10 * 10 / 2;
  Parsed toeplitz(
      linearAttention("norm = #attune.weighting<count>", "toeplitz(%c : tensor<?xf32>)"));
  EXPECT_EQ(toeplitz.count(WorkTerm::Class::Fma, 10), pairs * (8 + 16) * 2);
  EXPECT_EQ(toeplitz.count(WorkTerm::Class::Arithmetic, 10), pairs * 2 + 4 * 10 * 16);

  Parsed quadratic(linearAttention("form = #attune.form<quadratic>"));
  EXPECT_EQ(quadratic.count(WorkTerm::Class::Fma, 10), pairs * (8 + 16) * 2);
}

TEST(Work, Sequences) {
  Parsed ema(R"(
func.func @f(%x: tensor<2x?x3xf32>, %a: tensor<3x4xf32>) -> tensor<2x?x3xf32> {
  %y = attune.ema ins(%x : tensor<2x?x3xf32>)
    coeffs(%a, %a, %a : tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<2x?x3xf32>
  return %y : tensor<2x?x3xf32>
})");
  EXPECT_EQ(ema.count(WorkTerm::Class::Fma, 5), 2 * 5 * 3 * 4 * 4);
  Parsed toeplitz(R"(
func.func @f(%c: tensor<7xf32>, %x: tensor<2x?x3xf32>) -> tensor<2x?x3xf32> {
  %y = attune.toeplitz ins(%c, %x : tensor<7xf32>, tensor<2x?x3xf32>) -> tensor<2x?x3xf32>
  return %y : tensor<2x?x3xf32>
})");
  // The t-th result sees t + 1 taps.
  EXPECT_EQ(toeplitz.count(WorkTerm::Class::Fma, 5), 2 * (1 + 2 + 3 + 4 + 5) * 3 * 2);
}

TEST(Work, MapMixAndContract) {
  Parsed mix(R"(
func.func @f(%m: tensor<1x4x5x6xf32>, %w: tensor<8x2x3x3xf32>, %b: tensor<8xf32>) -> tensor<1x8x5x6xf32> {
  %y = attune.map_mix ins(%m : tensor<1x4x5x6xf32>) weights(%w : tensor<8x2x3x3xf32>) biases(%b : tensor<8xf32>)
    {groups = array<i64: 2>, dilations = array<i64: 1>, acts = [#attune.map_act<relu>],
     slopes = array<f64: 0.0>} -> tensor<1x8x5x6xf32>
  return %y : tensor<1x8x5x6xf32>
})");
  EXPECT_EQ(mix.count(WorkTerm::Class::Fma), 8 * 5 * 6 * 2 * 9 * 2);
  EXPECT_EQ(mix.count(WorkTerm::Class::Arithmetic), 8 * 5 * 6 * 2);
  Parsed contract(R"(
func.func @f(%x: tensor<2x3x9xf32>, %w: tensor<4x3x3xf32>, %z: tensor<2x4x7xf32>) -> tensor<2x4x7xf32> {
  %y = attune.contract ins(%x, %w : tensor<2x3x9xf32>, tensor<4x3x3xf32>) outs(%z : tensor<2x4x7xf32>)
    {kind = #attune.contract_kind<adder>,
     indexing_maps = [affine_map<(b, o, n, i, t) -> (b, i, n + t)>, affine_map<(b, o, n, i, t) -> (o, i, t)>,
                      affine_map<(b, o, n, i, t) -> (b, o, n)>]}
  return %y : tensor<2x4x7xf32>
})");
  EXPECT_EQ(contract.count(WorkTerm::Class::Distance), 2 * 4 * 7 * 3 * 3 * 3);
  Parsed shift(R"(
func.func @f(%x: tensor<5x7xi32>, %w: tensor<3x7xi8>, %z: tensor<5x3xi32>) -> tensor<5x3xi32> {
  %y = attune.contract ins(%x, %w : tensor<5x7xi32>, tensor<3x7xi8>) outs(%z : tensor<5x3xi32>)
    {kind = #attune.contract_kind<shift>, exponent_bias = 16 : i64,
     rounding = #attune.contract_rounding<floor_terms>,
     indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                      affine_map<(m, n, k) -> (m, n)>]}
  return %y : tensor<5x3xi32>
})");
  EXPECT_EQ(shift.count(WorkTerm::Class::Shift), 5 * 3 * 7 * 2);
  EXPECT_EQ(shift.count(WorkTerm::Class::Arithmetic), 5 * 3 * 7 * 2);
  EXPECT_EQ(shift.count(WorkTerm::Class::Fma), 0);
}

TEST(Search, AlternativesOfAChoice) {
  Parsed ir(R"(
func.func @f(%x: f32) -> f32 {
  %y = attune.choice "act" ins(%x : f32) {selected = 1 : i64} -> f32 alternative one {
  ^bb0(%a: f32):
    attune.yield %a : f32
  } alternative two {
  ^bb0(%a: f32):
    attune.yield %a : f32
  }
  return %y : f32
})");
  SmallVector<SearchKnob> knobs = ir.get<ChoiceOp>().getSearchKnobs();
  ASSERT_EQ(knobs.size(), 1u);
  EXPECT_EQ(knobs[0].name, "act");
  EXPECT_EQ(knobs[0].current, 1);
  EXPECT_EQ(knobs[0].values, (SmallVector<int64_t>{0, 1}));
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
