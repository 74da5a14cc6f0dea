// Copies and products that go on by themselves: cp.async, mbarrier, bulk copies, wgmma; and what
// happens when a wait, a fence or an arrival is missing.
#include "attune/test/ptxemu/tests/Harness.h"
#include <cmath>

using namespace attune;
using namespace attune::ptx;

namespace {

const std::string shared = ".shared .align 1024 .b8 tile[32768];\n.shared .align 8 .b8 bars[64];\n";

template <class... T>
void expectFault(const std::string &ptx, Shape shape, const std::string &words, T... parameters) {
  if (!onInterpreter())
    return;
  Code code(ptx);
  ASSERT_EQ(code.error, "");
  rt::cuda::Result result = launch(code, "k", shape, parameters...);
  EXPECT_NE(result, rt::cuda::Success) << words;
  EXPECT_NE(message(result).find(words), std::string::npos)
      << message(result) << "\nexpected: " << words;
  device().primaryReset(0);
}

// 64 threads copy 16 bytes each and read what the other warp has copied.
const std::string copies =
    "mul.wide.u32 %d2, %r0, 16;\nadd.u64 %d0, %d0, %d2;\nadd.u64 %d1, %d1, %d2;\n"
    "mov.u32 %r10, tile;\nshl.b32 %r11, %r0, 4;\nadd.u32 %r12, %r10, %r11;\nxor.b32 %r13, %r11, "
    "512;\nadd.u32 %r13, %r10, %r13;\n"
    "cp.async.cg.shared.global [%r12], [%d0], 16;\ncp.async.commit_group;\ncp.async.wait_group "
    "0;\nbar.sync 0;\n"
    "ld.shared.v4.b32 {%r1, %r2, %r3, %r4}, [%r13];\nst.global.v4.b32 [%d1], {%r1, %r2, %r3, %r4};";

TEST(AsyncCopies, LandAtTheWait) {
  std::vector<uint32_t> values(256);
  for (uint32_t i = 0; i < 256; ++i)
    values[i] = i;
  Buffer<uint32_t> from(values), to(256);
  ASSERT_EQ(
      launch(Code(head() + kernel(2, copies, shared)), "k", {1, 64}, from.address, to.address),
      rt::cuda::Success);
  for (uint32_t i = 0; i < 256; ++i)
    EXPECT_EQ(to.values()[i], i ^ 128);
  expectFault(head() + kernel(2, without(copies, "cp.async.wait_group"), shared), {1, 64},
              "an asynchronous copy still writes it", from.address, to.address);
  expectFault(head() + kernel(2, replaced(copies, "wait_group 0", "wait_group 1"), shared), {1, 64},
              "an asynchronous copy still writes it", from.address, to.address);
  expectFault(head() + kernel(2, without(copies, "bar.sync"), shared), {1, 64}, "", from.address,
              to.address);
  std::string early = replaced(replaced(copies, "cp.async.wait_group 0;\nbar.sync 0;",
                                        "bar.sync 0;\ncp.async.wait_group 0;"),
                               "xor.b32 %r13, %r11, 512", "mov.b32 %r13, %r11");
  EXPECT_EQ(launch(Code(head() + kernel(2, early, shared)), "k", {1, 64}, from.address, to.address),
            rt::cuda::Success);
  expectFault(
      head() + kernel(2, replaced(early, "mov.b32 %r13, %r11", "xor.b32 %r13, %r11, 512"), shared),
      {1, 64}, "", from.address, to.address);
}

TEST(AsyncCopies, FillWithZeros) {
  Buffer<uint32_t> from(std::vector<uint32_t>(256, 7)), to(256);
  std::string partial = replaced(copies, "[%d0], 16;", "[%d0], 16, 8;");
  ASSERT_EQ(
      launch(Code(head() + kernel(2, partial, shared)), "k", {1, 64}, from.address, to.address),
      rt::cuda::Success);
  EXPECT_EQ(to.values()[1], 7u);
  EXPECT_EQ(to.values()[2], 0u);
}

// Warp 0 writes and arrives, warp 1 waits for the phase and reads.
const std::string handOver =
    "mov.u32 %r10, tile;\nmov.u32 %r20, bars;\nshl.b32 %r11, %r0, 2;\nadd.u32 %r12, %r10, %r11;\n"
    "setp.eq.u32 %p1, %r0, 0;\n@%p1 mbarrier.init.shared.b64 [%r20], 32;\nbar.sync 0;\n"
    "setp.ge.u32 %p2, %r0, 32;\n@%p2 bra consumer;\nst.shared.u32 [%r12], %r0;\n"
    "mbarrier.arrive.shared.b64 %d3, [%r20];\nbra.uni done;\nconsumer:\nwait:\n"
    "mbarrier.try_wait.parity.shared.b64 %p3, [%r20], 0;\n@!%p3 bra wait;\n"
    "ld.shared.u32 %r1, [%r12+-128];\nmul.wide.u32 %d1, %r0, 4;\nadd.u64 %d0, %d0, "
    "%d1;\nst.global.u32 [%d0+-128], %r1;\ndone:";

TEST(Mbarriers, HandOver) {
  Buffer<uint32_t> to(32);
  ASSERT_EQ(launch(Code(head("sm_90") + kernel(1, handOver, shared)), "k", {1, 64}, to.address),
            rt::cuda::Success);
  for (uint32_t i = 0; i < 32; ++i)
    EXPECT_EQ(to.values()[i], i);
  auto fault = [&](const std::string &body, const std::string &words) {
    expectFault(head("sm_90") + kernel(1, body, shared), {1, 64}, words, to.address);
  };
  fault(without(handOver, "@!%p3 bra wait"), "race: read");
  fault(without(handOver, "bar.sync 0"),
        "race: use of an mbarrier is not ordered after its initialisation");
  fault(without(handOver, "@%p1 mbarrier.init"), "no mbarrier was initialised");
  fault(without(handOver, "mbarrier.arrive"), "deadlock");
  fault(replaced(handOver, "[%r20], 32;", "[%r20], 33;"), "deadlock");
  fault(replaced(handOver, "[%r20], 32;", "[%r20], 16;"), "deadlock");
  fault(replaced(handOver, "[%r20], 0;", "[%r20], 1;"), "race: ");
  fault(replaced(handOver, "st.shared.u32 [%r12], %r0", "st.shared.u32 [bars], %r0"),
        "overwritten");
}

TEST(Mbarriers, CountOverPhases) {
  // Two phases of 64 arrivals each; the state token of the first tells its end.
  Buffer<uint32_t> to(64);
  const std::string body =
      "mov.u32 %r20, bars;\nsetp.eq.u32 %p1, %r0, 0;\n@%p1 mbarrier.init.shared.b64 [%r20], "
      "64;\nbar.sync 0;\n"
      "mov.u32 %r5, 0;\nround:\nmbarrier.arrive.shared.b64 %d3, "
      "[%r20];\nwait:\nmbarrier.test_wait.shared.b64 %p3, [%r20], %d3;\n"
      "@!%p3 bra wait;\nadd.u32 %r5, %r5, 1;\nsetp.lt.u32 %p4, %r5, 2;\n@%p4 bra round;\n"
      "mul.wide.u32 %d1, %r0, 4;\nadd.u64 %d0, %d0, %d1;\nst.global.u32 [%d0], %r5;";
  ASSERT_EQ(launch(Code(head() + kernel(1, body, shared)), "k", {1, 64}, to.address),
            rt::cuda::Success);
  EXPECT_EQ(to.values(), std::vector<uint32_t>(64, 2));
}

/// A tensor of 16-bit elements [rows][columns], and boxes of it.
rt::cuda::TensorMapObject tensorMap(rt::cuda::DevicePointer memory, uint64_t rows, uint64_t columns,
                                    uint32_t boxRows, uint32_t boxColumns,
                                    rt::cuda::TensorMapSwizzle swizzle) {
  rt::cuda::TensorMapObject map;
  uint64_t extents[] = {columns, rows}, strides[] = {columns * 2};
  uint32_t box[] = {boxColumns, boxRows}, ones[] = {1, 1};
  EXPECT_EQ(device().tensorMapEncodeTiled(&map, rt::cuda::TensorFloat16, 2,
                                          reinterpret_cast<void *>(memory), extents, strides, box,
                                          ones, 0, swizzle, 0, 0),
            rt::cuda::Success);
  return map;
}

/// A kernel with a tensor map and a pointer: one thread loads a box, all copy `bytes` of shared
/// memory out.
std::string boxKernel(unsigned bytes, const std::string &at) {
  return head("sm_90") + shared +
         ".visible .entry k(.param .align 64 .b8 map[128], .param .u64 p1)\n{\n"
         ".reg .pred %p<9>;\n.reg .b32 %r<32>;\n.reg .b64 %d<9>;\n"
         "mov.u32 %r0, %tid.x;\nld.param.u64 %d1, [p1];\ncvta.to.global.u64 %d1, %d1;\nmov.b64 "
         "%d2, map;\ncvta.param.u64 %d2, %d2;\n"
         "mov.u32 %r10, tile;\nmov.u32 %r20, bars;\nsetp.eq.u32 %p1, %r0, 0;\n@%p1 "
         "mbarrier.init.shared.b64 [%r20], 1;\n"
         "fence.mbarrier_init.release.cluster;\nbar.sync 0;\n"
         "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r20], " +
         std::to_string(bytes) +
         ";\n"
         "@%p1 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], "
         "[%d2, " +
         at +
         "], [%r20];\n"
         "wait:\nmbarrier.try_wait.parity.shared.b64 %p3, [%r20], 0;\n@!%p3 bra wait;\n"
         "shl.b32 %r1, %r0, 2;\ncopy:\nadd.u32 %r2, %r10, %r1;\nld.shared.u32 %r3, "
         "[%r2];\ncvt.u64.u32 %d3, %r1;\nadd.u64 %d3, %d1, %d3;\n"
         "st.global.u32 [%d3], %r3;\nadd.u32 %r1, %r1, 128;\nsetp.lt.u32 %p4, %r1, " +
         std::to_string(bytes) + ";\n@%p4 bra copy;\nret;\n}\n";
}

std::vector<uint16_t> counting(size_t size) {
  std::vector<uint16_t> values(size);
  for (size_t i = 0; i < size; ++i)
    values[i] = uint16_t(i);
  return values;
}

// Rows of 16 << swizzle bytes; a 16-byte chunk moves to chunk ^ (its 128-byte line modulo the rows
// of the pattern).
TEST(BulkCopies, Swizzle) {
  for (unsigned swizzle = 0; swizzle < 4; ++swizzle) {
    const unsigned columns = 8u << swizzle, rows = 16;
    Buffer<uint16_t> tensor(counting(64 * 64)), out(rows * columns);
    auto map =
        tensorMap(tensor.address, 64, 64, rows, columns, rt::cuda::TensorMapSwizzle(swizzle));
    ASSERT_EQ(launch(Code(boxKernel(rows * columns * 2, "{0, 5}")), "k", {}, map, out.address),
              rt::cuda::Success);
    std::vector<uint16_t> found = out.values();
    for (unsigned row = 0; row < rows; ++row)
      for (unsigned column = 0; column < columns; ++column) {
        unsigned byte = (row * columns + column) * 2, line = byte / 128 % (1u << swizzle);
        EXPECT_EQ(found[(byte ^ (line << 4)) / 2], (row + 5) * 64 + column) << swizzle;
      }
  }
}

TEST(BulkCopies, FillOutsideWithZeros) {
  Buffer<uint16_t> tensor(counting(12 * 24)), out(16 * 16);
  auto map = tensorMap(tensor.address, 12, 24, 16, 16, rt::cuda::SwizzleNone);
  ASSERT_EQ(launch(Code(boxKernel(512, "{16, -2}")), "k", {}, map, out.address), rt::cuda::Success);
  std::vector<uint16_t> found = out.values();
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned column = 0; column < 16; ++column)
      EXPECT_EQ(found[row * 16 + column],
                row >= 2 && row < 14 && column < 8 ? (row - 2) * 24 + column + 16 : 0);
}

