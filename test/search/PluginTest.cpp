#include "Tables.h"
#include "attune/search/Setup.h"

#include "llvm/Support/Path.h"

using namespace attune::search;

namespace {

Spec plugin(std::string file, std::map<std::string, std::string> options = {}) {
  options["file"] = std::move(file);
  return {.name = "plugin", .options = std::move(options)};
}

std::string error(const Spec &spec) {
  Space space = makeSpace(kLayers);
  auto strategy = makeStrategy(spec, space);
  return strategy ? "accepted" : llvm::toString(strategy.takeError());
}

TEST(Plugin, Errors) {
  EXPECT_EQ(error(plugin(ATTUNE_TEST_PLUGIN)), "accepted");
  EXPECT_EQ(error({.name = "plugin"}), "the strategy `plugin` needs `file`, a shared library");
  EXPECT_EQ(error(plugin("/nonexistent.so")).find("cannot load the strategy: /nonexistent.so"), 0u);
  EXPECT_EQ(error(plugin(ATTUNE_TEST_PLUGIN_BARE)),
            ATTUNE_TEST_PLUGIN_BARE " is no strategy: it has no function `attune_strategy`");
  EXPECT_EQ(error(plugin(ATTUNE_TEST_PLUGIN_NEWER)), ATTUNE_TEST_PLUGIN_NEWER
            " is a strategy of version 99, accepted is version 1: build it "
            "with the strategy_plugin.h of this version");
  EXPECT_EQ(error(plugin(ATTUNE_TEST_PLUGIN, {{"speed", "3"}})),
            "the strategy " ATTUNE_TEST_PLUGIN " does not start: there is no option `speed`");
}

// It climbs, takes nothing illegal, and a study that was cut goes on to the same end.
TEST(Plugin, SearchesAndResumes) {
  Space space = makeSpace(kLayers);
  Table table = llvm::cantFail(makeSyntheticTable(space, {}));
  space.strategy = plugin(ATTUNE_TEST_PLUGIN, {{"probability", "0.05"}});
  space.evals = 60;
  TableEvaluator evaluator(table);
  StudyResult whole = runStudy(space, table, evaluator);
  EXPECT_EQ(whole.ok, 60u);
  Space uniform = makeSpace(kLayers);
  uniform.strategy = {.name = "random"};
  uniform.evals = 60;
  TableEvaluator other(table);
  StudyResult random = runStudy(uniform, table, other);
  EXPECT_LE(whole.archive.entries()[0].goals[0], random.archive.entries()[0].goals[0]);

  TemporaryFolder folder;
  StudyOptions options{.folder = folder.in("s")};
  options.checkpointEvery = 16;
  space.evals = 37;
  TableEvaluator first(table);
  runStudy(space, table, first, options);
  space.evals = 60;
  options.resume = true;
  TableEvaluator second(table);
  EXPECT_EQ(describe(whole.archive), describe(runStudy(space, table, second, options).archive));
}

} // namespace
