#include "attune/codegen/cost/FormCost.h"
#include "attune/passes/rewrite/Rewrite.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FormatVariadic.h"
#include <gtest/gtest.h>

using namespace attune;
using namespace attune::codegen;
using namespace mlir;

namespace {

/// A machine with these times per operation, and nothing else to wait for.
class FakeOracle final : public CostOracle {
public:
  FakeOracle(double fma, double arithmetic) : fma(fma), arithmetic(arithmetic) {}
  using CostOracle::price;
  KernelCost price(const WorkSum &work, unsigned) const override {
    KernelCost cost;
    cost.seconds = fma * work.fma + arithmetic * (work.arithmetic + work.transcendental);
    return cost;
  }

private:
  double fma, arithmetic;
};

/// One operator after the choice of forms.
struct Chosen {
  Chosen(const std::string &op, const CostOracle &oracle) {
    DialectRegistry registry;
    registerAllDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    module = parseSourceString<ModuleOp>(op, &context);
    OracleFormPrices prices(oracle);
    PassManager pm(&context);
    pm.addNestedPass<func::FuncOp>(createChooseForms({}, &prices));
    EXPECT_TRUE(module && succeeded(pm.run(*module)));
    module->walk([&](FormOpInterface op) { form = op.getForm(); });
    module->walk([&](LinearAttentionOp op) { atRunTime = op.getFormPricesAttr(); });
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  Form form = Form::Auto;
  FormPricesAttr atRunTime;
};

std::string linear(const std::string &length, const std::string &attributes, int64_t dim = 64) {
  std::string type = llvm::formatv("tensor<1x8x{0}x{1}xf32>", length, dim).str();
  return llvm::formatv(
             "func.func @f(%x: {0}) -> {0} {{\n"
             "  %o = attune.linear_attention ins(%x, %x, %x : {0}, {0}, {0}) {{{1}} -> {0}\n"
             "  return %o : {0}\n}",
             type, attributes)
      .str();
}

std::string average(int64_t batch, int64_t length) {
  std::string type = llvm::formatv("tensor<{0}x{1}x64xf32>", batch, length).str();
  return llvm::formatv("func.func @f(%x: {0}, %a: tensor<64x16xf32>) -> {0} {{\n"
                       "  %o = attune.ema ins(%x : {0}) coeffs(%a, %a, %a : tensor<64x16xf32>, "
                       "tensor<64x16xf32>, tensor<64x16xf32>) -> {0}\n  return %o : {0}\n}",
                       type)
      .str();
}

constexpr const char *kBidirectional = "direction = #attune.direction<bidirectional>";

/// The first length at which the linear form is the cheapest.
int64_t crossover(FormPricesAttr prices) {
  for (int64_t length = 1; length < 100000; ++length)
    if (cheapestForm(prices, length) == Form::Linear)
      return length;
  return -1;
}

} // namespace

TEST(FormCost, FixedLengthsChooseOnceForAll) {
  FakeOracle oracle(1e-12, 0);
  // 2 N^2 (D + E) against 4 N D E operations.
  EXPECT_EQ(Chosen(linear("63", kBidirectional), oracle).form, Form::Quadratic);
  EXPECT_EQ(Chosen(linear("65", kBidirectional), oracle).form, Form::Linear);
  EXPECT_EQ(Chosen(linear("15", kBidirectional, 16), oracle).form, Form::Quadratic);
  EXPECT_EQ(Chosen(linear("17", kBidirectional, 16), oracle).form, Form::Linear);
}

TEST(FormCost, DynamicLengthsKeepTheirPrices) {
  FakeOracle oracle(1e-12, 0);
  Chosen chosen(linear("?", kBidirectional), oracle);
  EXPECT_EQ(chosen.form, Form::Auto);
  ASSERT_TRUE(chosen.atRunTime);
  EXPECT_EQ(crossover(chosen.atRunTime), 64);
  EXPECT_EQ(describeChoice(chosen.atRunTime), "quadratic, linear from 64 positions on");
}

TEST(FormCost, AnotherMachineMovesTheCrossover) {
  // Every pair of positions has a weight that goes through memory.
  Chosen even(linear("?", kBidirectional), FakeOracle(1e-12, 1e-12));
  Chosen slow(linear("?", kBidirectional), FakeOracle(1e-12, 1e-10));
  ASSERT_TRUE(even.atRunTime && slow.atRunTime);
  EXPECT_EQ(crossover(even.atRunTime), 64);
  EXPECT_LT(crossover(slow.atRunTime), 50);
  EXPECT_GT(crossover(slow.atRunTime), 30);
  EXPECT_EQ(Chosen(linear("60", kBidirectional), FakeOracle(1e-12, 1e-12)).form, Form::Quadratic);
  EXPECT_EQ(Chosen(linear("60", kBidirectional), FakeOracle(1e-12, 1e-10)).form, Form::Linear);
}

TEST(FormCost, ARecurrenceThatCannotBeBlockedIsChunked) {
  std::string momentum = linear("?", "");
  momentum.replace(momentum.find("(%x:"), 4, "(%mu: f32, %x:");
  momentum.replace(momentum.find(") {} ->"), 7,
                   ") momentum(%mu, %mu : f32, f32) {update = #attune.update<momentum>} ->");
  EXPECT_EQ(Chosen(momentum, FakeOracle(1e-12, 2e-12)).form, Form::Chunked);
  // All sizes agree, so nothing is left to run time; where they do not, short sequences are pairs.
  Chosen causal(linear("?", ""), FakeOracle(1e-12, 2e-12));
  ASSERT_TRUE(causal.atRunTime);
  EXPECT_EQ(cheapestForm(causal.atRunTime, 16), Form::Quadratic);
  EXPECT_EQ(cheapestForm(causal.atRunTime, 1024), Form::Recurrent);
  EXPECT_FALSE(llvm::is_contained(causal.atRunTime.getForms(), Form::Chunked));
}

TEST(FormCost, ShortWindowsHaveNoChunks) {
  FakeOracle oracle(1e-12, 1e-12);
  for (auto [window, chunks] : {std::pair(24, false), {64, true}}) {
    std::string op = average(1, 4096);
    op.replace(op.find(" -> tensor", op.find("attune.ema")), 1,
               llvm::formatv(" {{truncation = {0} : i64} ", window).str());
    Chosen chosen(op, oracle);
    chosen.module->walk([&](FormOpInterface found) {
      EXPECT_EQ(llvm::is_contained(found.getForms(), Form::Chunked), chunks);
    });
  }
}

TEST(FormCost, LessExactFormsAreNotChosen) {
  FakeOracle oracle(1e-12, 1e-12);
  EXPECT_EQ(Chosen(average(1, 4096), oracle).form, Form::Recurrent);
  // The impulse is averaged once for many sequences.
  EXPECT_EQ(Chosen(average(64, 24), oracle).form, Form::Quadratic);
  OracleFormPrices prices(oracle);
  Chosen product("func.func @f(%c: tensor<4096xf32>, %x: tensor<1x4096x8xf32>) -> "
                 "tensor<1x4096x8xf32> {\n  %y = attune.toeplitz ins(%c, %x : tensor<4096xf32>, "
                 "tensor<1x4096x8xf32>) -> tensor<1x4096x8xf32>\n"
                 "  return %y : tensor<1x4096x8xf32>\n}",
                 oracle);
  product.module->walk([&](FormOpInterface op) {
    EXPECT_LT(prices.seconds(op, Form::Fft), prices.seconds(op, Form::Quadratic));
    EXPECT_NE(op.getForm(), Form::Fft);
  });
}
