#include "attune/codegen/cost/Eyeriss.h"

#include <gtest/gtest.h>

using namespace attune;
using namespace attune::codegen;

namespace {
/// One map and channel, 5x5 outputs of 7x7 inputs, 3x3 taps: 225 products. Only the rows of outputs
/// can be split; all five in the array at once read the least and are the fastest.
RsLayer small(WorkTerm::Class kind) {
  return {.kind = kind, .e = 5, .f = 5, .r = 3, .s = 3, .h = 7, .w = 7};
}
constexpr double kPico = 1e-12;
} // namespace

TEST(Eyeriss, OneProductByHand) {
  auto cost = rsCost({}, {});
  ASSERT_TRUE(cost);
  // 3 words from and to DRAM, 2 of the buffer, 2 + 1 on the network, 2 + 1 of registers; two units
  // of 16 bits each.
  EXPECT_NEAR(cost->dram, 3 * 200 * 2 * kPico, 1e-18);
  EXPECT_NEAR(cost->buffer, 2 * 22.2 * 2 * kPico, 1e-18);
  EXPECT_NEAR(cost->network, (2 * 7.4 + 3.7) * 2 * kPico, 1e-18);
  EXPECT_NEAR(cost->registers, (2 * 3.7 + 7.4) * 2 * kPico, 1e-18);
  EXPECT_NEAR(cost->joules, 1360.0 * kPico, 1e-17);
  EXPECT_NEAR(cost->seconds, 4e-9, 1e-15);
}

TEST(Eyeriss, ConvolutionByHand) {
  auto cost = rsCost(small(WorkTerm::Class::Fma), {});
  ASSERT_TRUE(cost);
  EXPECT_EQ(cost->e1, 5);
  EXPECT_NEAR(cost->compute, 225 * 4.6 * kPico, 1e-18);
  EXPECT_NEAR(cost->dram, (49 + 9 + 25) * 400 * kPico, 1e-17);
  EXPECT_NEAR(cost->buffer, (49 + 25) * 44.4 * kPico, 1e-17);
  // 3 * 5 / 7 * 49 inputs, 5 * 9 filters, 2 * 25 partial sums.
  EXPECT_NEAR(cost->network, ((105 + 45) * 14.8 + 50 * 7.4) * kPico, 1e-17);
  EXPECT_NEAR(cost->registers, ((225 + 300) * 7.4 + 225 * 14.8) * kPico, 1e-17);
  EXPECT_NEAR(cost->joules, 47325.6 * kPico, 1e-15);
  EXPECT_NEAR(cost->seconds, 60e-9, 1e-15);
}

TEST(Eyeriss, SwitchesAreOffUnlessAskedFor) {
  auto product = rsCost(small(WorkTerm::Class::Fma), {});
  auto adder = rsCost(small(WorkTerm::Class::Distance), {});
  auto shift = rsCost(small(WorkTerm::Class::Shift), {});
  EXPECT_NEAR(adder->compute, 225 * 1.8 * kPico, 1e-18);
  EXPECT_NEAR(shift->compute, 225 * 1.03 * kPico, 1e-18);
  EXPECT_EQ(adder->dram, product->dram);
  EXPECT_EQ(shift->seconds, product->seconds);

  auto onChip = rsCost(small(WorkTerm::Class::Distance), {.assumeOnchipAdd = true});
  EXPECT_EQ(onChip->dram + onChip->buffer, 0);
  EXPECT_NEAR(onChip->network, (45 * 14.8 + 50 * 7.4) * kPico, 1e-17);
  auto narrow = rsCost(small(WorkTerm::Class::Shift), {.shiftWordBits = 10});
  EXPECT_NEAR(narrow->dram, shift->dram * 10 / 32, 1e-17);
  EXPECT_NEAR(narrow->seconds, shift->seconds * 10 / 32, 1e-15);
  EXPECT_EQ(rsCost(small(WorkTerm::Class::Fma), {.shiftWordBits = 10})->joules, product->joules);
}

TEST(Eyeriss, LimitsOfTheArray) {
  // Twelve taps in a row do not fit the registers of an element.
  EXPECT_FALSE(rsCost({.e = 5, .f = 5, .r = 1, .s = 12, .h = 5, .w = 16}, {}));
  auto wide = rsCost({.m = 256, .c = 64, .e = 14, .f = 14, .r = 3, .s = 3, .h = 16, .w = 16}, {});
  ASSERT_TRUE(wide);
  EXPECT_LE(wide->m0, 16);
  EXPECT_LT(wide->c0 * 3, 12);
  EXPECT_LT(wide->m1 * wide->c1 * wide->e1 * 3, 192);
}