TEST(BulkCopies, Faults) {
  Buffer<uint16_t> tensor(counting(64 * 64)), out(1024);
  auto map = tensorMap(tensor.address, 64, 64, 16, 64, rt::cuda::Swizzle128);
  const std::string good = boxKernel(2048, "{0, 0}");
  ASSERT_EQ(launch(Code(good), "k", {}, map, out.address), rt::cuda::Success);
  auto fault = [&](const std::string &ptx, const std::string &words) {
    expectFault(ptx, {}, words, map, out.address);
  };
  fault(without(good, "@!%p3 bra wait"), "race: read");
  fault(replaced(good, "[%r20], 2048;", "[%r20], 4096;"), "deadlock");
  fault(replaced(good, "[%r20], 2048;", "[%r20], 1024;"), "deadlock");
  fault(replaced(good, "bulk.tensor.2d", "bulk.tensor.1d").replace(good.find("{0, 0}"), 6, "{0}"),
        "rank");
  fault(replaced(good, "mov.u32 %r10, tile;", "mov.u32 %r10, tile+64;"), "not a multiple of 128");
  fault(without(without(without(good, "wait:"), "mbarrier.try_wait"), "@!%p3 bra wait"), "");
}

const std::string boxCopy =
    "@%p1 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], "
    "[%d2, {0, 0}], [%r20];\n";

