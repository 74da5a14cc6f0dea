#include "attune/search/Random.h"

#include <cmath>
#include <gtest/gtest.h>
#include <vector>

using namespace attune::search;

namespace {

// The known answers that the authors publish with their code (Random123, kat_vectors).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox({ones, ones, ones, ones}, {ones, ones}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, StreamsDifferByEveryPartOfTheirName) {
  auto first = [](uint64_t seed, uint64_t id, Stage stage) { return Rng(seed, id, stage).next(); };
  uint32_t base = first(1, 2, Stage::Propose);
  EXPECT_EQ(base, first(1, 2, Stage::Propose));
  EXPECT_NE(base, first(2, 2, Stage::Propose));
  EXPECT_NE(base, first(1, 3, Stage::Propose));
  EXPECT_NE(base, first(1, 2, Stage::Model));
  EXPECT_NE(base, first(1 + (uint64_t{1} << 32), 2, Stage::Propose));
  EXPECT_NE(base, first(1, 2 + (uint64_t{1} << 32), Stage::Propose));
}

TEST(Rng, BelowIsUniform) {
  Rng rng(7, 0, Stage::Propose);
  constexpr int kDraws = 60000, kValues = 6;
  std::vector<int> counts(kValues);
  for (int i = 0; i < kDraws; ++i)
    ++counts[rng.below(kValues)];
  double chi = 0, expected = double(kDraws) / kValues;
  for (int count : counts)
    chi += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi, 20.5); // 0.1 % of the chi-squared distribution with 5 degrees of freedom
}

TEST(Rng, NormalHasMeanAndVariance) {
  Rng rng(7, 1, Stage::Propose);
  constexpr int kDraws = 20000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.03);
  EXPECT_NEAR(squares / kDraws, 1, 0.05);
}

} // namespace
