#include "attune/search/CostTable.h"
#include "Spaces.h"

#include <gtest/gtest.h>

using namespace attune::search;

namespace {

std::string layered(llvm::StringRef costs) {
  return (R"~(
attune-space: 1
vars:
  - {name: layers, kind: int, values: [2, 4]}
  - {name: attn, kind: cat, values: [softmax, linear, conv], repeat: layers}
  - {name: heads, kind: int, values: [2, 4], repeat: layers, when: "attn != conv"}
  - {name: ffn, kind: int, values: [8, 16, 64], repeat: layers}
  - {name: tie, kind: bool}
costs: [)~" +
          costs + R"~(]
objectives: [{cost: size, goal: min}]
)~")
      .str();
}

void expectExact(const Space &space, CostModel &model, const CostTable &table) {
  for (uint64_t id = 0; id < 200; ++id) {
    Rng rng(7, id, Stage::Propose);
    Genes genes = space.sample(rng);
    auto cost = llvm::cantFail(model.estimate(genes));
    auto sum = table.evaluate(genes);
    for (size_t k = 0; k < sum.size(); ++k)
      EXPECT_NEAR(sum[k], cost.values[k], 1e-9 * std::abs(cost.values[k]));
  }
}

TEST(CostTable, SumsOverChoices) {
  Space space = makeSpace(
      layered(R"~({name: size, expr: "sum(ffn) * 3 + sum(heads) * 7 + 11 * layers + 5 * tie"})~"));
  ClosedFormCost model(space);
  CostTable table = llvm::cantFail(CostTable::make(space, model));
  expectExact(space, model, table);
  EXPECT_LT(table.tableErrors[0].most, 1e-12);
  EXPECT_LT(table.affineErrors[0].most, 1e-6);
  EXPECT_TRUE(table.transitions.empty());
  // layers, four of (attn, heads), four of ffn, tie
  EXPECT_EQ(table.units.size(), 1u + 4 + 4 + 1);
  EXPECT_EQ(table.units[1].choices.size(), 2u * 2 + 1); // conv has no heads
}

TEST(CostTable, WhatInteractsSharesAUnit) {
  Space space = makeSpace(layered(R"~({name: size, expr: "sum(heads * ffn) + sum(ffn)"})~"));
  ClosedFormCost model(space);
  CostTable table = llvm::cantFail(CostTable::make(space, model));
  expectExact(space, model, table);
  EXPECT_EQ(table.units.size(), 1u + 4 + 1);
  EXPECT_EQ(table.units[1].variables.size(), 3u);
  EXPECT_GT(table.affineErrors[0].most, 0.01); // and says so
}

TEST(CostTable, SaysHowFarSumsAreOff) {
  Space space = makeSpace(layered(R"~({name: size, expr: "sum(ffn) * sum(ffn)"})~"));
  ClosedFormCost model(space);
  CostTable table = llvm::cantFail(CostTable::make(space, model));
  EXPECT_GT(table.tableErrors[0].most, 0.1);
  EXPECT_LE(table.tableErrors[0].mean, table.tableErrors[0].most);
}

/// Layers have a price each, and a change of kind from one to the next one more.
class Changes final : public CostModel {
public:
  explicit Changes(const Space &space) : attn(*space.find("attn")) {}
  llvm::ArrayRef<CostName> names() const override { return name; }
  llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) override {
    CostVector cost;
    double sum = 10;
    for (unsigned i = 0; i < attn.elements; ++i) {
      int32_t kind = genes[attn.firstGene + i];
      sum += 3 * kind + i;
      sum += i && kind && genes[attn.firstGene + i - 1] && genes[attn.firstGene + i - 1] != kind;
    }
    cost.values.push_back(sum);
    return cost;
  }

private:
  const Variable &attn;
  CostName name{"latency_ms", 1};
};

TEST(CostTable, Transitions) {
  Space space = makeSpace(R"~(
attune-space: 1
vars: [{name: attn, kind: cat, values: [softmax, linear, conv], repeat: 4}]
objectives: [{cost: latency_ms, goal: min}]
)~");
  Changes model(space);
  CostTable table = llvm::cantFail(CostTable::make(space, model));
  expectExact(space, model, table);
  EXPECT_EQ(table.transitions.size(), 3u * 2); // linear and conv, either way
  llvm::json::Object json = table.toJson();
  EXPECT_EQ(json.getArray("transitions")->size(), 6u);
  EXPECT_EQ(json.getArray("units")->size(), 4u);
}

TEST(CostTable, StepsNeverFall) {
  Space space = makeSpace(R"~(
attune-space: 1
vars: [{name: width, kind: int, values: [3, 1, 2]}]
costs: [{name: size, expr: "(width - 2) * (width - 2)"}]
objectives: [{cost: size, goal: min}]
)~");
  ClosedFormCost model(space);
  llvm::json::Object json = llvm::cantFail(CostTable::make(space, model)).toJson();
  const llvm::json::Array &steps =
      *(*json.getArray("units"))[0].getAsObject()->getArray("monotone");
  std::vector<double> values;
  for (const llvm::json::Value &step : steps)
    values.push_back(*(*step.getAsObject()->getArray("deltas"))[0].getAsNumber());
  EXPECT_EQ(values, (std::vector<double>{0, 0, 0})); // 1, 0, 1 less the reference, made monotone
}

TEST(CostTable, Errors) {
  auto error = [](const char *variable, llvm::StringRef costs) {
    Space space = makeSpace((llvm::Twine("attune-space: 1\nvars: [") + variable + "]\n" +
                             (costs.empty() ? "" : "costs: [" + costs + "]\n") +
                             "objectives: [{metric: acc, goal: max}]\n")
                                .str());
    ClosedFormCost model(space);
    auto table = CostTable::make(space, model);
    return table ? "accepted" : llvm::toString(table.takeError());
  };
  EXPECT_EQ(error("{name: x, kind: int, values: [1, 2]}", "{name: c, expr: x}"), "accepted");
  EXPECT_EQ(error("{name: x, kind: int, values: [1, 2]}", ""),
            "this space has no costs (see `costs` and `template`)");
  EXPECT_EQ(error("{name: x, kind: perm, values: [1, 2]}", "{name: c, expr: max(x)}"),
            "unsupported: the costs of `x`, a variable of kind perm, as a sum");
  EXPECT_EQ(error("{name: x, kind: int, values: [0, 1]}", "{name: c, expr: 1 / x}"),
            "the cost `c` has no value");
}

} // namespace
