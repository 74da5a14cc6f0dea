// Memory: spaces, vectors, constants, and what is refused: out of bounds, misaligned, freed, races.
#include "attune/test/ptxemu/tests/Harness.h"
#include <cstdio>
#include <fstream>

using namespace attune;
using namespace attune::ptx;

namespace {

/// A launch that must fail, with words in its message; only the interpreter promises that.
void expectFault(const std::string &ptx, Shape shape, rt::cuda::Result expected,
                 const std::string &words) {
  if (!onInterpreter())
    GTEST_SKIP() << "faults are those of the interpreter";
  Buffer<uint32_t> memory(256);
  Code code(ptx);
  ASSERT_EQ(code.error, "");
  rt::cuda::Result result = launch(code, "k", shape, memory.address);
  EXPECT_EQ(result, expected) << message(result);
  EXPECT_NE(message(result).find(words), std::string::npos) << message(result);
  device().primaryReset(0);
}

const std::string sharedWords = ".shared .align 16 .b8 tile[1024];\n";
const std::string ownWord =
    "mov.u32 %r10, tile;\nshl.b32 %r11, %r0, 2;\nadd.u32 %r12, %r10, %r11;\n";

TEST(Memory, VectorsAndWidths) {
  std::vector<uint32_t> words{0x80ff7f01, 0x11223344, 0x55667788, 0x99aabbcc, 0, 0, 0, 0};
  Buffer<uint32_t> memory(words);
  Code code(
      head() +
      kernel(
          1,
          "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d0];\nst.global.v2.b32 [%d0+16], {%r4, %r1};\n"
          "ld.global.s8 %r5, [%d0+2];\nst.global.u32 [%d0+24], %r5;\n"
          "ld.global.u16 %h1, [%d0+2];\nst.global.u16 [%d0+28], %h1;"));
  ASSERT_EQ(launch(code, "k", {1, 1}, memory.address), rt::cuda::Success);
  EXPECT_EQ(memory.values(), (std::vector<uint32_t>{words[0], words[1], words[2], words[3],
                                                    words[3], words[0], ~0u, 0x80ff}));
}

// Every thread has its own local memory; generic addresses name local, shared and constant memory.
TEST(Memory, Spaces) {
  Buffer<uint32_t> memory(32);
  Code code(
      head() +
      kernel(1,
             ".local .align 8 .b8 own[16];\n.shared .align 4 .b8 tile[128];\n"
             "mov.u64 %d2, own;\ncvta.local.u64 %d3, %d2;\nst.local.u32 [own+4], %r0;\nld.u32 %r1, "
             "[%d3+4];\n"
             "mul.wide.u32 %d1, %r0, 4;\nmov.u64 %d4, tile;\ncvta.shared.u64 %d4, %d4;\nadd.u64 "
             "%d4, %d4, %d1;\n"
             "st.u32 [%d4], %r1;\nld.u32 %r2, [%d4];\n"
             "ld.const.u32 %r3, [table+4];\nld.global.u32 %r4, [start];\n"
             "add.u32 %r2, %r2, %r3;\nadd.u32 %r2, %r2, %r4;\n"
             "add.u64 %d0, %d0, %d1;\nst.global.u32 [%d0], %r2;",
             ".const .align 4 .u32 table[2] = {5, 100};\n.global .align 4 .u32 start = 1000;\n"));
  ASSERT_EQ(launch(code, "k", {1, 32}, memory.address), rt::cuda::Success);
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(memory.values()[lane], lane + 1100);
}

TEST(Memory, DynamicSharedMemory) {
  const std::string code =
      head() + kernel(1,
                      "mov.u32 %r1, rest;\nshl.b32 %r2, %r0, 2;\nadd.u32 %r1, %r1, %r2;\n"
                      "st.shared.u32 [%r1], %r0;",
                      ".extern .shared .align 16 .b8 rest[];\n");
  Buffer<uint32_t> memory(1);
  EXPECT_EQ(launch(Code(code), "k", {1, 32, 60 << 10}, memory.address), rt::cuda::Success);
  expectFault(code, {1, 32, 64}, rt::cuda::IllegalAddress, "out of bounds: 64 bytes");
}

TEST(Faults, OutOfBounds) {
  expectFault(head() + kernel(1, "ld.global.u32 %r1, [%d0+1024];"), {}, rt::cuda::IllegalAddress,
              "4 bytes past an allocation of 1024");
  expectFault(head() + kernel(1, "st.global.v2.u32 [%d0+-8], {%r0, %r0};"), {},
              rt::cuda::IllegalAddress, "global address");
  expectFault(head() + kernel(1, "mov.u64 %d5, 16;\nld.u32 %r1, [%d5];"), {},
              rt::cuda::IllegalAddress, "in no allocation");
  expectFault(head() + kernel(1, "st.shared.u32 [tile+1024], %r0;", sharedWords), {},
              rt::cuda::IllegalAddress, "line 15 of kernel 'k'");
  expectFault(head() + kernel(1, "ld.shared.u32 %r1, [tile+2];", sharedWords), {},
              rt::cuda::IllegalAddress, "not a multiple of 4");
  expectFault(head() + kernel(1, "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d0+4];"), {},
              rt::cuda::IllegalAddress, "not a multiple of 16");
}

TEST(Faults, FreedMemory) {
  if (!onInterpreter())
    GTEST_SKIP();
  rt::cuda::DevicePointer address;
  ASSERT_EQ(device().memAlloc(&address, 64), rt::cuda::Success);
  ASSERT_EQ(device().memFree(address), rt::cuda::Success);
  Code code(head() + kernel(1, "ld.global.u32 %r1, [%d0];"));
  EXPECT_EQ(launch(code, "k", {}, address), rt::cuda::IllegalAddress);
  device().primaryReset(0);
}

// What nobody wrote is not a number.
TEST(Memory, IsPoisoned) {
  if (!onInterpreter())
    GTEST_SKIP();
  Buffer<uint32_t> memory(2);
  rt::cuda::DevicePointer fresh;
  ASSERT_EQ(device().memAlloc(&fresh, 64), rt::cuda::Success);
  Code code(head() + kernel(2,
                            "ld.shared.u32 %r1, [tile];\nld.global.u32 %r2, "
                            "[%d1];\nst.global.v2.u32 [%d0], {%r1, %r2};",
                            sharedWords));
  ASSERT_EQ(launch(code, "k", {1, 1}, memory.address, fresh), rt::cuda::Success);
  EXPECT_EQ(memory.values(), (std::vector<uint32_t>{~0u, ~0u}));
  device().memFree(fresh);
}

// Every thread reads its neighbour's word, beyond the warp.
TEST(Races, MissingBarrier) {
  const std::string read = "add.u32 %r13, %r0, 32;\nand.b32 %r13, %r13, 63;\nshl.b32 %r13, %r13, "
                           "2;\nadd.u32 %r13, %r10, %r13;\n"
                           "ld.shared.u32 %r1, [%r13];";
  expectFault(head() + kernel(1, ownWord + "st.shared.u32 [%r12], %r0;\n" + read, sharedWords),
              {1, 64}, rt::cuda::LaunchFailed, "race: ");
  Buffer<uint32_t> memory(1);
  EXPECT_EQ(
      launch(Code(head() + kernel(1, ownWord + "st.shared.u32 [%r12], %r0;\nbar.sync 0;\n" + read,
                                  sharedWords)),
             "k", {1, 64}, memory.address),
      rt::cuda::Success);
}

TEST(Races, WriteAfterReadAndTwoWrites) {
  expectFault(head() + kernel(1,
                              "ld.shared.u32 %r1, [tile];\nsetp.eq.u32 %p1, %r0, 32;\n@%p1 "
                              "st.shared.u32 [tile], %r0;",
                              sharedWords),
              {1, 64}, rt::cuda::LaunchFailed, "is not ordered after its reads");
  expectFault(head() + kernel(1, "st.shared.u32 [tile], %r0;", sharedWords), {1, 64},
              rt::cuda::LaunchFailed, "is not ordered after its last write");
}

// Neighbouring bytes of two warps are no race.
TEST(Races, AreToldApartByTheNarrowestAccess) {
  Buffer<uint32_t> memory(1);
  EXPECT_EQ(launch(Code(head() + kernel(1,
                                        "mov.u32 %r10, tile;\nadd.u32 %r10, %r10, "
                                        "%r0;\ncvt.u16.u32 %h1, %r0;\nst.shared.u8 [%r10], %h1;",
                                        sharedWords)),
                   "k", {1, 48}, memory.address),
            rt::cuda::Success);
}

// Warp 0 hands over by bar.arrive, warp 1 takes by bar.sync.
TEST(Races, NamedBarriersOrder) {
  const std::string
      produce = "setp.ge.u32 %p1, %r0, 32;\n@%p1 bra consumer;\nst.shared.u32 [%r12], %r0;\n",
      consume = "bra.uni done;\nconsumer:\nbar.sync 1, 64;\nld.shared.u32 %r1, [%r12+-128];\ndone:";
  Buffer<uint32_t> memory(1);
  EXPECT_EQ(launch(Code(head() + kernel(1, ownWord + produce + "bar.arrive 1, 64;\n" + consume,
                                        sharedWords)),
                   "k", {1, 64}, memory.address),
            rt::cuda::Success);
  expectFault(head() + kernel(1, ownWord + produce + consume, sharedWords), {1, 64},
              rt::cuda::LaunchTimeout, "deadlock");
}

// A flag of strong accesses, or an atomic, hands over what was written before.
TEST(Races, StrongAccessesOrder) {
  auto body = [](const std::string &store, const std::string &load) {
    return head() +
           kernel(1,
                  ownWord +
                      "setp.eq.u32 %p1, %r0, 0;\n@%p1 st.shared.u32 [tile+512], 0;\nbar.sync 0;\n"
                      "setp.ge.u32 %p1, %r0, 32;\n@%p1 bra consumer;\nst.shared.u32 [%r12], %r0;\n"
                      "setp.ne.u32 %p2, %r0, 0;\n@%p2 bra done;\n" +
                      store + "\nbra.uni done;\nconsumer:\nspin:\n" + load +
                      "\nsetp.eq.u32 %p3, %r2, 0;\n@%p3 bra spin;\nld.shared.u32 %r1, "
                      "[%r12+-128];\ndone:",
                  sharedWords);
  };
  Buffer<uint32_t> memory(1);
  for (auto [store, load] :
       {std::pair("st.release.cta.shared.u32 [tile+512], 1;",
                  "ld.acquire.cta.shared.u32 %r2, [tile+512];"),
        {"membar.cta;\nst.volatile.shared.u32 [tile+512], 1;",
         "ld.volatile.shared.u32 %r2, [tile+512];"},
        {"red.shared.add.u32 [tile+512], 1;", "atom.shared.add.u32 %r2, [tile+512], 0;"}})
    EXPECT_EQ(launch(Code(body(store, load)), "k", {1, 64}, memory.address), rt::cuda::Success)
        << store;
  expectFault(body("st.shared.u32 [tile+512], 1;", "ld.shared.u32 %r2, [tile+512];"), {1, 64},
              rt::cuda::LaunchFailed, "race: ");
}

TEST(Faults, Barriers) {
  expectFault(head() + kernel(1, "setp.eq.u32 %p1, %r0, 0;\n@%p1 bra skip;\nbar.sync 0;\nskip:"),
              {}, rt::cuda::LaunchFailed, "divergent");
  expectFault(head() + kernel(1, "setp.ge.u32 %p1, %r0, 32;\n@%p1 bra other;\nbar.sync 0;\nbra.uni "
                                 "end;\nother:\nbar.sync 1;\nend:"),
              {1, 64}, rt::cuda::LaunchTimeout, "deadlock");
  expectFault(head() + kernel(1, "bar.sync 0, 48;"), {1, 64}, rt::cuda::LaunchFailed,
              "not a multiple of 32");
}

TEST(Faults, LanesElsewhere) {
  expectFault(
      head() + kernel(1, "setp.lt.u32 %p1, %r0, 16;\n@%p1 shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;"),
      {}, rt::cuda::LaunchFailed, "elsewhere");
  expectFault(
      head() +
          kernel(1, "setp.lt.u32 %p1, %r0, 16;\n@%p1 shfl.sync.bfly.b32 %r1, %r0, 16, 31, 0xffff;"),
      {}, rt::cuda::LaunchFailed, "does not take part");
  expectFault(head() + kernel(1, "trap;"), {}, rt::cuda::LaunchFailed, "trap");
}

TEST(Faults, EndlessLoops) {
  setenv("ATTUNE_PTX_STEPS", "100000", 1);
  expectFault(head() + kernel(1, "loop:\nld.volatile.global.u32 %r1, [%d0];\nsetp.eq.u32 %p1, %r1, "
                                 "0;\n@%p1 bra loop;"),
              {}, rt::cuda::LaunchTimeout, "100000");
  unsetenv("ATTUNE_PTX_STEPS");
}

// The error of a kernel stays until the context is reset, and later calls return it.
TEST(Faults, Stay) {
  if (!onInterpreter())
    GTEST_SKIP();
  Buffer<uint32_t> memory(1);
  Code code(head() + kernel(1, "trap;")), good(head() + kernel(1, ""));
  EXPECT_EQ(launch(code, "k", {}, memory.address), rt::cuda::LaunchFailed);
  EXPECT_EQ(device().synchronize(), rt::cuda::LaunchFailed);
  device().primaryReset(0);
  EXPECT_EQ(launch(good, "k", {}, memory.address), rt::cuda::Success);
}

// 32 lanes, stride 2: two lanes per bank; rows of 64 bytes by ldmatrix: four.
TEST(Counts, BankConflicts) {
  if (!onInterpreter())
    GTEST_SKIP();
  Buffer<uint32_t> memory(32);
  auto wavefronts = [&](const std::string &address) {
    Code code(head() + kernel(1,
                              "mov.u32 %r10, tile;\n" + address +
                                  "\nadd.u32 %r10, %r10, %r11;\nst.shared.u32 [%r10], %r0;",
                              ".shared .align 16 .b8 tile[8192];\n"));
    EXPECT_EQ(launch(code, "k", {}, memory.address), rt::cuda::Success);
    EXPECT_EQ(count("shared_ideal_wavefronts"), 1u);
    return count("shared_wavefronts");
  };
  EXPECT_EQ(wavefronts("shl.b32 %r11, %r0, 2;"), 1u);
  EXPECT_EQ(wavefronts("shl.b32 %r11, %r0, 3;"), 2u);
  EXPECT_EQ(wavefronts("shl.b32 %r11, %r0, 7;"), 32u);
  EXPECT_EQ(wavefronts("mul.lo.u32 %r11, %r0, 132;"), 1u);
}

TEST(Counts, AreReported) {
  if (!onInterpreter())
    GTEST_SKIP();
  const std::string path = testing::TempDir() + "ptx-report.json";
  std::remove(path.c_str());
  setenv("ATTUNE_PTX_REPORT", path.c_str(), 1);
  Buffer<uint32_t> memory(1);
  Code code(head() + kernel(1,
                            "mov.u32 %r10, tile;\nshl.b32 %r11, %r0, 5;\nadd.u32 %r10, %r10, "
                            "%r11;\nst.shared.u32 [%r10], %r0;",
                            sharedWords));
  EXPECT_EQ(launch(code, "k", {}, memory.address), rt::cuda::Success);
  unsetenv("ATTUNE_PTX_REPORT");
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line.find("{\"kernel\": \"k\", \"grid\": [1, 1, 1], \"block\": [32, 1, 1]"), 0u)
      << line;
  EXPECT_NE(line.find("\"text\": \"st.shared.u32 [%r10], %r0\", \"wavefronts\": 8, \"ideal\": 1}"),
            line.npos)
      << line;
}

TEST(Counts, SectorsAndInstructions) {
  if (!onInterpreter())
    GTEST_SKIP();
  Buffer<uint32_t> memory(1024);
  auto sectors = [&](const char *stride) {
    Code code(head() + kernel(1, std::string("mul.wide.u32 %d1, %r0, ") + stride +
                                     ";\nadd.u64 %d0, %d0, %d1;\nld.global.u32 %r1, [%d0];"));
    EXPECT_EQ(launch(code, "k", {}, memory.address), rt::cuda::Success);
    return count("global_sectors");
  };
  EXPECT_EQ(sectors("4"), 4u);
  EXPECT_EQ(sectors("32"), 32u);
  EXPECT_EQ(count("instructions"), 7u);
  EXPECT_EQ(count("opcode:mul"), 1u);
}

} // namespace
