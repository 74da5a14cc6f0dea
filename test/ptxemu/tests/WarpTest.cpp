// Lanes with each other, and lanes that part and meet again.
#include "attune/test/ptxemu/tests/Harness.h"
#include <bit>

using namespace attune;
using namespace attune::ptx;

namespace {

const std::string storeLane =
    "\nmul.wide.u32 %d1, %r0, 4;\nadd.u64 %d0, %d0, %d1;\nst.global.u32 [%d0], %r1;";

/// What every thread of one block leaves in %r1.
std::vector<uint32_t> results(const std::string &body, unsigned threads = 32) {
  Buffer<uint32_t> buffer(threads);
  Code code(head() + kernel(1, body + storeLane));
  rt::cuda::Result result = launch(code, "k", {1, threads}, buffer.address);
  EXPECT_EQ(result, rt::cuda::Success) << message(result);
  return buffer.values();
}

/// Sources by lane, computed from the definition of shfl in the PTX ISA.
template <class F> void expectLanes(const std::string &body, F expected) {
  std::vector<uint32_t> found = results(body);
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(found[lane], uint32_t(expected(lane))) << body << " in lane " << lane;
}

TEST(Shuffle, Modes) {
  expectLanes("shfl.sync.up.b32 %r1, %r0, 3, 0, -1;",
              [](unsigned l) { return l >= 3 ? l - 3 : l; });
  expectLanes("shfl.sync.down.b32 %r1, %r0, 3, 31, -1;",
              [](unsigned l) { return l + 3 < 32 ? l + 3 : l; });
  expectLanes("shfl.sync.bfly.b32 %r1, %r0, 5, 31, -1;", [](unsigned l) { return l ^ 5; });
  expectLanes("shfl.sync.idx.b32 %r1, %r0, 7, 31, -1;", [](unsigned) { return 7; });
}

// c = (32 - 8) << 8 | clamp: segments of 8 lanes.
TEST(Shuffle, Segments) {
  expectLanes("shfl.sync.up.b32 %r1, %r0, 2, 0x1800, -1;",
              [](unsigned l) { return l % 8 >= 2 ? l - 2 : l; });
  expectLanes("shfl.sync.down.b32 %r1, %r0, 2, 0x181f, -1;",
              [](unsigned l) { return l % 8 < 6 ? l + 2 : l; });
  expectLanes("shfl.sync.bfly.b32 %r1, %r0, 12, 0x181f, -1;",
              [](unsigned l) { return (l ^ 12) <= (l | 7) ? l ^ 12 : l; });
  expectLanes("shfl.sync.idx.b32 %r1, %r0, 3, 0x181f, -1;",
              [](unsigned l) { return l / 8 * 8 + 3; });
}

TEST(Shuffle, TellsWhetherInRange) {
  expectLanes("shfl.sync.down.b32 %r2|%p1, %r0, 1, 31, -1;\nselp.u32 %r1, 1, 0, %p1;",
              [](unsigned l) { return l < 31; });
}

TEST(Warp, Votes) {
  expectLanes("setp.lt.u32 %p1, %r0, 5;\nvote.sync.ballot.b32 %r1, %p1, -1;",
              [](unsigned) { return 31; });
  expectLanes(
      "setp.lt.u32 %p1, %r0, 5;\nvote.sync.any.pred %p2, %p1, -1;\nselp.u32 %r1, 1, 0, %p2;",
      [](unsigned) { return 1; });
  expectLanes(
      "setp.lt.u32 %p1, %r0, 5;\nvote.sync.all.pred %p2, !%p1, -1;\nselp.u32 %r1, 1, 0, %p2;",
      [](unsigned) { return 0; });
  expectLanes(
      "setp.lt.u32 %p1, %r0, 99;\nvote.sync.uni.pred %p2, !%p1, -1;\nselp.u32 %r1, 1, 0, %p2;",
      [](unsigned) { return 1; });
}

TEST(Warp, Matches) {
  expectLanes("and.b32 %r2, %r0, 3;\nmatch.any.sync.b32 %r1, %r2, -1;",
              [](unsigned l) { return 0x11111111u << (l % 4); });
  expectLanes("match.all.sync.b32 %r1|%p1, %r0, -1;", [](unsigned) { return 0; });
}

TEST(Warp, Reductions) {
  expectLanes("redux.sync.add.s32 %r1, %r0, -1;", [](unsigned) { return 31 * 16; });
  expectLanes("sub.u32 %r2, %r0, 3;\nredux.sync.min.s32 %r1, %r2, -1;",
              [](unsigned) { return -3; });
  expectLanes("sub.u32 %r2, %r0, 3;\nredux.sync.max.u32 %r1, %r2, -1;",
              [](unsigned) { return ~0u; });
  expectLanes("redux.sync.xor.b32 %r1, %r0, -1;", [](unsigned) { return 0; });
}

TEST(Warp, SpecialRegisters) {
  expectLanes("mov.u32 %r1, %laneid;", [](unsigned l) { return l; });
  expectLanes("mov.u32 %r1, %lanemask_lt;", [](unsigned l) { return (1u << l) - 1; });
  expectLanes("mov.u32 %r1, %lanemask_ge;", [](unsigned l) { return ~0u << l; });
  expectLanes("mov.u32 %r1, %ntid.x;", [](unsigned) { return 32; });
  EXPECT_EQ(results("mov.u32 %r1, %warpid;", 64)[40], 1u);
}

// Even lanes go one way, odd ones the other; all meet before the vote.
TEST(Divergence, MeetsBehindABranch) {
  expectLanes("and.b32 %r2, %r0, 1;\nsetp.eq.u32 %p1, %r2, 0;\nmov.u32 %r3, 0;\n@%p1 bra even;\n"
              "add.u32 %r3, %r3, 10;\nbra.uni join;\neven:\nadd.u32 %r3, %r3, 20;\njoin:\n"
              "activemask.b32 %r4;\nsetp.eq.u32 %p2, %r4, 0xffffffff;\nselp.u32 %r1, %r3, 0, %p2;",
              [](unsigned l) { return l % 2 ? 10 : 20; });
}

// Lane l adds 0..l, leaving the loop one after the other.
TEST(Divergence, LoopsOfManyLengths) {
  expectLanes(
      "mov.u32 %r1, 0;\nmov.u32 %r2, 0;\nloop:\nadd.u32 %r1, %r1, %r2;\nadd.u32 %r2, %r2, 1;\n"
      "setp.le.u32 %p1, %r2, %r0;\n@%p1 bra loop;\nshfl.sync.idx.b32 %r1, %r1, %r0, 31, -1;",
      [](unsigned l) { return l * (l + 1) / 2; });
}

TEST(Divergence, Nests) {
  // Quarters: 3 - l / 8, decided by two nested branches, with an exit from within for lane 31.
  std::vector<uint32_t> found =
      results("mov.u32 %r1, 77;\nsetp.lt.u32 %p1, %r0, 16;\n@%p1 bra low;\nsetp.lt.u32 %p2, %r0, "
              "24;\n@%p2 bra third;\n"
              "setp.eq.u32 %p3, %r0, 31;\n@%p3 exit;\nmov.u32 %r1, 0;\nbra.uni "
              "high;\nthird:\nmov.u32 %r1, 1;\nhigh:\n"
              "bra.uni join;\nlow:\nsetp.lt.u32 %p2, %r0, 8;\n@%p2 bra first;\nmov.u32 %r1, "
              "2;\nbra.uni lows;\n"
              "first:\nmov.u32 %r1, 3;\nlows:\njoin:\nvote.sync.ballot.b32 %r5, 1, 0x7fffffff;\n"
              "setp.ne.u32 %p4, %r5, 0x7fffffff;\n@%p4 mov.u32 %r1, 99;");
  for (unsigned lane = 0; lane < 31; ++lane)
    EXPECT_EQ(found[lane], 3 - lane / 8) << lane;
  EXPECT_EQ(found[31], 0u);
}

TEST(Divergence, JumpsThroughTables) {
  expectLanes("and.b32 %r2, %r0, 3;\ntable: .branchtargets t0, t1, t2, t1;\nbrx.idx %r2, table;\n"
              "t0:\nmov.u32 %r1, 5;\nbra.uni join;\nt1:\nmov.u32 %r1, 6;\nbra.uni "
              "join;\nt2:\nmov.u32 %r1, 7;\njoin:\n"
              "bar.warp.sync -1;",
              [](unsigned l) { return l % 4 == 0   ? 5
                                      : l % 4 == 2 ? 7
                                                   : 6; });
}

// Lane 0 waits in a loop for what lane 1 writes after it: both make progress.
TEST(Divergence, LanesMayWaitForEachOther) {
  Buffer<uint32_t> flag(1);
  Code code(
      head() +
      kernel(1,
             "setp.ne.u32 %p1, %r0, 0;\n@%p1 bra writer;\n"
             "spin:\nld.volatile.global.u32 %r1, [%d0];\nsetp.eq.u32 %p2, %r1, 0;\n@%p2 bra spin;\n"
             "bra.uni done;\nwriter:\nst.volatile.global.u32 [%d0], 1;\ndone:"));
  EXPECT_EQ(launch(code, "k", {1, 2}, flag.address), rt::cuda::Success);
}

TEST(Barrier, Reductions) {
  EXPECT_EQ(results("setp.lt.u32 %p1, %r0, 40;\nbarrier.cta.red.popc.u32 %r1, 0, %p1;", 96),
            std::vector<uint32_t>(96, 40));
  EXPECT_EQ(results("setp.lt.u32 %p1, %r0, 96;\nbarrier.cta.red.and.pred %p2, 0, %p1;\nselp.u32 "
                    "%r1, 1, 0, %p2;",
                    96),
            std::vector<uint32_t>(96, 1));
  EXPECT_EQ(results("setp.eq.u32 %p1, %r0, 96;\nbarrier.cta.red.or.pred %p2, 0, %p1;\nselp.u32 "
                    "%r1, 1, 0, %p2;",
                    96),
            std::vector<uint32_t>(96, 0));
}

TEST(Atomics, OnGlobalMemory) {
  Buffer<uint32_t> memory(std::vector<uint32_t>{0, 100, 0, 0xffffffff, 0, f32(0), 5, 7});
  Code code(head() +
            kernel(1, "atom.global.add.u32 %r1, [%d0], 1;\nred.global.min.u32 [%d0+4], %r0;\n"
                      "red.global.max.s32 [%d0+8], %r0;\nred.global.and.b32 [%d0+12], 0xff;\n"
                      "shl.b32 %r2, 1, %r0;\nred.global.or.b32 [%d0+16], %r2;\n"
                      "red.global.add.f32 [%d0+20], 0f3F800000;\n"
                      "setp.eq.u32 %p1, %r0, 3;\n@%p1 atom.global.cas.b32 %r3, [%d0+24], 5, 9;\n"
                      "@%p1 atom.global.exch.b32 %r3, [%d0+28], 11;"));
  ASSERT_EQ(launch(code, "k", {4, 32}, memory.address), rt::cuda::Success);
  EXPECT_EQ(memory.values(),
            (std::vector<uint32_t>{128, 0, 31, 0xff, 0xffffffff, f32(128), 9, 11}));
}

TEST(Atomics, CountAround) {
  Buffer<uint32_t> memory(std::vector<uint32_t>{0, 0});
  Code code(head() +
            kernel(1, "atom.global.inc.u32 %r1, [%d0], 9;\natom.global.dec.u32 %r1, [%d0+4], 9;"));
  ASSERT_EQ(launch(code, "k", {1, 32}, memory.address), rt::cuda::Success);
  EXPECT_EQ(memory.values(), (std::vector<uint32_t>{2, 8}));
}

} // namespace
