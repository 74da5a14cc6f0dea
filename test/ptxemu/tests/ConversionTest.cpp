// cvt: every direction, rounding, saturation, NaN, registers wider than the type.
#include "attune/test/ptxemu/tests/Harness.h"

using namespace attune::ptx;

namespace {

constexpr uint64_t nan = 0x7fffffff, minus1 = 0xffffffff;

TEST(Conversion, IntegersToIntegers) {
  check({{"cvt.s32.s16 d, a;", {32, 16}, {{minus1, 0xffff}}},
         {"cvt.u32.u16 d, a;", {32, 16}, {{0xffff, 0xffff}}},
         {"cvt.s64.s32 d, a;", {64, 32}, {{~0ull, minus1}}},
         {"cvt.u64.u32 d, a;", {64, 32}, {{minus1, minus1}}},
         {"cvt.u32.u64 d, a;", {32, 64}, {{2, 0x100000002}}},
         {"cvt.u16.u32 d, a;", {16, 32}, {{2, 0x10002}}},
         {"cvt.s32.s8 d, a;", {32, 32}, {{minus1, 0x1ff}}},
         {"cvt.u8.u32 d, a;", {32, 32}, {{0x34, 0x1234}}},
         {"cvt.sat.u8.s32 d, a;", {32, 32}, {{255, 300}, {0, minus1}, {7, 7}}},
         {"cvt.sat.s16.s32 d, a;", {32, 32}, {{0x7fff, 40000}, {0xffff8000, 0xffff0000}}},
         {"cvt.sat.s32.u32 d, a;", {32, 32}, {{0x7fffffff, minus1}}}});
}

TEST(Conversion, FloatsToIntegers) {
  check({{"cvt.rni.s32.f32 d, a;",
          {32, 32},
          {{2, f32(2.5f)}, {4, f32(3.5f)}, {minus1 - 1, f32(-1.5f)}}},
         {"cvt.rzi.s32.f32 d, a;",
          {32, 32},
          {{2, f32(2.9f)}, {0x7fffffff, f32(3e9f)}, {0x80000000, f32(-3e9f)}, {0, nan}}},
         {"cvt.rmi.s32.f32 d, a;", {32, 32}, {{minus1 - 2, f32(-2.5f)}}},
         {"cvt.rpi.s32.f32 d, a;", {32, 32}, {{3, f32(2.1f)}}},
         {"cvt.rzi.u32.f32 d, a;",
          {32, 32},
          {{0, f32(-5)}, {minus1, f32(5e9f)}, {3000000000, f32(3e9f)}}},
         {"cvt.rzi.u64.f32 d, a;", {64, 32}, {{1ull << 40, f32(0x1p40f)}, {1ull << 63, nan}}},
         {"cvt.rzi.s64.f64 d, a;", {64, 64}, {{~0ull << 40, f64(-0x1p40)}}},
         {"cvt.rzi.s32.f16 d, a;", {32, 16}, {{3, 0x4300}}},
         {"cvt.rni.f32.f32 d, a;", {32, 32}, {{f32(2), f32(2.5f)}, {f32(-4), f32(-3.5f)}}}});
}

TEST(Conversion, IntegersToFloats) {
  check({{"cvt.rn.f32.s32 d, a;", {32, 32}, {{f32(-1), minus1}, {f32(16777216), 16777217}}},
         {"cvt.rp.f32.u32 d, a;", {32, 32}, {{f32(16777218), 16777217}}},
         {"cvt.rz.f32.u32 d, a;", {32, 32}, {{f32(4294967040.0f), minus1}}},
         {"cvt.rn.f32.u64 d, a;",
          {32, 64},
          {{f32(0x1p63f), (1ull << 63) + (1ull << 39)},
           {f32(0x1.000002p63f), (1ull << 63) + (1ull << 39) + 1}}},
         {"cvt.rn.f64.s64 d, a;", {64, 64}, {{f64(-2), ~1ull}}},
         {"cvt.rn.f16.s32 d, a;", {16, 32}, {{0xc900, minus1 - 9}}},
         {"cvt.rn.f16.u16 d, a;", {16, 16}, {{0x7c00, 0xffff}}}});
}

TEST(Conversion, FloatsToFloats) {
  check({{"cvt.f32.f16 d, a;",
          {32, 16},
          {{f32(1), 0x3c00}, {f32(0x1p-24f), 1}, {0xff800000, 0xfc00}}},
         {"cvt.rn.f16.f32 d, a;",
          {16, 32},
          {{0x3c00, f32(1)},
           {0x3c00, f32(1 + 0x1p-11f)},
           {0x3c01, f32(1 + 0x1.8p-11f)},
           {0x7c00, f32(65520)},
           {0x7bff, f32(65519)},
           {1, f32(0x1p-24f)},
           {0, f32(0x1p-25f)},
           {0x7fff, nan}}},
         {"cvt.rz.f16.f32 d, a;", {16, 32}, {{0x7bff, f32(70000)}, {0x3c00, f32(1.0009f)}}},
         {"cvt.rn.bf16.f32 d, a;",
          {16, 32},
          {{0x3f80, f32(1)},
           {0x3f80, f32(1 + 0x1p-8f)},
           {0x3f82, f32(1 + 0x1.8p-7f)},
           {0x7fff, nan}}},
         {"cvt.rn.f32.f64 d, a;", {32, 64}, {{f32(0.1f), f64(0.1)}}},
         {"cvt.rm.f32.f64 d, a;", {32, 64}, {{f32(0.1f) - 1, f64(0.1)}}},
         {"cvt.f64.f32 d, a;", {64, 32}, {{f64(0.5), f32(0.5f)}}},
         {"cvt.ftz.f64.f32 d, a;", {64, 32}, {{0, 1}}},
         {"cvt.sat.f32.f32 d, a;", {32, 32}, {{f32(1), f32(7)}, {0, nan}, {0, f32(-1)}}},
         {"cvt.rna.tf32.f32 d, a;",
          {32, 32},
          {{f32(1), f32(1 + 0x1p-12f)}, {f32(1 + 0x1p-10f), f32(1 + 0x1p-11f)}}}});
}

TEST(Conversion, Pairs) {
  check({{"cvt.rn.f16x2.f32 d, a, b;", {32, 32, 32}, {{0x3c004000, f32(1), f32(2)}}},
         {"cvt.rn.relu.f16x2.f32 d, a, b;", {32, 32, 32}, {{0x00004000, f32(-1), f32(2)}}},
         {"cvt.rn.bf16x2.f32 d, a, b;", {32, 32, 32}, {{0x3f804000, f32(1), f32(2)}}},
         {"cvt.rz.bf16x2.f32 d, a, b;", {32, 32, 32}, {{0x3f803f80, f32(1.007f), f32(1)}}}});
}

// 448 is the largest e4m3, 57344 the largest e5m2.
TEST(Conversion, BytesOfFloats) {
  check({{"cvt.rn.satfinite.e4m3x2.f32 d, a, b;",
          {16, 32, 32},
          {{0x7e38, f32(1000), f32(1)}, {0xfe01, f32(-448), f32(0x1p-9f)}}},
         {"cvt.rn.satfinite.e5m2x2.f32 d, a, b;", {16, 32, 32}, {{0x7b3c, f32(1e6f), f32(1)}}},
         {"cvt.rn.f16x2.e4m3x2 d, a;", {32, 16}, {{0x5f003c00, 0x7e38}}},
         {"cvt.rn.f16x2.e5m2x2 d, a;", {32, 16}, {{0x7b003c00, 0x7b3c}}}},
        "sm_90", "8.0");
}

} // namespace
