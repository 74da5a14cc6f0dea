#include "Spaces.h"

#include <set>

using namespace attune::search;

namespace {

std::vector<int32_t> list(llvm::ArrayRef<int32_t> genes) { return genes.vec(); }

constexpr const char *kPaths = R"(
attune-space: 1
vars:
  - {name: deep, kind: bool}
  - {name: level, kind: path, axes: {level: [0, 2]}, length: 4, moves: [[0], [1]], when: "deep == 1"}
  - {name: op, kind: cat, values: [conv, add]}
constraints:
  - {expr: "max(level) <= 1"}
objectives: [{metric: acc, goal: max}]
)";

TEST(Space, GenesAndSizes) {
  Space space = makeSpace(kMixed);
  EXPECT_EQ(space.geneCount(), 1u + 3 + 3 + 1 + 1);
  EXPECT_EQ(space.size(), 3.0 * 27 * 8 * 2 * 4);
  EXPECT_EQ(space.choices(1), 3u);
}

TEST(Space, IndexAndNamesAreBijections) {
  for (const char *text : {kMixed, kPaths}) {
    Space space = makeSpace(text);
    std::set<std::vector<int32_t>> canonical;
    for (uint64_t index = 0; index < space.size(); ++index) {
      Genes genes = space.fromIndex(index);
      ASSERT_TRUE(space.contains(genes));
      ASSERT_EQ(space.indexOf(genes), index);
      Genes clean = space.canonical(genes);
      ASSERT_TRUE(space.contains(clean));
      ASSERT_EQ(space.canonical(clean), clean);
      auto back = space.fromJson(space.toJson(genes));
      ASSERT_TRUE(bool(back)) << llvm::toString(back.takeError());
      ASSERT_EQ(*back, clean);
      canonical.insert(list(clean));
    }
    // One layer: 1 (local) or 2 heads x 2 kinds; tie only from two layers on; 4 values of keep.
    size_t layer = 2 * 2 + 1;
    EXPECT_EQ(canonical.size(),
              text == kMixed ? 4 * (layer + 2 * layer * layer + 2 * layer * layer * layer)
                             : 2 * (1 + (1 + 3 + 3) + (1 + 3) + 1)); // not deep; from 0, 1, 2
  }
}

TEST(Space, InactiveGenesDoNotCount) {
  Space space = makeSpace(kMixed);
  Genes a = {0, 2, 1, 1, 1, 1, 1, 1, 2}, b = {0, 2, 0, 2, 0, 0, 1, 0, 2};
  EXPECT_EQ(space.canonical(a), space.canonical(b));
  auto json = space.toJson(a);
  EXPECT_EQ(json.getArray("attn")->size(), 1u);
  EXPECT_EQ(json.getArray("heads")->size(), 0u);
  EXPECT_EQ(json.get("tie"), nullptr);
  EXPECT_EQ(json.getNumber("keep"), 0.75);
}

TEST(Space, NamesAreChecked) {
  Space space = makeSpace(kMixed);
  auto error = [&](llvm::StringRef text) {
    auto genes = space.fromJson(*llvm::cantFail(llvm::json::parse(text)).getAsObject());
    return genes ? "accepted" : llvm::toString(genes.takeError());
  };
  EXPECT_EQ(error(R"({"layers": 1, "attn": ["linear"], "heads": [4], "keep": 1})"), "accepted");
  EXPECT_EQ(error(R"({"layers": 1, "attn": ["linear"], "heads": [4]})"), "`keep` is missing");
  EXPECT_EQ(error(R"({"layers": 1, "attn": ["linear"], "heads": [4], "keep": 1, "tie": true})"),
            "`tie` is given but not active");
  EXPECT_EQ(error(R"({"layers": 9})"), "`layers` cannot be 9");
  EXPECT_EQ(error(R"({"depth": 9})"), "the space has no variable `depth`");
  EXPECT_EQ(error(R"({"layers": 2, "attn": ["linear"], "heads": [4, 2], "keep": 1, "tie": true})"),
            "`attn` has 1 values, needed are 2");
}

TEST(Space, VariationGivesCanonicalMembers) {
  for (const char *text : {kMixed, kPaths}) {
    Space space = makeSpace(text);
    for (uint64_t id = 0; id < 500; ++id) {
      Rng rng(5, id, Stage::Propose);
      Genes a = space.sample(rng), b = space.sample(rng);
      Genes one = space.mutateOne(rng, a), many = space.mutate(rng, a, 0.3);
      Genes child = space.crossover(rng, a, b);
      for (const Genes &genes : {a, b, one, many, child}) {
        ASSERT_TRUE(space.contains(genes));
        ASSERT_EQ(space.canonical(genes), genes);
      }
      ASSERT_NE(one, a);
      ASSERT_NE(many, a);
    }
  }
}

