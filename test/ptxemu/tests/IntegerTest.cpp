// Integers and bits, as "Integer Arithmetic", "Logic and Shift" and "Extended-Precision" of the PTX
// ISA define them.
#include "attune/test/ptxemu/tests/Harness.h"

using namespace attune::ptx;

namespace {

constexpr uint64_t minus1 = 0xffffffff, least = 0x80000000, most = 0x7fffffff;

TEST(Integer, Sums) {
  check(
      {{"add.u32 d, a, b;", {32, 32, 32}, {{0, minus1, 1}, {5, 2, 3}}},
       {"add.sat.s32 d, a, b;", {32, 32, 32}, {{most, most, 1}, {least, least, minus1}, {3, 1, 2}}},
       {"sub.sat.s32 d, a, b;", {32, 32, 32}, {{least, least, 1}, {most, 0, least}}},
       {"sub.s64 d, a, b;", {64, 64, 64}, {{~0ull, 1, 2}}},
       {"add.s16 d, a, b;", {16, 16, 16}, {{0x8000, 0x7fff, 1}}},
       {"neg.s32 d, a;", {32, 32}, {{minus1, 1}, {least, least}}},
       {"abs.s32 d, a;", {32, 32}, {{1, minus1}, {least, least}, {7, 7}}},
       {"abs.s64 d, a;", {64, 64}, {{5, ~4ull}}},
       {"sad.s32 d, a, b, c;", {32, 32, 32, 32}, {{13, 5, minus1 - 1, 6}, {4, 1, 2, 3}}}});
}

TEST(Integer, Products) {
  check({{"mul.lo.u32 d, a, b;", {32, 32, 32}, {{1, minus1, minus1}}},
         {"mul.hi.u32 d, a, b;", {32, 32, 32}, {{0xfffffffe, minus1, minus1}}},
         {"mul.hi.s32 d, a, b;", {32, 32, 32}, {{0, minus1, minus1}, {minus1, minus1, 1}}},
         {"mul.hi.u64 d, a, b;", {64, 64, 64}, {{~0ull - 1, ~0ull, ~0ull}}},
         {"mul.hi.s64 d, a, b;", {64, 64, 64}, {{~0ull, ~0ull, 7}}},
         {"mul.wide.u32 d, a, b;", {64, 32, 32}, {{0xfffffffe00000001, minus1, minus1}}},
         {"mul.wide.s32 d, a, b;", {64, 32, 32}, {{~0ull, minus1, 1}}},
         {"mul.wide.s16 d, a, b;", {32, 16, 16}, {{minus1, 0xffff, 1}}},
         {"mul.lo.s16 d, a, b;", {16, 16, 16}, {{1, 0xffff, 0xffff}}},
         {"mad.lo.s32 d, a, b, c;", {32, 32, 32, 32}, {{9, 2, 3, 3}, {minus1, minus1, 2, 1}}},
         {"mad.hi.u32 d, a, b, c;", {32, 32, 32, 32}, {{2, 1u << 31, 2, 1}}},
         {"mad.hi.sat.s32 d, a, b, c;", {32, 32, 32, 32}, {{most, 1u << 30, 1u << 30, most}}},
         {"mad.wide.u32 d, a, b, c;", {64, 32, 32, 64}, {{0x100000000, 0x10000, 0x10000, 0}}},
         {"mad.wide.s32 d, a, b, c;", {64, 32, 32, 64}, {{~0ull - 1, minus1, 2, 0}}},
         {"mul24.lo.u32 d, a, b;", {32, 32, 32}, {{2, 0xff000001, 2}}},
         {"mul24.lo.s32 d, a, b;", {32, 32, 32}, {{minus1 - 1, 0xffffff, 2}}}});
}

TEST(Integer, Quotients) {
  check({{"div.s32 d, a, b;", {32, 32, 32}, {{minus1 - 2, minus1 - 6, 2}, {2, 7, 3}}},
         {"rem.s32 d, a, b;", {32, 32, 32}, {{minus1, minus1 - 6, 2}, {1, 7, 3}}},
         {"div.u64 d, a, b;", {64, 64, 64}, {{0x5555555555555555, ~0ull, 3}}},
         {"rem.u32 d, a, b;", {32, 32, 32}, {{3, minus1, 4}}},
         {"div.u16 d, a, b;", {16, 16, 16}, {{0x7fff, 0xffff, 2}}}});
}

TEST(Integer, Extrema) {
  check({{"min.s32 d, a, b;", {32, 32, 32}, {{minus1, minus1, 1}}},
         {"min.u32 d, a, b;", {32, 32, 32}, {{1, minus1, 1}}},
         {"max.s64 d, a, b;", {64, 64, 64}, {{1, ~0ull, 1}}},
         {"max.u16 d, a, b;", {16, 16, 16}, {{0xffff, 0xffff, 1}}}});
}

TEST(Integer, Dots) {
  check(
      {{"dp4a.u32.u32 d, a, b, c;", {32, 32, 32, 32}, {{30 + 5, 0x01020304, 0x01020304, 5}}},
       {"dp4a.s32.u32 d, a, b, c;", {32, 32, 32, 32}, {{minus1 - 254 + 1, 0xff, 0xff, 1}}},
       {"dp2a.lo.s32.s32 d, a, b, c;", {32, 32, 32, 32}, {{4, 0xffff0002, 0x7f7f0204, 0xfffffffe}}},
       {"dp2a.hi.u32.u32 d, a, b, c;", {32, 32, 32, 32}, {{14, 0x00020003, 0x04020000, 0}}}});
}

// Bytes of a: 0x10 0xff 0x00 0x80, of b: 0x20 0x01 0x00 0x7f.
TEST(Integer, AbsoluteDifferences) {
  check({{"vabsdiff4.u32.u32.u32 d, a, b, c;",
          {32, 32, 32, 32},
          {{0x10fe0001, 0x10ff0080, 0x2001007f, 9}}},
         {"vabsdiff4.u32.u32.u32.add d, a, b, c;",
          {32, 32, 32, 32},
          {{0x10 + 0xfe + 1 + 9, 0x10ff0080, 0x2001007f, 9}}},
         {"vabsdiff4.s32.s32.s32.add d, a, b, c;",
          {32, 32, 32, 32},
          {{0x10 + 2 + 255, 0x10ff0080, 0x2001007f, 0}}},
         {"vabsdiff4.s32.s32.s32.sat d, a, b, c;",
          {32, 32, 32, 32},
          {{0x1002007f, 0x10ff0080, 0x2001007f, 0}}}});
}

TEST(Bits, Logic) {
  check({{"and.b32 d, a, b;", {32, 32, 32}, {{8, 12, 10}}},
         {"or.b64 d, a, b;", {64, 64, 64}, {{14, 12, 10}}},
         {"xor.b16 d, a, b;", {16, 16, 16}, {{6, 12, 10}}},
         {"not.b16 d, a;", {16, 16}, {{0xfffe, 1}}},
         {"cnot.b32 d, a;", {32, 32}, {{1, 0}, {0, 7}}},
         {"and.pred d, a, b;", {1, 1, 1}, {{1, 1, 1}, {0, 1, 0}}},
         {"xor.pred d, a, b;", {1, 1, 1}, {{0, 1, 1}, {1, 1, 0}}},
         {"not.pred d, a;", {1, 1}, {{0, 1}, {1, 0}}},
         {"lop3.b32 d, a, b, c, 0x96;", {32, 32, 32, 32}, {{0x96 & 0xff, 0xf0, 0xcc, 0xaa}}},
         {"lop3.b32 d, a, b, c, 0xe8;", {32, 32, 32, 32}, {{0xe8, 0xf0, 0xcc, 0xaa}}}});
}

// Amounts above the width are clamped.
TEST(Bits, Shifts) {
  check({{"shl.b32 d, a, b;", {32, 32, 32}, {{0x10, 1, 4}, {0, 1, 32}, {0, 1, minus1}}},
         {"shl.b64 d, a, b;", {64, 64, 32}, {{1ull << 63, 1, 63}, {0, 1, 64}}},
         {"shl.b16 d, a, b;", {16, 16, 32}, {{0, 1, 16}, {0x8000, 1, 15}}},
         {"shr.u32 d, a, b;", {32, 32, 32}, {{1, least, 31}, {0, least, 32}}},
         {"shr.s32 d, a, b;",
          {32, 32, 32},
          {{minus1, least, 31}, {minus1, least, 99}, {0, most, 99}}},
         {"shr.s16 d, a, b;", {16, 16, 32}, {{0xffff, 0x8000, 20}}},
         {"shr.s64 d, a, b;", {64, 64, 32}, {{~0ull, 1ull << 63, 200}}},
         {"shf.l.wrap.b32 d, a, b, c;", {32, 32, 32, 32}, {{0x00000019, 0x80000000, 0xc, 33}}},
         {"shf.r.wrap.b32 d, a, b, c;", {32, 32, 32, 32}, {{0x80000000, 0, 1, 1}}},
         {"shf.l.clamp.b32 d, a, b, c;", {32, 32, 32, 32}, {{5, 5, 7, 40}}},
         {"shf.r.clamp.b32 d, a, b, c;", {32, 32, 32, 32}, {{7, 5, 7, 40}}}});
}

TEST(Bits, Fields) {
  check({{"bfe.u32 d, a, b, c;",
          {32, 32, 32, 32},
          {{0xa, 0xfaf0, 8, 4}, {0, 0xff, 4, 0}, {0x1, 0x80000000, 31, 9}}},
         {"bfe.s32 d, a, b, c;",
          {32, 32, 32, 32},
          {{minus1, 0xf0, 4, 4}, {minus1, least, 40, 4}, {0, most, 40, 4}, {1, 2, 1, 2}}},
         {"bfe.u64 d, a, b, c;", {64, 64, 32, 32}, {{0xabc, 0xabc000, 12, 12}}},
         {"bfi.b32 d, a, b, c, e;",
          {32, 32, 32, 32, 32},
          {{0xff5f, 5, 0xffff, 4, 4}, {0xffff, 5, 0xffff, 32, 4}}},
         {"brev.b32 d, a;", {32, 32}, {{0x80000000, 1}}},
         {"clz.b32 d, a;", {32, 32}, {{32, 0}, {0, least}}},
         {"clz.b64 d, a;", {32, 64}, {{63, 1}}},
         {"popc.b64 d, a;", {32, 64}, {{64, ~0ull}}},
         {"bfind.u32 d, a;", {32, 32}, {{31, least}, {minus1, 0}}},
         {"bfind.s32 d, a;", {32, 32}, {{minus1, minus1}, {30, least}, {0, 1}}},
         {"bfind.shiftamt.u32 d, a;", {32, 32}, {{31, 1}, {minus1, 0}}}});
}

TEST(Bits, Permutations) {
  constexpr uint64_t a = 0x83221100, b = 0x77665544;
  check({{"prmt.b32 d, a, b, c;",
          {32, 32, 32, 32},
          {{0x44001177, a, b, 0x4017}, {0xff000000, a, b, 0xb888}, {0x83221100, a, b, 0x3210}}},
         {"prmt.b32.f4e d, a, b, c;", {32, 32, 32, 32}, {{0x44832211, a, b, 1}}},
         {"prmt.b32.b4e d, a, b, c;", {32, 32, 32, 32}, {{0x66770011, a, b, 1}}},
         {"prmt.b32.rc8 d, a, b, c;", {32, 32, 32, 32}, {{0x22222222, a, b, 2}}},
         {"prmt.b32.ecl d, a, b, c;", {32, 32, 32, 32}, {{0x83221111, a, b, 1}}},
         {"prmt.b32.ecr d, a, b, c;", {32, 32, 32, 32}, {{0x22221100, a, b, 2}}},
         {"prmt.b32.rc16 d, a, b, c;", {32, 32, 32, 32}, {{0x83228322, a, b, 1}}}});
}

} // namespace
