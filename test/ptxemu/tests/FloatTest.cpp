// Floating-point arithmetic: rounding, subnormals, saturation, NaN, halves, functions.
#include "attune/test/ptxemu/tests/Harness.h"
#include <cmath>
#include <limits>

using namespace attune::ptx;

namespace {

constexpr uint32_t nan = 0x7fffffff, infinity = 0x7f800000, zero = 0, minusZero = 0x80000000,
                   subnormal = 0x00000001, one = 0x3f800000;

TEST(Float, RoundsAsAsked) {
  const uint32_t tiny = f32(0x1p-30f), next = one + 1, before = one - 1;
  check(
      {{"add.rn.f32 d, a, b;", {32, 32, 32}, {{one, one, tiny}, {f32(3), one, f32(2)}}},
       {"add.rp.f32 d, a, b;", {32, 32, 32}, {{next, one, tiny}}},
       {"add.rm.f32 d, a, b;", {32, 32, 32}, {{one, one, tiny}, {before, one, tiny | minusZero}}},
       {"add.rz.f32 d, a, b;", {32, 32, 32}, {{before, one, tiny | minusZero}}},
       {"sub.rn.f32 d, a, b;", {32, 32, 32}, {{one, f32(3), f32(2)}}},
       {"mul.rn.f32 d, a, b;",
        {32, 32, 32},
        {{f32(6), f32(3), f32(2)}, {infinity, f32(3e38f), f32(2)}}},
       {"mul.rz.f32 d, a, b;", {32, 32, 32}, {{0x7f7fffff, f32(3e38f), f32(2)}, {next, next, one}}},
       {"div.rn.f32 d, a, b;", {32, 32, 32}, {{f32(1.0f / 3), one, f32(3)}, {infinity, one, zero}}},
       {"add.rn.f64 d, a, b;", {64, 64, 64}, {{f64(0.1 + 0.2), f64(0.1), f64(0.2)}}}});
}

// One rounding: 1 + 2^-23 squared, and a tie that the addend breaks far below.
TEST(Float, FusesProducts) {
  const float x = 1 + 0x1p-23f, y = 1 - 0x1p-23f, half = 1 + 0x1p-12f;
  check({{"fma.rn.f32 d, a, b, c;",
          {32, 32, 32, 32},
          {{f32(std::fma(x, x, -1.0f)), f32(x), f32(x), f32(-1)},
           {f32(std::fma(x, y, 0x1p-60f)), f32(x), f32(y), f32(0x1p-60f)},
           {f32(std::fma(half, half, 0x1p-100f)), f32(half), f32(half), f32(0x1p-100f)},
           {f32(std::fma(half, half, -0x1p-100f)), f32(half), f32(half), f32(-0x1p-100f)},
           {f32(std::fma(3e-20f, 3e-20f, -1e-39f)), f32(3e-20f), f32(3e-20f), f32(-1e-39f)}}},
         {"fma.rz.f32 d, a, b, c;", {32, 32, 32, 32}, {{one - 1, one, one, f32(-0x1p-60f)}}},
         {"fma.rn.f64 d, a, b, c;",
          {64, 64, 64, 64},
          {{f64(std::fma(0.1, 0.1, -0.01)), f64(0.1), f64(0.1), f64(-0.01)}}}});
}

TEST(Float, FlushesAndSaturates) {
  check({{"add.f32 d, a, b;", {32, 32, 32}, {{subnormal, subnormal, zero}}},
         {"add.ftz.f32 d, a, b;",
          {32, 32, 32},
          {{zero, subnormal, zero}, {minusZero, subnormal | minusZero, minusZero}}},
         {"mul.ftz.f32 d, a, b;", {32, 32, 32}, {{zero, f32(1e-30f), f32(1e-10f)}}},
         {"add.sat.f32 d, a, b;",
          {32, 32, 32},
          {{one, one, one},
           {zero, f32(-3), one},
           {zero, nan, one},
           {f32(0.75f), f32(0.5f), f32(0.25f)}}},
         {"fma.rn.sat.f32 d, a, b, c;", {32, 32, 32, 32}, {{one, f32(3), f32(2), zero}}},
         {"fma.rn.ftz.f32 d, a, b, c;", {32, 32, 32, 32}, {{one, subnormal, f32(1e38f), one}}}});
}

TEST(Float, ComparesWithNan) {
  const uint32_t two = f32(2);
  check(
      {{"min.f32 d, a, b;",
        {32, 32, 32},
        {{one, one, two}, {one, nan, one}, {nan, nan, nan}, {minusZero, zero, minusZero}}},
       {"max.f32 d, a, b;",
        {32, 32, 32},
        {{two, one, two}, {one, one, nan}, {zero, minusZero, zero}}},
       {"max.NaN.f32 d, a, b;", {32, 32, 32}, {{nan, one, nan}, {two, one, two}}},
       {"abs.f32 d, a;", {32, 32}, {{one, one | minusZero}}},
       {"neg.f32 d, a;", {32, 32}, {{one | minusZero, one}}},
       {"copysign.f32 d, a, b;", {32, 32, 32}, {{one | minusZero, f32(-5), one}}},
       {"setp.lt.f32 d, a, b;", {1, 32, 32}, {{1, one, two}, {0, one, nan}}},
       {"setp.ltu.f32 d, a, b;", {1, 32, 32}, {{1, one, nan}, {0, two, one}}},
       {"setp.ne.f32 d, a, b;", {1, 32, 32}, {{0, one, nan}, {1, one, two}, {0, zero, minusZero}}},
       {"setp.neu.f32 d, a, b;", {1, 32, 32}, {{1, nan, nan}}},
       {"setp.equ.f32 d, a, b;", {1, 32, 32}, {{1, one, nan}, {0, one, two}}},
       {"setp.num.f32 d, a, b;", {1, 32, 32}, {{0, one, nan}, {1, one, two}}},
       {"setp.nan.f32 d, a, b;", {1, 32, 32}, {{1, one, nan}, {0, one, two}}},
       {"setp.gt.ftz.f32 d, a, b;", {1, 32, 32}, {{0, subnormal, zero}}},
       {"testp.subnormal.f32 d, a;", {1, 32}, {{1, subnormal}, {0, one}}},
       {"testp.infinite.f32 d, a;", {1, 32}, {{1, infinity}, {0, nan}}}});
}

TEST(Float, PicksByPredicate) {
  check({{"selp.f32 d, a, b, c;", {32, 32, 32, 1}, {{1, 1, 2, 1}, {2, 1, 2, 0}}},
         {"selp.b64 d, a, b, c;", {64, 64, 64, 1}, {{1, 1, 2, 1}}},
         {"slct.f32.s32 d, a, b, c;", {32, 32, 32, 32}, {{1, 1, 2, 0}, {2, 1, 2, 0xffffffff}}},
         {"setp.lt.and.s32 d, a, b, c;",
          {1, 32, 32, 1},
          {{1, 0xffffffff, 0, 1}, {0, 0xffffffff, 0, 0}}},
         {"setp.lo.or.u32 d, a, b, !c;", {1, 32, 32, 1}, {{1, 5, 0, 0}, {0, 5, 0, 1}}},
         {"setp.hs.u16 d, a, b;", {1, 16, 16}, {{1, 0xffff, 1}}},
         {"setp.gt.s16 d, a, b;", {1, 16, 16}, {{0, 0xffff, 1}}},
         {"set.lt.u32.f32 d, a, b;", {32, 32, 32}, {{0xffffffff, zero, one}, {0, one, zero}}},
         {"{ .reg .pred q; setp.eq.s32 d|q, a, b; not.pred d, q; }",
          {1, 32, 32},
          {{1, 3, 3}, {0, 3, 4}}}});
}

constexpr uint64_t halfOne = 0x3c00, halfTwo = 0x4000, halfMost = 0x7bff, halfInfinity = 0x7c00;

TEST(Half, Arithmetic) {
  check({{"add.f16 d, a, b;",
          {16, 16, 16},
          {{halfTwo, halfOne, halfOne},
           {halfOne, halfOne, 0x1000},
           {halfInfinity, halfMost, halfMost}}},
         {"add.f16x2 d, a, b;", {32, 32, 32}, {{0x40003c00, 0x3c003800, 0x3c003800}}},
         {"mul.f16x2 d, a, b;", {32, 32, 32}, {{0x40003400, 0x3c003800, 0x40003800}}},
         {"fma.rn.f16x2 d, a, b, c;",
          {32, 32, 32, 32},
          {{0x42003c00, 0x3c003800, 0x40003800, 0x3c003a00}}},
         {"fma.rn.relu.f16 d, a, b, c;",
          {16, 16, 16, 16},
          {{0, halfOne, 0xbc00, 0}, {halfTwo, halfOne, halfOne, halfOne}}},
         {"fma.rn.bf16 d, a, b, c;",
          {16, 16, 16, 16},
          {{0x40e0, 0x4000, 0x4040, 0x3f80}, {0x3f82, 0x3f81, 0x3f81, 0x1000}}},
         {"fma.rn.bf16x2 d, a, b, c;",
          {32, 32, 32, 32},
          {{0x40e04000, 0x40003f80, 0x40403f80, 0x3f803f80}}},
         {"max.f16x2 d, a, b;", {32, 32, 32}, {{0x40003c00, 0x3c007fff, 0x40003c00}}},
         {"max.NaN.bf16 d, a, b;", {16, 16, 16}, {{0x7fff, 0x7fc0, 0x3f80}}},
         {"neg.bf16x2 d, a;", {32, 32}, {{0xbf803f80, 0x3f80bf80}}},
         {"abs.f16 d, a;", {16, 16}, {{0x3c00, 0xbc00}}},
         {"setp.gt.f16 d, a, b;", {1, 16, 16}, {{1, halfTwo, halfOne}, {0, 0xc000, halfOne}}}});
}

/// The largest relative error of an approximate instruction over a range.
double worst(const char *instruction, double (*exact)(double), float low, float high) {
  std::vector<float> values;
  for (int i = 0; i < 256; ++i)
    values.push_back(low + (high - low) * float(i) / 255);
  Buffer<float> buffer(values);
  Code code(head() + kernel(1, std::string("mul.wide.u32 %d1, %r0, 4;\nadd.u64 %d0, %d0, %d1;\n"
                                           "ld.global.f32 %f0, [%d0];\n") +
                                   instruction + "\nst.global.f32 [%d0], %f1;"));
  EXPECT_EQ(launch(code, "k", {1, 256}, buffer.address), attune::rt::cuda::Success);
  double most = 0;
  std::vector<float> results = buffer.values();
  for (size_t i = 0; i < values.size(); ++i)
    most = std::max(most, std::fabs(results[i] - exact(values[i])) /
                              std::max(std::fabs(exact(values[i])), 1e-3));
  return most;
}

// Bounds are those of the documentation, a little wider.
TEST(Float, Functions) {
  EXPECT_LT(
      worst("ex2.approx.ftz.f32 %f1, %f0;", [](double x) { return std::exp2(x); }, -20, 20), 1e-6);
  EXPECT_LT(worst("lg2.approx.f32 %f1, %f0;", [](double x) { return std::log2(x); }, 2, 100), 1e-6);
  EXPECT_LT(worst("rcp.approx.ftz.f32 %f1, %f0;", [](double x) { return 1 / x; }, 1, 100), 1e-6);
  EXPECT_LT(
      worst("rsqrt.approx.f32 %f1, %f0;", [](double x) { return 1 / std::sqrt(x); }, 1, 100), 1e-6);
  EXPECT_LT(worst("sqrt.rn.f32 %f1, %f0;", [](double x) { return std::sqrt(x); }, 1, 100), 1e-7);
  EXPECT_LT(worst("tanh.approx.f32 %f1, %f0;", [](double x) { return std::tanh(x); }, -3, 3), 1e-3);
  EXPECT_LT(worst("sin.approx.f32 %f1, %f0;", [](double x) { return std::sin(x); }, -3, 3), 1e-3);
  EXPECT_LT(worst("cos.approx.f32 %f1, %f0;", [](double x) { return std::cos(x); }, -3, 3), 1e-3);
  EXPECT_LT(
      worst("div.approx.f32 %f1, 0f3F800000, %f0;", [](double x) { return 1 / x; }, 1, 100), 1e-6);
}

} // namespace
