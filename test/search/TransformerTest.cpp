#include "Templates.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace attune;
using namespace attune::search;

namespace {

constexpr const char *kAll = "[softmax, linear, cosformer, local3, conv5]";
/// Those whose kernels are built without the compiler.
constexpr const char *kPlanned = "[softmax, linear, local3]";

std::string seq2seq(int64_t source, int64_t target, int64_t d, llvm::StringRef heads,
                    const char *mixings) {
  return llvm::formatv(R"(
attune-space: 1
template: seq2seq
fixed: {{source: {0}, target: {1}, d: {2}, vocab: 50, target_vocab: 31}
vars:
  - {{name: layers, kind: int, values: [1, 2, 3]}
  - {{name: enc_attn, kind: cat, values: {4}, repeat: 2}
  - {{name: enc_heads, kind: int, values: [{3}], repeat: 2}
  - {{name: enc_ffn, kind: int, values: [32, 100]}
  - {{name: dec_attn, kind: cat, values: {4}, repeat: layers}
  - {{name: dec_heads, kind: int, values: [{3}], repeat: layers}
  - {{name: dec_ffn, kind: int, values: [17, 64], repeat: layers}
  - {{name: tie, kind: cat, values: [none, encoder, decoder, all]}
objectives:
  - {{cost: latency_ms, goal: min, threads: 1}
  - {{cost: energy_mj, goal: min}
)",
                       source, target, d, heads, mixings)
      .str();
}

std::string causalLm(int64_t seq, int64_t d, const char *mixings) {
  return llvm::formatv(R"(
attune-space: 1
template: causal_lm
fixed: {{seq: {0}, d: {1}, vocab: 40, heads: 2}
vars:
  - {{name: attn, kind: cat, values: {2}, repeat: 3}
  - {{name: ffn, kind: int, values: [48, 64], repeat: 3}
  - {{name: tie, kind: cat, values: [none, all]}
objectives:
  - {{cost: latency_ms, goal: min, threads: 1}
  - {{cost: energy_mj, goal: min}
)",
                       seq, d, mixings)
      .str();
}

Genes sampled(const Space &space, uint64_t id) {
  Rng rng(5, id, Stage::Propose);
  return space.sample(rng);
}

// What is priced without compiling are the kernels that the compiler makes.
TEST(Transformer, PlannedBlocksAreTheCompiledOnes) {
  useTypicalMachine();
  for (const std::string &text :
       {seq2seq(48, 40, 64, "1, 4", kPlanned), seq2seq(7, 131, 48, "3, 48", kPlanned),
        seq2seq(1, 2, 16, "1, 2", kPlanned), seq2seq(50, 1, 32, "2, 8", kPlanned),
        causalLm(33, 32, kPlanned), causalLm(300, 64, kPlanned)}) {
    Space space = makeSpace(text);
    auto network = llvm::cantFail(makeTemplate(space));
    std::set<uint64_t> seen;
    std::vector<uint64_t> names;
    for (uint64_t id = 0; id < 6; ++id) {
      network->blocks(sampled(space, id), names);
      for (uint64_t name : names) {
        // Blocks with weights that the candidate has already are the same but for these.
        bool again = name >> 63;
        if (again || !seen.insert(name).second)
          continue;
        SCOPED_TRACE(text + ", block " + llvm::utohexstr(name));
        expectSame(llvm::cantFail(network->cost(name)),
                   llvm::cantFail(costOf(*network->block(name))));
      }
    }
  }
}

TEST(Transformer, SumOfBlocksIsTheWhole) {
  useTypicalMachine();
  // Blocks alone do not say that the encoder's keys and values stay through the decoder, nor how
  // much was touched since another layer read them.
  Space both = makeSpace(seq2seq(48, 40, 64, "2, 4", kAll));
  auto cost = llvm::cantFail(TemplateCost::create(both));
  for (uint64_t id = 0; id < 4; ++id)
    expectSumIsTheWhole(both, *cost, sampled(both, id), /*latencyError=*/0.015,
                        /*peakError=*/0.18);
  Space decoder = makeSpace(causalLm(65, 64, kAll));
  cost = llvm::cantFail(TemplateCost::create(decoder));
  for (uint64_t id = 0; id < 4; ++id)
    expectSumIsTheWhole(decoder, *cost, sampled(decoder, id));
}

// Layers with the same weights store them once and take the same time.
TEST(Transformer, TiedLayers) {
  useTypicalMachine();
  Space space = makeSpace(causalLm(32, 32, kAll));
  auto network = llvm::cantFail(makeTemplate(space));
  auto cost = llvm::cantFail(TemplateCost::create(space));
  auto value = [&](const Genes &genes, const char *name) {
    return llvm::cantFail(cost->estimate(genes)).values[*findCost(*cost, {name})];
  };
  Genes apart(space.geneCount(), 0), tied = apart;
  tied[space.find("tie")->firstGene] = 1;
  EXPECT_EQ(value(apart, "flops"), value(tied, "flops"));
  EXPECT_NEAR(value(apart, "latency_ms"), value(tied, "latency_ms"), 1e-6);
  // Twice what a layer has: norms, projections, 48 channels in between.
  double layer = 2 * 2 * 32 + 4 * (32 * 32 + 32) + 2 * 32 * 48 + 48 + 32;
  EXPECT_EQ(value(apart, "params") - value(tied, "params"), 2 * layer);
  EXPECT_EQ(network->whole(tied).params, value(tied, "params"));
  EXPECT_NEAR(predictWhole(network->whole(tied)).storedBytes / 4, value(tied, "params"), 500);
  // Layers that differ share nothing.
  Genes mixed = tied;
  for (unsigned layer = 0; layer < 3; ++layer) {
    mixed[space.find("attn")->firstGene + layer] = layer;
    mixed[space.find("ffn")->firstGene + layer] = layer == 1;
  }
  EXPECT_EQ(network->whole(mixed).params, value(mixed, "params"));
}

// What no model can hold is refused before its numbers are drawn; closed forms still have prices.
TEST(Transformer, TooLarge) {
  useTypicalMachine();
  auto refusal = [](const std::string &text, int32_t mixing) {
    Space space = makeSpace(text);
    auto cost = llvm::cantFail(TemplateCost::create(space));
    Genes genes(space.geneCount(), 0);
    for (unsigned layer = 0; layer < 3; ++layer)
      genes[space.find("attn")->firstGene + layer] = mixing;
    auto estimate = cost->estimate(genes);
    return estimate ? "" : llvm::toString(estimate.takeError());
  };
  std::string wide = causalLm(2, 32768, kAll), longest = causalLm(65536, 2, kAll);
  EXPECT_EQ(refusal(wide, 0), "");
  EXPECT_NE(refusal(wide, 2).find("a block of a template would have 4,295,"), std::string::npos)
      << refusal(wide, 2);
  EXPECT_EQ(refusal(longest, 0), "");
  // Heads of one channel are compiled, with a mask of all pairs.
  EXPECT_NE(refusal(longest, 3).find("accepted: up to 134,217,728"), std::string::npos)
      << refusal(longest, 3);
  Space space = makeSpace(wide);
  auto network = llvm::cantFail(makeTemplate(space));
  auto onnx = network->onnx(Genes(space.geneCount(), 0));
  ASSERT_FALSE(bool(onnx));
  EXPECT_EQ(llvm::toString(onnx.takeError()).find("a network of a template would have 12,"), 0u);
}

TEST(Transformer, Errors) {
  auto error = [](const std::string &good, const char *from, const char *to) {
    std::string text = good;
    text.replace(text.find(from), std::string(from).size(), to);
    Space space = makeSpace(text);
    auto made = makeTemplate(space);
    return made ? "accepted" : llvm::toString(made.takeError());
  };
  std::string both = seq2seq(8, 9, 32, "2, 4", kAll), one = causalLm(8, 32, kAll);
  EXPECT_EQ(error(both, "source: 8, ", ""), "template seq2seq: `fixed` needs `source`");
  EXPECT_EQ(error(one, "vocab: 40, ", ""), "template causal_lm: `fixed` needs `vocab`");
  EXPECT_EQ(error(both, "name: enc_attn", "name: attn"),
            "template seq2seq: needs a variable `enc_attn` of kind cat");
  EXPECT_EQ(error(both, "[2, 4]", "[2, 5]"),
            "template seq2seq: `d` is 32, which does not divide into 5 heads");
  EXPECT_EQ(error(both, "[none, encoder", "[none, source"),
            "template seq2seq: `tie` is a cat of none, encoder, decoder, all");
  EXPECT_EQ(error(one, "[none, all]", "[none, decoder]"),
            "template causal_lm: `tie` is a cat of none, all");
  EXPECT_EQ(error(one, "vocab: 40", "vocab: 1"),
            "template causal_lm: a vocabulary has at least 2 tokens");
}

} // namespace
