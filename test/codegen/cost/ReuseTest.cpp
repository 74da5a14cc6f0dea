#include "attune/codegen/cost/Reuse.h"

#include <gtest/gtest.h>

using namespace attune;
using namespace attune::codegen;

namespace {

/// x -> first -> y -> second -> z, with weights of their own; y and z share a slot with nothing.
class Chain {
public:
  Chain() {
    program.scalars.push_back({"const", {kScratch}});
    auto value = [&](Program::Kind kind, int64_t slot = 0) {
      Program::Value &added = program.values.emplace_back();
      added.kind = kind;
      added.slot = slot;
      return static_cast<int64_t>(program.values.size()) - 1;
    };
    int64_t x = value(Program::Kind::Input), v = value(Program::Kind::Weight),
            w = value(Program::Kind::Weight), y = value(Program::Kind::Arena, 0),
            scratch = value(Program::Kind::Arena, 1), z = value(Program::Kind::Output);
    program.steps.resize(2);
    program.steps[0].buffers = {x, v, y, scratch};
    program.steps[1].buffers = {y, w, z};
    for (KernelFeatures &kernel : kernels) {
      kernel.uses = {{BufferUse::Kind::Exchanged, false, kIn, 0},
                     {BufferUse::Kind::Weight, false, kWeight, 0},
                     {BufferUse::Kind::Exchanged, true, kOut, 0}};
      kernel.work.bytes = kIn + kWeight + kOut;
    }
  }
  void set() { setReuse(program, {kScratch}, {&kernels[0], &kernels[1]}); }

  static constexpr int64_t kScratch = 7000;
  static constexpr double kIn = 100, kWeight = 5000, kOut = 300;
  Program program;
  KernelFeatures kernels[2];
};

} // namespace

TEST(Reuse, AResultIsAsFarAwayAsItsKernel) {
  Chain chain;
  chain.set();
  // Since y was begun: the first kernel's input, weight and scratch; then the second kernel itself.
  double own = chain.kernels[1].work.bytes;
  EXPECT_EQ(chain.kernels[1].uses[0].distance, Chain::kIn + Chain::kWeight + Chain::kScratch + own);
}

TEST(Reuse, TheCallBeforeCounts) {
  Chain chain;
  chain.set();
  // A weight comes back when everything else has been touched once.
  double all = Chain::kIn + 2 * Chain::kWeight + Chain::kScratch + 2 * Chain::kOut;
  EXPECT_LT(chain.kernels[0].uses[1].distance, all + chain.kernels[0].work.bytes);
  EXPECT_GT(chain.kernels[0].uses[1].distance, all - 2 * Chain::kWeight);
}

TEST(Reuse, ValuesOfOneSlotAreOneMemory) {
  Chain chain;
  // z takes the scratch of the first kernel.
  chain.program.values.back().kind = Program::Kind::Arena;
  chain.program.values.back().slot = 1;
  chain.set();
  double between = Chain::kIn + Chain::kWeight + Chain::kOut;
  EXPECT_EQ(chain.kernels[1].uses[2].distance, between + chain.kernels[1].work.bytes);
}