// What becomes active by a mutation is drawn, not left at its first value.
TEST(Space, MutationFillsNewGenes) {
  Space space = makeSpace(kMixed);
  Genes parent = {0, 0, 0, 0, 0, 0, 0, 0, 0};
  std::set<int32_t> seen;
  for (uint64_t id = 0; id < 300; ++id) {
    Rng rng(6, id, Stage::Propose);
    Genes child = space.mutateOne(rng, parent);
    if (child[0])
      seen.insert(child[2]);
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST(Space, Conditions) {
  Space space = makeSpace(kMixed);
  auto satisfied = [&](Genes genes) {
    llvm::SmallVector<double> values;
    llvm::BitVector active;
    space.decode(genes, values, active);
    return space.satisfied(values);
  };
  EXPECT_TRUE(satisfied({1, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_FALSE(satisfied({2, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(satisfied({2, 0, 0, 1, 0, 0, 0, 0, 0}));
}

// A condition on what is absent does not speak of this candidate.
TEST(Space, ConditionsOnAbsentVariablesHold) {
  Space space = makeSpace(kPaths);
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  space.decode(Genes{0, 0, 0, 0, 0, 0}, values, active);
  EXPECT_TRUE(space.satisfied(values));
}

TEST(Space, HashCoversWhatDecides) {
  std::string text = kMixed;
  std::string hash = makeSpace(text).hash();
  EXPECT_EQ(hash.size(), 16u);
  EXPECT_EQ(hash, makeSpace(text + "seed: 9\nbudget: {evals: 7}\n").hash());
  for (auto [from, to] : {std::pair("linear", "lineal"),
                          {"layers > 1", "layers > 2"},
                          {"[2, 4]", "[2, 8]"},
                          {"<= 2", "<= 1"},
                          {"goal: max", "goal: min"},
                          {"d: 128", "d: 129"},
                          {"* 10", "* 11"}}) {
    std::string changed = text;
    changed.replace(changed.find(from), std::string(from).size(), to);
    EXPECT_NE(hash, makeSpace(changed).hash()) << from;
  }
}

TEST(Space, FixedNumbersAreConstants) {
  Space space = makeSpace(R"yaml(
attune-space: 1
fixed: {d: 128, dtype: f32}
vars: [{name: ffn, kind: int, values: [1, 2], repeat: 2}]
costs: [{name: params, expr: "2 * d * sum(ffn)"}]
objectives: [{cost: params, goal: min}]
)yaml");
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  space.decode(Genes{0, 1}, values, active);
  EXPECT_EQ(space.costs[0].expression.evaluate(values), 2 * 128 * 3);
}

// The space file of an experiment: which operators a layer chooses from depends on its level.
TEST(Space, ChoicesAlongAPath) {
  Space space = llvm::cantFail(Space::read(ATTUNE_EXPERIMENTS "/shiftaddnas/hytra.yaml"));
  const Variable &level = *space.find("level");
  ASSERT_EQ(level.path->count(), 714);
  double candidates = 0;
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  for (uint64_t number = 0; number < 714; ++number) {
    Genes genes(space.geneCount(), 0);
    level.path->unrank(number, llvm::MutableArrayRef(genes).slice(level.firstGene, 16));
    space.decode(genes, values, active);
    double choices = 1;
    for (const char *name : {"fine", "coarse"}) {
      const Variable &op = *space.find(name);
      for (unsigned layer = 0; layer < 16; ++layer)
        if (active[op.firstGene + layer])
          choices *= space.choices(op.firstGene + layer);
    }
    for (unsigned layer = 1; layer < 16; ++layer)
      ASSERT_LE(values[level.firstValue + layer - 1], values[level.firstValue + layer]);
    candidates += choices;
  }
  EXPECT_EQ(candidates, 549483601253.0);
  Rng rng(4, 0, Stage::Propose);
  for (int i = 0; i < 100; ++i) {
    space.decode(space.mutateOne(rng, space.sample(rng)), values, active);
    EXPECT_EQ(active.count(), 16u + 16); // the path, and one operator for each layer
  }
}

TEST(Space, JsonIsAccepted) {
  Space space = makeSpace(R"({"attune-space": 1,
    "vars": [{"name": "x", "kind": "int", "range": [1, 9, 2]}],
    "objectives": [{"metric": "m", "goal": "min"}]})");
  EXPECT_EQ(space.choices(0), 5u);
}

} // namespace
