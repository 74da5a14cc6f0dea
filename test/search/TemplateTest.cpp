#include "Spaces.h"
#include "attune/codegen/Compiler.h"
#include "attune/search/templates/TemplateCost.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>

using namespace attune;
using namespace attune::search;

namespace {

constexpr const char *kSpace = R"(
attune-space: 1
template: enc_classifier
fixed: {seq: 64, d: 64, classes: 10}
vars:
  - {name: layers, kind: int, values: [2, 12]}
  - {name: attn, kind: cat, values: [softmax, linear, cosformer, local8, conv], repeat: layers}
  - {name: heads, kind: int, values: [2, 4], repeat: layers, when: "attn != conv"}
  - {name: ffn, kind: int, values: [64, 128], repeat: layers}
objectives:
  - {cost: latency_ms, goal: min, threads: 1}
  - {cost: params, goal: min}
  - {cost: energy_mj, goal: min}
)";

struct TemplateTest : testing::Test {
  // A typical machine: what was calibrated here must not matter.
  static void SetUpTestSuite() { ::setenv("ATTUNE_CALIBRATION", "none", 1); }
  Space space = makeSpace(kSpace);
  std::unique_ptr<CostModel> cost = llvm::cantFail(TemplateCost::create(space));

  double value(llvm::ArrayRef<int32_t> genes, const char *name) {
    auto found = cost->estimate(genes);
    if (!found) {
      ADD_FAILURE() << llvm::toString(found.takeError());
      return 0;
    }
    return found->values[*findCost(*cost, {name})];
  }
};

ModelCost predictWhole(const Model &model) {
  llvm::SmallString<128> path;
  int file;
  llvm::sys::fs::createTemporaryFile("attune-whole", "onnx", file, path);
  llvm::raw_fd_ostream(file, true) << model.onnx;
  CompileOptions options;
  options.onlyPredict = true;
  options.predict.emplace_back();
  CompileReport report;
  llvm::Error error = compileModel(path, "", options, &report);
  llvm::sys::fs::remove(path);
  EXPECT_FALSE(bool(error)) << llvm::toString(std::move(error));
  return report.predictions.empty() ? ModelCost() : report.predictions.front();
}

/// In millijoules, by the table that costs are of.
double energyOf(const ModelCost &cost) {
  auto table = llvm::cantFail(codegen::EnergyTable::load("horowitz45"));
  double joules = 0;
  for (const ModelCost::Call &call : cost.calls)
    joules += table.of(call.features, call.cost).total();
  return joules * 1e3;
}

// Blocks are not fused with each other: the sum is what the whole candidate is predicted to take.
TEST_F(TemplateTest, SumOfBlocksIsTheWhole) {
  auto network = llvm::cantFail(makeTemplate(space));
  for (uint64_t id = 0; id < 3; ++id) {
    Rng rng(3, id, Stage::Propose);
    Genes genes = space.sample(rng);
    genes[0] = 0; // two layers
    genes = space.canonical(genes);
    Model whole = network->whole(genes);
    ModelCost predicted = predictWhole(whole);
    EXPECT_EQ(value(genes, "params"), whole.params);
    EXPECT_NEAR(value(genes, "flops") / predicted.flops, 1, 0.02);
    EXPECT_NEAR(value(genes, "latency_ms") / (predicted.seconds * 1e3), 1, 0.1);
    EXPECT_NEAR(value(genes, "energy_mj") / energyOf(predicted), 1, 0.1);
    EXPECT_NEAR(value(genes, "peak_mb") / (predicted.peakBytes() / 1e6), 1, 0.15);
  }
}

TEST_F(TemplateTest, MoreWorkIsNeverCheaper) {
  Genes small(space.geneCount(), 0), wide = small, deep = small;
  for (unsigned layer = 0; layer < 2; ++layer)
    wide[space.find("ffn")->firstGene + layer] = 1;
  deep[0] = 1;
  for (const char *name : {"latency_ms", "params", "flops", "peak_mb", "energy_mj"}) {
    EXPECT_LT(value(small, name), value(wide, name)) << name;
    EXPECT_LT(value(small, name), value(deep, name)) << name;
  }
}

TEST_F(TemplateTest, KnownBlocksArePricedQuickly) {
  std::vector<Genes> candidates;
  for (uint64_t id = 0; id < 200; ++id) {
    Rng rng(4, id, Stage::Propose);
    Genes genes = space.sample(rng);
    genes[0] = 1; // twelve layers
    candidates.push_back(space.canonical(genes));
  }
  using Clock = std::chrono::steady_clock;
  for (const char *what : {"first", "again"}) {
    std::vector<double> times;
    for (const Genes &genes : candidates) {
      auto start = Clock::now();
      double latency = value(genes, "latency_ms");
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
      EXPECT_GT(latency, 0);
    }
    std::sort(times.begin(), times.end());
    printf("twelve layers, %s: median %.1f us, largest %.0f us\n", what, times[times.size() / 2],
           times.back());
  }
}

TEST(Template, Errors) {
  auto error = [](const char *from, const char *to) {
    std::string text = kSpace;
    text.replace(text.find(from), std::string(from).size(), to);
    Space space = makeSpace(text);
    auto made = makeTemplate(space);
    return made ? "accepted" : llvm::toString(made.takeError());
  };
  EXPECT_EQ(error("seq: 64", "seq: 64"), "accepted");
  EXPECT_EQ(error("enc_classifier", "vision"),
            "no template `vision`; there is enc_classifier, or a model: {model: FILE, choices: "
            "[...]}");
  EXPECT_EQ(error("seq: 64, ", ""), "template enc_classifier: `fixed` needs `seq`");
  EXPECT_EQ(error("seq: 64", "seq: long"),
            "template enc_classifier: `seq` is a whole number from 1 "
            "to 65536; found `long`");
  EXPECT_EQ(
      error("local8", "window8"),
      "template enc_classifier: `attn` is softmax, linear, cosformer, localN (N positions to both "
      "sides), conv or convK (K odd); found `window8`");
  EXPECT_EQ(error("[2, 4]", "[2, 5]"),
            "template enc_classifier: `d` is 64, which does not divide into 5 heads");
}

} // namespace
