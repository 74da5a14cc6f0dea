// Against brute force.
#include "attune/search/Pareto.h"

#include <gtest/gtest.h>

using namespace attune::search;

namespace {

std::vector<Goals> randomPoints(uint64_t seed, unsigned count, unsigned goals, unsigned values) {
  Rng rng(seed, 0, Stage::Propose);
  std::vector<Goals> points(count, Goals(goals));
  for (Goals &point : points)
    for (double &value : point)
      value = rng.below(values);
  return points;
}

TEST(Pareto, FrontsAgreeWithPeeling) {
  for (unsigned goals : {1, 2, 3, 4})
    for (uint64_t seed = 0; seed < 5; ++seed) {
      std::vector<Goals> points = randomPoints(seed, 60, goals, 10);
      std::vector<unsigned> fronts = frontOf(points);
      std::vector<bool> gone(points.size());
      for (unsigned front = 0; std::find(gone.begin(), gone.end(), false) != gone.end(); ++front) {
        std::vector<unsigned> members;
        for (unsigned i = 0; i < points.size(); ++i) {
          bool beaten = false;
          for (unsigned j = 0; j < points.size(); ++j)
            beaten |= !gone[j] && dominates(points[j], points[i]);
          if (!gone[i] && !beaten)
            members.push_back(i);
        }
        for (unsigned i : members) {
          EXPECT_EQ(fronts[i], front);
          gone[i] = true;
        }
      }
    }
}

// Whole coordinates: the volume is a count of unit cells.
TEST(Pareto, HypervolumeAgreesWithCounting) {
  for (unsigned goals : {1, 2, 3})
    for (uint64_t seed = 0; seed < 10; ++seed) {
      constexpr int kSize = 8;
      std::vector<Goals> points = randomPoints(seed, 12, goals, kSize + 2);
      int cells = 0, total = 1;
      for (unsigned i = 0; i < goals; ++i)
        total *= kSize;
      for (int cell = 0; cell < total; ++cell) {
        Goals corner(goals);
        for (int i = 0, rest = cell; i < int(goals); ++i, rest /= kSize)
          corner[i] = rest % kSize;
        cells += llvm::any_of(points, [&](const Goals &point) {
          return point == corner || dominates(point, corner);
        });
      }
      EXPECT_EQ(hypervolume(points, Goals(goals, kSize)), cells);
    }
  EXPECT_EQ(hypervolume({}, Goals{1, 1}), 0);
  EXPECT_EQ(hypervolume({}, Goals{1, 1, 1, 1}), std::nullopt);
}

TEST(Archive, KeepsWhatNothingBeats) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    std::vector<Goals> points = randomPoints(seed, 100, 2, 30);
    Archive archive;
    for (uint64_t id = 0; id < points.size(); ++id)
      archive.add({id, {}, points[id]});
    std::vector<uint64_t> expected, found;
    for (uint64_t id = 0; id < points.size(); ++id) {
      bool beaten = false;
      for (uint64_t other = 0; other < points.size(); ++other)
        beaten |=
            dominates(points[other], points[id]) || (other < id && points[other] == points[id]);
      if (!beaten)
        expected.push_back(id);
    }
    for (const Archive::Entry &entry : archive.entries())
      found.push_back(entry.id);
    EXPECT_EQ(found, expected);
  }
}

TEST(Archive, OneEntryPerBoxWhateverTheOrder) {
  std::vector<Goals> points = randomPoints(3, 200, 2, 1000);
  std::optional<std::vector<uint64_t>> first;
  for (uint64_t order = 0; order < 5; ++order) {
    Archive archive(Goals{100, 100});
    for (uint64_t i = 0; i < points.size(); ++i) {
      uint64_t id = (i * 7 + order * 31) % points.size();
      archive.add({id, {}, points[id]});
    }
    std::vector<uint64_t> found;
    std::vector<Goals> boxes;
    for (const Archive::Entry &entry : archive.entries()) {
      found.push_back(entry.id);
      Goals box = {std::floor(entry.goals[0] / 100), std::floor(entry.goals[1] / 100)};
      EXPECT_FALSE(llvm::is_contained(boxes, box));
      boxes.push_back(box);
    }
    if (first)
      EXPECT_EQ(found, *first);
    first = found;
  }
}

TEST(Pareto, CrowdingPrefersTheEndsAndTheLonely) {
  std::vector<Goals> points = {{0, 10}, {1, 9}, {2, 8}, {6, 4}, {10, 0}};
  std::vector<unsigned> fronts = frontOf(points);
  std::vector<double> distance = crowding(points, fronts);
  EXPECT_TRUE(std::isinf(distance[0]) && std::isinf(distance[4]));
  EXPECT_LT(distance[1], distance[2]);
  EXPECT_LT(distance[2], distance[3]);
}

} // namespace
