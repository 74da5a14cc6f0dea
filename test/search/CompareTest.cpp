#include "attune/search/Compare.h"
#include "Tables.h"

using namespace attune::search;

namespace {

constexpr const char *kSynthetic = R"(
attune-space: 1
vars:
  - {name: kind, kind: cat, values: [softmax, linear, conv, local], repeat: 3}
  - {name: ffn, kind: int, values: [1, 2, 4], repeat: 3}
constraints: [{cost: size, le: 14}]
objectives: [{metric: score, goal: max}]
evaluator: {name: synthetic, seed: 4}
)";

struct CompareTest : testing::Test {
  Space space = makeSpace(kSynthetic);
  std::unique_ptr<attune::search::Setup> setup =
      llvm::cantFail(attune::search::Setup::create(space, {}));
  Ranking ranking = llvm::cantFail(Ranking::create(space, *setup));
};

TEST_F(CompareTest, RanksLegalMembersOnly) {
  size_t legal = 0;
  double best = 0;
  for (const TableRow &row : setup->storedTable()->rows())
    if (row.costs[0] <= 14) {
      ++legal;
      best = std::max(best, row.metrics[0][0]);
    }
  EXPECT_LT(legal, setup->storedTable()->rows().size());
  EXPECT_EQ(ranking.size(), legal);
  EXPECT_EQ(ranking.goals[0], -best);
  EXPECT_EQ(ranking.rankOf(-best), 1u);
  EXPECT_EQ(ranking.rankOf(ranking.goals[9]), 10u);
  EXPECT_EQ(ranking.noWorseThan(ranking.limitOf(10)), 10u);
}

TEST_F(CompareTest, EqualGoalsShareARank) {
  Ranking ties;
  ties.goals = {1, 2, 2, 3};
  EXPECT_EQ(ties.rankOf(2), 2u);
  EXPECT_EQ(ties.noWorseThan(ties.limitOf(2)), 3u);
}

// The medians of random draws, against draws.
TEST(Compare, RandomDraws) {
  Ranking ranking;
  ranking.goals.resize(60);
  EXPECT_EQ(ranking.randomUntil(60), 1);
  EXPECT_EQ(ranking.randomUntil(1), 30);
  EXPECT_EQ(ranking.randomRank(60), 1);
  Rng rng(1, 0, Stage::Propose);
  std::vector<unsigned> untils, ranks;
  for (int trial = 0; trial < 4001; ++trial) {
    std::vector<unsigned> order(60);
    for (unsigned i = 0; i < 60; ++i)
      order[i] = i;
    for (unsigned i = 60; i > 1; --i)
      std::swap(order[i - 1], order[rng.below(i)]);
    untils.push_back(llvm::find_if(order, [](unsigned rank) { return rank < 4; }) - order.begin() +
                     1);
    ranks.push_back(*std::min_element(order.begin(), order.begin() + 8) + 1);
  }
  llvm::sort(untils);
  llvm::sort(ranks);
  EXPECT_NEAR(ranking.randomUntil(4), untils[2000], 1);
  EXPECT_NEAR(ranking.randomRank(8), ranks[2000], 1);
}

TEST_F(CompareTest, SearchesEndAtTheTopOrAreGivenUp) {
  space.strategy = {.name = "evolution", .options = {{"population", "10"}, {"sample", "4"}}};
  SearchTrial trial =
      llvm::cantFail(trySearch(space, *setup, ranking, ranking.limitOf(20), 30, 400));
  EXPECT_TRUE(trial.found);
  EXPECT_LE(trial.untilTop, 400u);
  EXPECT_GE(trial.rankInBudget, 1u);
  if (trial.untilTop <= 30)
    EXPECT_LE(trial.rankInBudget, 20u);
  SearchTrial none =
      llvm::cantFail(trySearch(space, *setup, ranking, ranking.goals.front() - 1, 30, 50));
  EXPECT_FALSE(none.found);
  EXPECT_EQ(none.untilTop, 50u);
}

TEST_F(CompareTest, RankersLearn) {
  EXPECT_GT(rankerTau(space, ranking, 200, 1), 0.6);
  EXPECT_GT(rankerTau(space, ranking, 200, 1), rankerTau(space, ranking, 10, 1));
}

} // namespace
