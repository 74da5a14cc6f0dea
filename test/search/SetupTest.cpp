#include "attune/search/Setup.h"
#include "Tables.h"

using namespace attune::search;

namespace {

std::string error(llvm::StringRef evaluator,
                  llvm::StringRef objective = "{metric: score, goal: max}",
                  llvm::StringRef more = "") {
  Space space = makeSpace(("attune-space: 1\nvars: [{name: x, kind: int, values: [1, 2]}]\n"
                           "costs: [{name: c, expr: x + 1}]\nobjectives: [" +
                           objective + "]\n" + more +
                           (evaluator.empty() ? "" : "\nevaluator: " + evaluator) + "\n")
                              .str());
  auto setup = Setup::create(space, {});
  return setup ? "accepted" : llvm::toString(setup.takeError());
}

TEST(Setup, Errors) {
  EXPECT_EQ(error("synthetic"), "accepted");
  EXPECT_EQ(error("", "{cost: c, goal: min}"), "accepted");
  EXPECT_EQ(error(""), "an objective is a metric, so the space needs an `evaluator`: table, "
                       "synthetic, nasbench101 or worker");
  EXPECT_EQ(error("magic"),
            "no evaluator `magic`; there are table, synthetic, nasbench101, worker");
  EXPECT_EQ(error("table"), "the evaluator `table` needs `file`");
  EXPECT_EQ(error("{name: table, file: /nonexistent.jsonl}"),
            "cannot read /nonexistent.jsonl: No such file or directory");
  EXPECT_EQ(error("{name: table, path: x}"),
            "the evaluator `table` has no option `path`; accepted: file");
  EXPECT_EQ(error("{name: synthetic, noise: much}"),
            "`noise` of the evaluator `synthetic` is a number from 0 to 100; found `much`");
  EXPECT_EQ(error("{name: table, command: [x]}"), "the evaluator `table` has no `command`");
  EXPECT_EQ(error("{name: nasbench101, file: x}"),
            "the variables are not those of NAS-Bench-101 (docs/search.md)");
  EXPECT_EQ(error("worker"), "an evaluator `worker` needs `command`, a list of words");
  EXPECT_EQ(error("synthetic", "{metric: score, goal: max}", "template: vision"),
            "unsupported: no template `vision`");
  EXPECT_EQ(
      error("synthetic", "{metric: score, goal: max}", "strategy: magic"),
      "no strategy `magic`; there are random, grid, evolution, nsga2, hat, rank, tiers, plugin");
}

} // namespace
