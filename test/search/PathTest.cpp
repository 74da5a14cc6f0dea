#include "attune/search/Path.h"

#include <gtest/gtest.h>
#include <set>

using namespace attune::search;

namespace {

std::vector<int32_t> genesOf(const Path &path, uint64_t number) {
  std::vector<int32_t> genes(path.length());
  path.unrank(number, genes);
  return genes;
}

TEST(Path, CountsOfTwoPublishedSpaces) {
  // HyTra: 16 layers, 4 levels, never back, at most one level a step.
  EXPECT_EQ(Path({{"level", 0, 3}}, 16, {{0}, {1}}, {}, std::nullopt).count(), 714);
  // TREFE: 20 layers, 5 halvings of height and 2 of width: C(20,5) * C(5,2).
  EXPECT_EQ(
      Path({{"h", 0, 5}, {"w", 0, 2}}, 21, {{0, 0}, {1, 0}, {1, 1}}, {{0, 0}}, Path::Point{5, 2})
          .count(),
      155040);
}

TEST(Path, RankIsABijection) {
  Path path({{"level", 0, 3}}, 16, {{0}, {1}}, {}, std::nullopt);
  std::set<std::vector<int32_t>> seen;
  for (uint64_t number = 0; number < 714; ++number) {
    std::vector<int32_t> genes = genesOf(path, number);
    ASSERT_TRUE(path.points(genes));
    EXPECT_EQ(path.rank(genes), number);
    EXPECT_EQ(*path.genesOf(*path.points(genes)), llvm::ArrayRef<int32_t>(genes));
    seen.insert(genes);
  }
  EXPECT_EQ(seen.size(), 714u);
}

// Uniform over paths, which uniform steps are not: 714 paths, chi-squared with 713 degrees.
TEST(Path, SamplesAreUniformOverPaths) {
  Path path({{"level", 0, 3}}, 16, {{0}, {1}}, {}, std::nullopt);
  constexpr int kDraws = 71400;
  std::vector<int> counts(714);
  Rng rng(11, 0, Stage::Propose);
  std::vector<int32_t> genes(16);
  for (int i = 0; i < kDraws; ++i) {
    path.sample(rng, genes);
    ++counts[path.rank(genes)];
  }
  double chi = 0, expected = kDraws / 714.0;
  for (int count : counts)
    chi += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi, 834); // 0.1 %
  EXPECT_GT(chi, 603); // 99.9 %
}

TEST(Path, VariationStaysOnTheGrid) {
  Path path({{"h", 0, 5}, {"w", 0, 2}}, 21, {{0, 0}, {1, 0}, {1, 1}}, {{0, 0}}, Path::Point{5, 2});
  Rng rng(3, 0, Stage::Propose);
  std::vector<int32_t> a(21), b(21);
  for (int i = 0; i < 300; ++i) {
    path.sample(rng, a);
    path.sample(rng, b);
    unsigned from = rng.below(20), to = from + 1 + rng.below(20 - from);
    std::vector<int32_t> changed = a;
    path.resample(rng, changed, from, to);
    auto before = path.points(a), after = path.points(changed);
    ASSERT_TRUE(after);
    for (unsigned step = 0; step <= 20; ++step)
      if (step <= from || step >= to)
        EXPECT_EQ((*before)[step], (*after)[step]);
    path.crossover(rng, a, b);
    EXPECT_TRUE(path.points(a));
  }
}

} // namespace
