#include "Templates.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace attune;
using namespace attune::search;

namespace {

constexpr const char *kMixings = "[softmax, linear, cosformer, local3, conv5]";

std::string seq2seq(int64_t source, int64_t target, int64_t d, llvm::StringRef heads) {
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
                       source, target, d, heads, kMixings)
      .str();
}

std::string causalLm(int64_t seq, int64_t d) {
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
                       seq, d, kMixings)
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
       {seq2seq(48, 40, 64, "1, 4"), seq2seq(7, 131, 48, "3, 48"), seq2seq(1, 2, 16, "1, 2"),
        seq2seq(200, 1, 32, "2, 8"), causalLm(33, 32), causalLm(300, 64)}) {
    Space space = makeSpace(text);
    auto network = llvm::cantFail(makeTemplate(space));
    std::set<uint64_t> seen;
    std::vector<uint64_t> names;
    for (uint64_t id = 0; id < 30; ++id) {
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
  for (const std::string &text : {seq2seq(48, 40, 64, "2, 4"), causalLm(65, 64)}) {
    Space space = makeSpace(text);
    auto network = llvm::cantFail(makeTemplate(space));
    auto cost = llvm::cantFail(TemplateCost::create(space));
    for (uint64_t id = 0; id < 6; ++id) {
      Genes genes = sampled(space, id);
      SCOPED_TRACE(llvm::formatv("{0}", llvm::json::Value(space.toJson(genes))).str());
      auto found = llvm::cantFail(cost->estimate(genes));
      auto value = [&](const char *name) { return found.values[*findCost(*cost, {name})]; };
      Model whole = network->whole(genes);
      ModelCost predicted = predictWhole(whole);
      EXPECT_EQ(value("params"), whole.params);
      EXPECT_NEAR(value("flops") / predicted.flops, 1, 1e-3);
      EXPECT_NEAR(value("latency_ms") / (predicted.seconds * 1e3), 1, 0.08);
      EXPECT_NEAR(value("energy_mj") / energyOf(predicted), 1, 0.08);
      EXPECT_NEAR(value("peak_mb") / (predicted.peakBytes() / 1e6), 1, 0.2);
    }
  }
}

} // namespace