// Without a tensor map: 512 bytes from the middle of the buffer to its begin.
TEST(BulkCopies, OfBytes) {
  Buffer<uint16_t> tensor(counting(64 * 64)), out(counting(1024));
  auto map = tensorMap(tensor.address, 64, 64, 16, 16, rt::cuda::SwizzleNone);
  const std::string bytes =
      "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], "
      "[%d1+1024], 512, [%r20];\n";
  ASSERT_EQ(
      launch(Code(replaced(boxKernel(512, "{0, 0}"), boxCopy, bytes)), "k", {}, map, out.address),
      rt::cuda::Success);
  for (unsigned i = 0; i < 256; ++i)
    EXPECT_EQ(out.values()[i], 512 + i);
}

// Block 0 of two loads the box for both.
TEST(BulkCopies, ForAllBlocksOfACluster) {
  Buffer<uint16_t> tensor(counting(64 * 64)), out(512);
  auto map = tensorMap(tensor.address, 64, 64, 16, 16, rt::cuda::SwizzleNone);
  std::string text = replaced(
      boxKernel(512, "{0, 0}"), "bar.sync 0;\n",
      "barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n.reg .b16 %h<2>;\n"
      "mov.u32 %r25, %cluster_ctarank;\nsetp.eq.u32 %p5, %r25, 0;\nand.pred %p6, %p1, %p5;\n"
      "mov.u16 %h1, 3;\nmul.wide.u32 %d5, %r25, 512;\nadd.u64 %d1, %d1, %d5;\n");
  text = replaced(
      text, boxCopy,
      "@%p6 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::"
      "cluster [%r10], [%d2, {0, 0}], [%r20], %h1;\n");
  Code code(text);
  rt::cuda::LaunchAttribute cluster{rt::cuda::LaunchClusterDimension, {}, {}};
  for (unsigned axis = 0; axis < 3; ++axis)
    cluster.value.clusterDimension[axis] = axis ? 1 : 2;
  rt::cuda::LaunchConfig config{{2, 1, 1}, {32, 1, 1}, 0, nullptr, &cluster, 1};
  rt::cuda::DevicePointer address = out.address;
  void *parameters[] = {&map, &address};
  ASSERT_EQ(device().launchEx(&config, code.function("k"), parameters, nullptr), rt::cuda::Success);
  rt::cuda::Result result = device().synchronize();
  ASSERT_EQ(result, rt::cuda::Success) << message(result);
  for (unsigned i = 0; i < 512; ++i)
    EXPECT_EQ(out.values()[i], i % 256 / 16 * 64 + i % 16);
}

