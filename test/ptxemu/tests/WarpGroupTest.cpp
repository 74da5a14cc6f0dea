// wgmma on tiles that bulk copies have brought: D[64][64] = A[64][64] * B, B by rows of N or of K;
// and what is found when a fence, a wait or the layout is wrong.
#include "attune/test/ptxemu/tests/Harness.h"

using namespace attune;
using namespace attune::ptx;

namespace {

std::string sums() {
  std::string text = "{";
  for (unsigned r = 0; r < 32; ++r)
    text += rt::text(r ? ", " : "", "%f", r);
  return text + "}";
}

/// Fragments of A, for all four steps of K, by ldmatrix from the swizzled tile.
std::string fragments() {
  std::string text = "and.b32 %r6, %r0, 31;\nshr.u32 %r7, %r0, 5;\nshl.b32 %r7, %r7, 4;\n"
                     "and.b32 %r8, %r6, 15;\nadd.u32 %r7, %r7, %r8;\nshr.u32 %r8, %r6, 4;\n"
                     "and.b32 %r9, %r7, 7;\nshl.b32 %r10, %r7, 7;\nadd.u32 %r10, %r10, %r1;\n";
  for (unsigned k = 0; k < 4; ++k)
    text += rt::text(
        "add.u32 %r11, %r8, ", 2 * k, ";\nxor.b32 %r11, %r11, %r9;\nshl.b32 %r11, %r11, 4;\n",
        "add.u32 %r11, %r11, %r10;\nldmatrix.sync.aligned.m8n8.x4.shared.b16 {%a", 4 * k, ", %a",
        4 * k + 1, ", %a", 4 * k + 2, ", %a", 4 * k + 3, "}, [%r11];\n");
  return text;
}

/// `byRowsOfK`: B lies as [K][N], which the product transposes. `inRegisters`: A does.
std::string groupKernel(bool byRowsOfK, bool inRegisters = false) {
  std::string text =
      head("sm_90a") +
      ".shared .align 1024 .b8 tiles[16384];\n.shared .align 8 .b8 bar[8];\n"
      ".visible .entry k(.param .align 64 .b8 a[128], .param .align 64 .b8 b[128], .param .u64 "
      "p)\n{\n"
      ".reg .pred %p<9>;\n.reg .b32 %r<32>;\n.reg .f32 %f<32>;\n.reg .b32 %a<16>;\n.reg .b64 "
      "%d<32>;\n"
      "mov.u32 %r0, %tid.x;\nld.param.u64 %d0, [p];\ncvta.to.global.u64 %d0, %d0;\nmov.u32 %r1, "
      "tiles;\nmov.u32 %r2, bar;\n"
      "mov.b64 %d1, a;\ncvta.param.u64 %d1, %d1;\nmov.b64 %d2, b;\ncvta.param.u64 %d2, "
      "%d2;\nadd.u32 %r3, %r1, 8192;\n"
      "setp.eq.u32 %p1, %r0, 0;\n@%p1 mbarrier.init.shared.b64 [%r2], 1;\nbar.sync 0;\n"
      "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 16384;\n"
      "@%p1 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], "
      "[%d1, {0, 0}], [%r2];\n"
      "@%p1 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r3], "
      "[%d2, {0, 0}], [%r2];\n"
      "wait:\nmbarrier.try_wait.parity.shared.b64 %p3, [%r2], 0;\n@!%p3 bra wait;\n"
      "shr.u32 %r4, %r1, 4;\ncvt.u64.u32 %d3, %r4;\nor.b64 %d3, %d3, 0x4000004000010000;\n"
      "shr.u32 %r5, %r3, 4;\ncvt.u64.u32 %d4, %r5;\nor.b64 %d4, %d4, 0x4000004000010000;\n"
      "setp.ne.u32 %p4, %r1, %r1;\nsetp.eq.u32 %p5, %r1, %r1;\n";
  text += (inRegisters ? fragments() : "") + "wgmma.fence.sync.aligned;\n";
  for (unsigned k = 0; k < 4; ++k) {
    std::string a = inRegisters ? rt::text("{%a", 4 * k, ", %a", 4 * k + 1, ", %a", 4 * k + 2,
                                           ", %a", 4 * k + 3, "}")
                                : "%d5";
    text += rt::text(
        "add.u64 %d5, %d3, ", 2 * k, ";\nadd.u64 %d6, %d4, ", byRowsOfK ? 128 * k : 2 * k,
        ";\nwgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 ", sums(), ", ", a, ", %d6, ",
        k ? "%p5" : "%p4", ", 1, 1, ", inRegisters ? "" : "0, ", byRowsOfK, ";\n");
  }
  text += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\nmul.wide.u32 %d7, "
          "%r0, 128;\nadd.u64 %d0, %d0, %d7;\n";
  for (unsigned r = 0; r < 32; ++r)
    text += rt::text("st.global.f32 [%d0+", 4 * r, "], %f", r, ";\n");
  return text + "ret;\n}\n";
}

class WarpGroup : public ::testing::Test {
protected:
  static int a(unsigned row, unsigned k) { return int((row * 5 + k * 3) % 7) - 3; }
  static int b(unsigned k, unsigned column) { return int((k * 2 + column * 5) % 9) - 4; }

