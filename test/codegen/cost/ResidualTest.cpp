#include "attune/codegen/cost/Residual.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace attune::codegen;

namespace {
/// A grid of two inputs; `value` gives what was measured.
template <class Value> std::vector<Residual::Sample> grid(int side, Value value) {
  std::vector<Residual::Sample> samples;
  for (int i = 0; i < side; ++i)
    for (int j = 0; j < side; ++j)
      samples.push_back({{double(i), double(j)}, value(i, j), unsigned(i * side + j) % 5});
  return samples;
}
} // namespace

TEST(Residual, SolvesNormalEquations) {
  // (4 2; 2 3) x = (10; 8): x = (7/4, 3/2).
  std::vector<double> x = solveRidge({4, 2, 2, 3}, {10, 8}, 0);
  EXPECT_NEAR(x[0], 1.75, 1e-12);
  EXPECT_NEAR(x[1], 1.5, 1e-12);
  // Singular: the second column is the first.
  std::vector<double> y = solveRidge({1, 1, 1, 1}, {2, 2}, 0);
  EXPECT_NEAR(y[0] + y[1], 2, 1e-9);
}

TEST(Residual, FewMeasurementsGiveTheirMiddle) {
  std::vector<Residual::Sample> samples{{{0}, 0.1, 0}, {{1}, 0.2, 1}, {{2}, 5.0, 2}};
  EXPECT_NEAR(Residual::fit(samples).value({1.0}), 0.2, 1e-12);
  samples.pop_back();
  EXPECT_EQ(Residual::fit(samples).value({1.0}), 0);
}

TEST(Residual, FindsPlanesAndProducts) {
  Residual plane = Residual::fit(grid(5, [](int i, int j) { return 0.3 * i - 0.1 * j + 1; }));
  EXPECT_NEAR(plane.value({2.0, 3.0}), 1.3, 0.02);
  EXPECT_LT(plane.sigma(), 0.1);
  Residual curved = Residual::fit(grid(8, [](int i, int j) { return 0.02 * i * j; }));
  EXPECT_NEAR(curved.value({5.0, 5.0}), 0.5, 0.05);
}

TEST(Residual, BeyondTheMeasurementsTheNearestCounts) {
  Residual plane = Residual::fit(grid(5, [](int i, int j) { return 0.3 * i; }));
  EXPECT_EQ(plane.value({100.0, 2.0}), plane.value({4.0, 2.0}));
  EXPECT_TRUE(std::isfinite(plane.value({-1e30, 1e30})));
}

TEST(Residual, TreesFindStepsWhereThereAreManyMeasurements) {
  // What a kernel takes jumps where another path of it begins.
  auto jump = [](int i, int j) { return (i >= 7) != (j >= 11) ? 0.5 : 0.0; };
  Residual many = Residual::fit(grid(18, jump)), few = Residual::fit(grid(9, jump));
  for (auto [i, j] : {std::pair{3, 4}, {3, 14}, {12, 4}, {12, 14}})
    EXPECT_NEAR(many.value({double(i), double(j)}), jump(i, j), 0.06);
  EXPECT_LT(many.sigma(), 0.5 * few.sigma());
  auto read = Residual::fromJson(many.toJson());
  ASSERT_TRUE(bool(read));
  EXPECT_EQ(read->value({3.0, 14.0}), many.value({3.0, 14.0}));
  llvm::json::Object broken = *many.toJson().getAsObject();
  broken["edges"] = llvm::json::Array();
  auto refused = Residual::fromJson(std::move(broken));
  EXPECT_FALSE(bool(refused));
  llvm::consumeError(refused.takeError());
}

TEST(Residual, SurvivesItsFile) {
  Residual fitted = Residual::fit(grid(8, [](int i, int j) { return 0.02 * i * j + 0.1; }));
  auto read = Residual::fromJson(fitted.toJson());
  ASSERT_TRUE(bool(read));
  EXPECT_NEAR(read->value({3.0, 2.0}), fitted.value({3.0, 2.0}), 1e-12);
  EXPECT_EQ(read->sigma(), fitted.sigma());
  llvm::json::Object broken = *fitted.toJson().getAsObject();
  broken["weights"] = llvm::json::Array{1.0};
  auto refused = Residual::fromJson(std::move(broken));
  EXPECT_FALSE(bool(refused));
  llvm::consumeError(refused.takeError());
}
