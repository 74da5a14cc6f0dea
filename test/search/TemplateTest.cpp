#include "Templates.h"
#include "attune/search/Legality.h"

#include "llvm/ADT/StringExtras.h"

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
  static void SetUpTestSuite() { useTypicalMachine(); }
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

std::string sizedSpace(int64_t seq, int64_t d, llvm::StringRef heads, llvm::StringRef ffn) {
  return llvm::formatv(R"(
attune-space: 1
template: enc_classifier
fixed: {{seq: {0}, d: {1}, classes: 7, features: 24}
vars:
  - {{name: attn, kind: cat, values: [softmax, linear, local2, conv, conv7], repeat: 3}
  - {{name: heads, kind: int, values: [{2}], repeat: 3, when: "attn != conv and attn != conv7"}
  - {{name: ffn, kind: int, values: [{3}], repeat: 3}
objectives:
  - {{cost: latency_ms, goal: min, threads: 1}
  - {{cost: energy_mj, goal: min}
)",
                       seq, d, heads, ffn)
      .str();
}

// What is priced without compiling are the kernels that the compiler makes.
TEST(Template, PlannedBlocksAreTheCompiledOnes) {
  useTypicalMachine();
  struct {
    int64_t seq, d;
    const char *heads, *ffn;
  } cases[] = {{64, 64, "2, 4", "64, 100"},        {37, 48, "1, 3", "1, 17"},
               {512, 256, "8, 256", "1000, 1024"}, {1, 32, "1, 2", "16, 33"},
               {2, 12, "3, 12", "3, 5"},           {200, 512, "1, 16", "2048, 31"}};
  for (auto [seq, d, heads, ffn] : cases) {
    Space space = makeSpace(sizedSpace(seq, d, heads, ffn).c_str());
    auto network = llvm::cantFail(makeTemplate(space));
    std::set<uint64_t> seen;
    std::vector<uint64_t> names;
    for (uint64_t id = 0; id < 40; ++id) {
      Rng rng(5, id, Stage::Propose);
      network->blocks(space.sample(rng), names);
      for (uint64_t name : names) {
        if (!seen.insert(name).second)
          continue;
        SCOPED_TRACE("seq " + std::to_string(seq) + ", d " + std::to_string(d) + ", block " +
                     llvm::utohexstr(name));
        expectSame(llvm::cantFail(network->cost(name)),
                   llvm::cantFail(costOf(*network->block(name))));
      }
    }
  }
}

TEST_F(TemplateTest, LocalAttentionLeavesOutWhatIsFar) {
  Space space = makeSpace(R"(
attune-space: 1
template: enc_classifier
fixed: {seq: 512, d: 32, heads: 4}
vars:
  - {name: attn, kind: cat, values: [softmax, local8, local100]}
objectives:
  - {cost: latency_ms, goal: min, threads: 1}
)");
  cost = llvm::cantFail(TemplateCost::create(space));
  double all = value({0}, "latency_ms"), few = value({1}, "latency_ms"),
         some = value({2}, "latency_ms");
  EXPECT_LT(few, 0.7 * all);
  EXPECT_LT(few, some);
  EXPECT_LT(some, all);
}

TEST_F(TemplateTest, SumOfBlocksIsTheWhole) {
  for (uint64_t id = 0; id < 3; ++id) {
    Rng rng(3, id, Stage::Propose);
    Genes genes = space.sample(rng);
    genes[0] = 0; // two layers
    expectSumIsTheWhole(space, *cost, space.canonical(genes));
  }
  // Where the second level of caches does not hold a candidate.
  Space wide = makeSpace(sizedSpace(256, 256, "4, 8", "512, 1024"));
  auto prices = llvm::cantFail(TemplateCost::create(wide));
  for (uint64_t id = 0; id < 2; ++id) {
    Rng rng(3, id, Stage::Propose);
    expectSumIsTheWhole(wide, *prices, wide.sample(rng));
  }
}

// A change of one gene costs what the changed candidate does, whatever was asked for before.
TEST_F(TemplateTest, DeltaIsTheWhole) {
  Rng rng(6, 0, Stage::Propose);
  Genes genes = space.sample(rng);
  for (unsigned step = 0; step < 10; ++step) {
    unsigned gene = rng.below(space.geneCount());
    auto choice = static_cast<int32_t>(rng.below(space.choices(gene)));
    auto changed = llvm::cantFail(cost->delta(space, genes, gene, choice));
    genes[gene] = choice;
    genes = space.canonical(genes);
    auto fresh = llvm::cantFail(TemplateCost::create(space));
    auto whole = llvm::cantFail(fresh->estimate(genes));
    EXPECT_EQ(changed.values, whole.values);
    EXPECT_EQ(changed.sigma, whole.sigma);
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

// Twelve layers, most of whose sizes no candidate before had; nothing here is asserted about time.
TEST(Template, TimesOfPrices) {
  useTypicalMachine();
  Space space = makeSpace(R"(
attune-space: 1
template: enc_classifier
fixed: {seq: 64, d: 192}
vars:
  - {name: attn, kind: cat, values: [softmax, linear, local4, local8, conv, conv7], repeat: 12}
  - {name: heads, kind: int, values: [2, 3, 4, 6], repeat: 12, when: "attn != conv and attn != conv7"}
  - {name: ffn, kind: int, range: [32, 2048, 1], repeat: 12}
objectives:
  - {cost: latency_ms, goal: min, threads: 1}
)");
  auto cost = llvm::cantFail(TemplateCost::create(space));
  std::vector<Genes> candidates;
  for (uint64_t id = 0; id < 50; ++id) {
    Rng rng(4, id, Stage::Propose);
    candidates.push_back(space.sample(rng));
  }
  using Clock = std::chrono::steady_clock;
  auto seconds = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  for (const char *what : {"new sizes", "known blocks"}) {
    std::vector<double> times;
    double first = 0;
    for (const Genes &genes : candidates) {
      auto start = Clock::now();
      auto price = llvm::cantFail(cost->estimate(genes));
      times.push_back(1e6 * seconds(start));
      first = first ? first : times.back();
      EXPECT_GT(price.values[0], 0);
    }
    std::sort(times.begin(), times.end());
    printf("twelve layers, %s: first %.1f us, median %.1f us, least %.1f us, most %.0f us\n", what,
           first, times[times.size() / 2], times.front(), times.back());
  }
  // As a search does: every proposal is judged. ATTUNE_SEARCH_CHECKS=100000 measures a whole one.
  const char *wanted = ::getenv("ATTUNE_SEARCH_CHECKS");
  uint64_t checks = wanted ? std::stoull(wanted) : 2000;
  Legality legality = llvm::cantFail(Legality::create(space, *cost));
  auto start = Clock::now();
  for (uint64_t id = 0; id < checks; ++id) {
    Rng rng(5, id, Stage::Propose);
    EXPECT_TRUE(legality.legal(space.sample(rng)));
  }
  printf("%llu candidates checked in %.2f s\n", static_cast<unsigned long long>(checks),
         seconds(start));
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
  EXPECT_EQ(
      error("enc_classifier", "vision"),
      "no template `vision`; there are enc_classifier, causal_lm, seq2seq, or a model: {model: "
      "FILE, choices: [...]}");
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
