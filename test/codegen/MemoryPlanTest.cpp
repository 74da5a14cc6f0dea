#include "attune/codegen/Program.h"

#include <gtest/gtest.h>

using namespace attune::codegen;

namespace {

/// A program over one symbol whose arena values have the given sizes (scalars).
class MemoryPlanTest : public testing::Test {
protected:
  Program program;

  int64_t scalar(std::string op, std::vector<int64_t> operands) {
    program.scalars.push_back({std::move(op), std::move(operands)});
    return program.scalars.size() - 1;
  }
  int64_t value(int64_t bytes) {
    Program::Value v{};
    v.kind = Program::Kind::Arena;
    v.dtype = "f32";
    v.bytes = bytes;
    program.values.push_back(v);
    return program.values.size() - 1;
  }
  void step(std::vector<int64_t> buffers) {
    Program::Step s;
    s.buffers = std::move(buffers);
    program.steps.push_back(s);
  }
};

TEST_F(MemoryPlanTest, ValuesThatNeverMeetShareASlot) {
  int64_t bytes = scalar("dim", {0, 0});
  int64_t a = value(bytes), b = value(bytes), c = value(bytes);
  step({a, b}); // a -> b
  step({b, c}); // b -> c: a is dead, c takes its place
  planMemory(program);
  EXPECT_EQ(program.values[a].slot, program.values[c].slot);
  EXPECT_NE(program.values[a].slot, program.values[b].slot);
  EXPECT_EQ(program.slots.size(), 2u);
}

TEST_F(MemoryPlanTest, ASlotIsAsLargeAsItsLargestTenant) {
  int64_t small = scalar("dim", {0, 0}), four = scalar("const", {4});
  int64_t large = scalar("mul", {small, four});
  int64_t a = value(small), b = value(small), c = value(large);
  step({a, b});
  step({b, c});
  planMemory(program);
  const std::vector<int64_t> &sizes = program.slots[program.values[c].slot];
  EXPECT_NE(std::find(sizes.begin(), sizes.end(), large), sizes.end());
  if (program.values[a].slot == program.values[c].slot)
    EXPECT_NE(std::find(sizes.begin(), sizes.end(), small), sizes.end());
}

/// Whatever the program, no two values that are alive in one step share a slot.
TEST_F(MemoryPlanTest, RandomProgramsHaveNoOverlap) {
  uint32_t seed = 12345;
  auto random = [&](uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
  };
  for (int round = 0; round < 50; ++round) {
    program = Program();
    int64_t dim = scalar("dim", {0, 0});
    std::vector<int64_t> sizes{dim};
    for (int i = 0; i < 4; ++i)
      sizes.push_back(scalar("mul", {sizes.back(), scalar("const", {2 + int64_t(random(3))})}));
    std::vector<int64_t> values;
    for (int i = 0; i < 20; ++i)
      values.push_back(value(sizes[random(sizes.size())]));
    for (int i = 0; i < 20; ++i)
      step({values[random(20)], values[random(20)], values[i]});
    planMemory(program);
    std::vector<std::pair<int, int>> life(20, {1000, -1});
    for (int s = 0; s < 20; ++s)
      for (int64_t v : program.steps[s].buffers)
        life[v] = {std::min(life[v].first, s), std::max(life[v].second, s)};
    for (int i = 0; i < 20; ++i)
      for (int j = 0; j < i; ++j)
        if (life[i].first <= life[j].second && life[j].first <= life[i].second)
          EXPECT_NE(program.values[i].slot, program.values[j].slot) << "round " << round;
  }
}

} // namespace