// All write a row of 128 bytes each; one thread stores the box, into the middle of a larger tensor.
TEST(BulkCopies, Store) {
  const std::string good =
      head("sm_90") + shared +
      ".visible .entry k(.param .align 64 .b8 map[128])\n{\n.reg .pred %p<9>;\n.reg .b32 "
      "%r<32>;\n.reg .b64 %d<9>;\n"
      "mov.u32 %r0, %tid.x;\nmov.b64 %d2, map;\ncvta.param.u64 %d2, %d2;\nmov.u32 %r10, "
      "tile;\nshl.b32 %r1, %r0, 7;\nadd.u32 %r1, %r10, %r1;\n"
      "mov.u32 %r2, 0;\nfill:\nst.shared.u32 [%r1], %r0;\nadd.u32 %r1, %r1, 4;\nadd.u32 %r2, %r2, "
      "1;\nsetp.lt.u32 %p2, %r2, 32;\n@%p2 bra fill;\n"
      "fence.proxy.async.shared::cta;\nbar.sync 0;\nsetp.eq.u32 %p1, %r0, 0;\n"
      "@%p1 cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%d2, {0, 60}], [%r10];\n@%p1 "
      "cp.async.bulk.commit_group;\n"
      "@%p1 cp.async.bulk.wait_group.read 0;\nret;\n}\n";
  Buffer<uint16_t> tensor(std::vector<uint16_t>(64 * 64, 9));
  auto map = tensorMap(tensor.address, 64, 64, 32, 64, rt::cuda::SwizzleNone);
  ASSERT_EQ(launch(Code(good), "k", {}, map), rt::cuda::Success);
  std::vector<uint16_t> found = tensor.values();
  EXPECT_EQ(found[59 * 64], 9);
  for (unsigned row = 60; row < 64; ++row)
    EXPECT_EQ(found[row * 64 + 2], row - 60);
  expectFault(without(good, "fence.proxy.async"), {}, "without fence.proxy.async", map);
  expectFault(without(good, "@%p1 cp.async.bulk.wait_group"), {}, "bulk stores read shared memory",
              map);
  expectFault(replaced(good, "wait_group.read 0;\n", "wait_group.read 1;\n"), {},
              "bulk stores read shared memory", map);
}

} // namespace