  WarpGroup() {
    std::vector<uint16_t> left(4096), byN(4096), byK(4096);
    auto half = [](int value) { return std::bit_cast<uint16_t>(_Float16(value)); };
    for (unsigned i = 0; i < 64; ++i)
      for (unsigned k = 0; k < 64; ++k) {
        left[i * 64 + k] = half(a(i, k));
        byN[i * 64 + k] = byK[k * 64 + i] = half(b(k, i));
      }
    for (auto [memory, values] :
         {std::pair(&leftMemory, &left), {&byNMemory, &byN}, {&byKMemory, &byK}})
      *memory = std::make_unique<Buffer<uint16_t>>(*values);
  }

  rt::cuda::TensorMapObject map(const Buffer<uint16_t> &memory) {
    rt::cuda::TensorMapObject map;
    uint64_t extents[] = {64, 64}, strides[] = {128};
    uint32_t box[] = {64, 64}, ones[] = {1, 1};
    EXPECT_EQ(device().tensorMapEncodeTiled(&map, rt::cuda::TensorFloat16, 2,
                                            reinterpret_cast<void *>(memory.address), extents,
                                            strides, box, ones, 0, rt::cuda::Swizzle128, 0, 0),
              rt::cuda::Success);
    return map;
  }

  rt::cuda::Result run(const std::string &ptx, bool byRowsOfK) {
    Code code(ptx);
    EXPECT_EQ(code.error, "");
    return launch(code, "k", {1, 128}, map(*leftMemory), map(byRowsOfK ? *byKMemory : *byNMemory),
                  out.address);
  }

  /// Results that differ from the matrix product.
  unsigned wrong() {
    std::vector<float> found = out.values();
    unsigned wrong = 0;
    for (unsigned thread = 0; thread < 128; ++thread)
      for (unsigned r = 0; r < 32; ++r) {
        unsigned lane = thread % 32, row = thread / 32 * 16 + lane / 4 + 8 * (r / 2 % 2),
                 column = r / 4 * 8 + lane % 4 * 2 + r % 2;
        int expected = 0;
        for (unsigned k = 0; k < 64; ++k)
          expected += a(row, k) * b(k, column);
        wrong += found[thread * 32 + r] != float(expected);
      }
    return wrong;
  }

  void expectFault(const std::string &ptx, const std::string &words) {
    rt::cuda::Result result = run(ptx, false);
    EXPECT_NE(result, rt::cuda::Success) << words;
    EXPECT_NE(message(result).find(words), std::string::npos) << message(result);
    device().primaryReset(0);
  }

  std::unique_ptr<Buffer<uint16_t>> leftMemory, byNMemory, byKMemory;
  Buffer<float> out{4096};
};

TEST_F(WarpGroup, Multiplies) {
  for (bool byRowsOfK : {false, true})
    for (bool inRegisters : {false, true}) {
      ASSERT_EQ(run(groupKernel(byRowsOfK, inRegisters), byRowsOfK), rt::cuda::Success);
      EXPECT_EQ(wrong(), 0u);
    }
}

TEST_F(WarpGroup, WrongLayoutsGiveWrongResults) {
  ASSERT_EQ(run(replaced(groupKernel(false), "or.b64 %d4, %d4, 0x4000004000010000",
                         "or.b64 %d4, %d4, 0x8000004000010000"),
                false),
            rt::cuda::Success);
  EXPECT_GT(wrong(), 1000u);
  ASSERT_EQ(run(groupKernel(false), true), rt::cuda::Success);
  EXPECT_GT(wrong(), 1000u);
}

TEST_F(WarpGroup, FindsFaults) {
  if (!onInterpreter())
    GTEST_SKIP();
  const std::string good = groupKernel(false), commit = "wgmma.commit_group.sync.aligned;\n";
  expectFault(without(good, "wgmma.fence"), "no wgmma.fence before the first");
  expectFault(without(good, "wgmma.wait_group"), "ends while its wgmma.mma_async are in flight");
  expectFault(without(good, "wgmma.commit_group"), "ends while its wgmma.mma_async are in flight");
  expectFault(without(good, "@!%p3 bra wait"), "race: read");
  expectFault(replaced(good, commit, commit + "st.shared.u32 [tiles], %r0;\n"), "race: write");
  const std::string patch = "@%p1 st.shared.u32 [tiles], %r0;\n",
                    barrier = "bar.sync 0;\nshr.u32 %r4";
  expectFault(replaced(good, "shr.u32 %r4", patch + barrier), "without fence.proxy.async");
  EXPECT_EQ(run(replaced(good, "shr.u32 %r4", patch + "fence.proxy.async;\n" + barrier), false),
            rt::cuda::Success);
}

// Sums are not there before the wait.
TEST_F(WarpGroup, SumsArePoisonedBeforeTheWait) {
  if (!onInterpreter())
    GTEST_SKIP();
  const std::string wait = "wgmma.wait_group.sync.aligned 0;\n";
  ASSERT_EQ(
      run(replaced(without(groupKernel(false), "wgmma.wait_group"), "ret;", wait + "ret;"), false),
      rt::cuda::Success);
  EXPECT_EQ(wrong(), 4096u);
}

} // namespace
