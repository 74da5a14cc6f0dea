#include "attune/search/templates/ModelTemplate.h"
#include "Spaces.h"
#include "attune/search/templates/TemplateCost.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace attune;
using namespace attune::search;

namespace {

constexpr const char *kLayers = R"(
attune-space: 1
template: enc_classifier
fixed: {seq: 160, d: 32}
vars:
  - {name: attn, kind: cat, values: [softmax], repeat: 2}
  - {name: ffn, kind: int, values: [32]}
objectives: [{cost: latency_ms, goal: min}]
)";

/// A user's model: two layers of softmax attention.
struct ModelTemplateTest : testing::Test {
  static llvm::SmallString<128> file;
  static std::vector<ModelChoice> choices;

  static void SetUpTestSuite() {
    // A typical machine: what was calibrated here must not matter.
    ::setenv("ATTUNE_CALIBRATION", "none", 1);
    Space space = makeSpace(kLayers);
    auto network = llvm::cantFail(makeTemplate(space));
    int descriptor;
    llvm::sys::fs::createTemporaryFile("attune-layers", "onnx", descriptor, file);
    llvm::raw_fd_ostream(descriptor, true) << network->whole(Genes(space.geneCount(), 0)).onnx;
    choices = llvm::cantFail(findChoices(file, {"linear", "local4"}, {}));
  }
  static void TearDownTestSuite() { llvm::sys::fs::remove(file); }

  static std::string spaceText(const char *values = "softmax, linear, local4") {
    std::string text = "attune-space: 1\ntemplate: {model: \"" + file.str().str() +
                       "\", choices: [linear, local4]}\nvars:\n";
    for (const std::string &name : variableNames(choices))
      text += "  - {name: " + name + ", kind: cat, values: [" + values + "]}\n";
    return text + "objectives:\n  - {cost: latency_ms, goal: min, threads: 1}\n"
                  "  - {cost: energy_mj, goal: min}\n";
  }
};
llvm::SmallString<128> ModelTemplateTest::file;
std::vector<ModelChoice> ModelTemplateTest::choices;

TEST_F(ModelTemplateTest, ChoicesAreTheModelsAttention) {
  ASSERT_EQ(choices.size(), 2u);
  for (const ModelChoice &choice : choices) {
    EXPECT_EQ(choice.alternatives, (std::vector<std::string>{"softmax", "linear", "local4"}));
    EXPECT_EQ(choice.nodes, std::vector<std::string>{choice.label});
  }
  EXPECT_EQ(variableNames({{"/a.0/b", {}, {}}, {"a_0_b", {}, {}}, {"3", {}, {}}, {"or", {}, {}}}),
            (std::vector<std::string>{"a_0_b", "a_0_b_2", "n3", "or_2"}));
}

// Changes alone add up to what the compiler says of the whole candidate.
TEST_F(ModelTemplateTest, SumOfChangesIsTheWhole) {
  Space space = makeSpace(spaceText());
  auto model = llvm::cantFail(makeTemplate(space));
  auto cost = llvm::cantFail(TemplateCost::create(space));
  auto table = llvm::cantFail(codegen::EnergyTable::load("horowitz45"));
  for (const Genes &genes : {Genes{0, 0}, Genes{1, 1}, Genes{1, 2}}) {
    CompileReport report;
    ASSERT_FALSE(bool(compile(model->whole(genes), "", /*onlyPredict=*/true, &report)));
    const ModelCost &whole = report.predictions.front();
    CostVector sum = llvm::cantFail(cost->estimate(genes));
    auto value = [&](const char *name) { return sum.values[*findCost(*cost, {name})]; };
    double joules = 0;
    for (const ModelCost::Call &call : whole.calls)
      joules += table.of(call.features, call.cost).total();
    EXPECT_DOUBLE_EQ(value("flops"), whole.flops);
    // The same kernels; how much of the memory stays in a cache depends on its peak.
    EXPECT_NEAR(value("latency_ms") / (whole.seconds * 1e3), 1, 1e-3);
    EXPECT_NEAR(value("energy_mj") / (joules * 1e3), 1, 1e-3);
    EXPECT_NEAR(value("peak_mb") / (whole.peakBytes() / 1e6), 1, 0.1);
  }
  CostVector soft = llvm::cantFail(cost->estimate(Genes{0, 0})),
             linear = llvm::cantFail(cost->estimate(Genes{1, 1}));
  unsigned latency = *findCost(*cost, {"latency_ms"}), params = *findCost(*cost, {"params"});
  EXPECT_LT(linear.values[latency], soft.values[latency]);
  EXPECT_EQ(linear.values[params], soft.values[params]);
  // x W_in, positions, two layers of four products, two of the rest, norms, the classes.
  double expected = 32 * 32 + 32 + 160 * 32 +
                    2 * (4 * (32 * 32 + 32) + 2 * (32 * 32 + 32) + 4 * 32) + 2 * 32 + 32 * 10 + 10;
  EXPECT_EQ(soft.values[params], expected);
}

// A variable that is left out keeps what the model has.
TEST_F(ModelTemplateTest, FewerVariables) {
  std::string text = spaceText(), name = variableNames(choices)[1];
  size_t line = text.find("  - {name: " + name);
  text.erase(line, text.find('\n', line) + 1 - line);
  Space space = makeSpace(text);
  auto model = llvm::cantFail(makeTemplate(space));
  auto chosen = model->whole(Genes{2}).options.choices;
  ASSERT_EQ(chosen.size(), 2u);
  EXPECT_EQ(chosen[0].second, "local4");
  EXPECT_EQ(chosen[1].second, "softmax");
}

TEST_F(ModelTemplateTest, Errors) {
  auto error = [](const std::string &text) {
    Space space = makeSpace(text);
    auto made = makeTemplate(space);
    std::string message = made ? "accepted" : llvm::toString(made.takeError());
    size_t name = message.find(file.str());
    return name == std::string::npos ? message : message.erase(name, file.size());
  };
  EXPECT_EQ(error(spaceText()), "accepted");
  std::string name = variableNames(choices)[0];
  EXPECT_EQ(error(spaceText("softmax, cosformer")),
            "template of : `" + name +
                "` cannot be `cosformer`; it can be softmax, linear, local4");
  std::string text = spaceText();
  text.replace(text.find("kind: cat, values: [softmax, linear, local4]"), 44,
               "kind: cat, values: [softmax, linear], repeat: 2");
  EXPECT_EQ(error(text), "template of : `" + name + "` is a cat without `repeat`");
  text = spaceText();
  text.replace(text.find("[linear, local4]"), 16, "[softmax]");
  EXPECT_EQ(error(text),
            "template of : the model has no softmax attention that softmax could stand for");
}

} // namespace
