// The API around kernels: what is late, what is refused, what an error says.
#include "attune/test/ptxemu/tests/Harness.h"

using namespace attune;
using namespace attune::ptx;

namespace {

const std::string increment =
    head() +
    kernel(1, "ld.global.u32 %r1, [%d0];\nadd.u32 %r1, %r1, 1;\nst.global.u32 [%d0], %r1;");

rt::cuda::Result launchOn(const Code &code, rt::cuda::Stream stream,
                          rt::cuda::DevicePointer memory) {
  void *parameters[] = {&memory};
  return device().launch(code.function("k"), 1, 1, 1, 1, 1, 1, 0, stream, parameters, nullptr);
}

TEST(Driver, FindsTheDevice) {
  int number = 0;
  ASSERT_EQ(device().deviceGetCount(&number), rt::cuda::Success);
  EXPECT_GE(number, 1);
  ASSERT_EQ(device().deviceGetAttribute(&number, rt::cuda::WarpSize, 0), rt::cuda::Success);
  EXPECT_EQ(number, 32);
  ASSERT_EQ(device().deviceGetAttribute(&number, rt::cuda::ComputeCapabilityMajor, 0),
            rt::cuda::Success);
  EXPECT_GE(number, 8);
}

// A result in pinned memory is there after the wait; the interpreter shows that it need not be
// before.
TEST(Driver, WorksLate) {
  Buffer<uint32_t> memory(1);
  Code code(increment);
  void *host;
  rt::cuda::Stream stream;
  ASSERT_EQ(device().memHostAlloc(&host, 4, 0), rt::cuda::Success);
  ASSERT_EQ(device().streamCreate(&stream, rt::cuda::StreamNonBlocking), rt::cuda::Success);
  auto result = static_cast<volatile uint32_t *>(host);
  *result = 77;
  ASSERT_EQ(launchOn(code, stream, memory.address), rt::cuda::Success);
  ASSERT_EQ(device().copyToHostAsync(host, memory.address, 4, stream), rt::cuda::Success);
  if (onInterpreter()) {
    EXPECT_EQ(*result, 77u);
  }
  ASSERT_EQ(device().streamSynchronize(stream), rt::cuda::Success);
  EXPECT_EQ(*result, 1u);
  device().streamDestroy(stream);
  device().memFreeHost(host);
}

TEST(Driver, EventsOrderStreams) {
  Buffer<uint32_t> memory(1);
  Code code(increment);
  rt::cuda::Stream first, second;
  rt::cuda::Event event, end;
  device().streamCreate(&first, rt::cuda::StreamNonBlocking);
  device().streamCreate(&second, rt::cuda::StreamNonBlocking);
  device().eventCreate(&event, 0);
  device().eventCreate(&end, 0);
  ASSERT_EQ(device().fill32Async(memory.address, 41, 1, first), rt::cuda::Success);
  ASSERT_EQ(device().eventRecord(event, first), rt::cuda::Success);
  ASSERT_EQ(device().streamWaitEvent(second, event, 0), rt::cuda::Success);
  ASSERT_EQ(launchOn(code, second, memory.address), rt::cuda::Success);
  ASSERT_EQ(device().eventRecord(end, second), rt::cuda::Success);
  ASSERT_EQ(device().eventSynchronize(end), rt::cuda::Success);
  float milliseconds = -1;
  EXPECT_EQ(device().eventElapsedTime(&milliseconds, event, end), rt::cuda::Success);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(memory.values()[0], 42u);
  for (rt::cuda::Stream stream : {first, second})
    device().streamDestroy(stream);
  for (rt::cuda::Event one : {event, end})
    device().eventDestroy(one);
}

// Without an event, a stream that does not block finds what was there before.
TEST(Driver, StreamsDoNotWaitByThemselves) {
  if (!onInterpreter())
    GTEST_SKIP();
  Buffer<uint32_t> memory(1);
  rt::cuda::Stream first, second;
  device().streamCreate(&first, rt::cuda::StreamNonBlocking);
  device().streamCreate(&second, rt::cuda::StreamNonBlocking);
  device().fill32Async(memory.address, 41, 1, first);
  uint32_t found = 0;
  ASSERT_EQ(device().copyToHostAsync(&found, memory.address, 4, second), rt::cuda::Success);
  EXPECT_EQ(found, 0u);
  EXPECT_EQ(memory.values()[0], 0u); // nor does the default stream wait for them
  device().streamSynchronize(first);
  EXPECT_EQ(memory.values()[0], 41u);
  device().streamDestroy(first);
  device().streamDestroy(second);
}

TEST(Driver, RefusesUnknownInstructions) {
  if (!onInterpreter())
    GTEST_SKIP();
  for (auto [body, words] : std::vector<std::pair<std::string, std::string>>{
           {"frobnicate.b32 %r1, %r2;", "line 14 of kernel 'k': 'frobnicate' is not interpreted"},
           {"add.u32.wrong %r1, %r2, %r3;",
            "'.wrong' is not interpreted in `add.u32.wrong %r1, %r2, %r3`"},
           {"add.u32 %r1, %r2;", "the form with 2 operands"},
           {"add.u32 %r1, %r2, %r3, %r4;", "operand 4"},
           {"add.u32 %d1, %d2, %d3;", "a register of 64 bits for .u32"},
           {"add.f16x2 %h1, %h2, %h3;", "a register of 16 bits for .f16x2"},
           {"add.rz.f64 %d1, %d2, %d3;", "the rounding of .f64"},
           {"bra nowhere;", "the label 'nowhere'"},
           {"mov.u32 %r1, %unknown;", "operand 2"},
           {"call f;", "'call'"},
           {"ld.global.u32 %r1, %r2;", "not an address"},
           {"add.u32 %r1, %r2, %r3", "line 15: expected ';'"}}) {
    Code code(head() + kernel(1, body));
    EXPECT_NE(code.error.find(words), std::string::npos) << body << "\n" << code.error;
    EXPECT_EQ(code.error.find("CUDA_ERROR_INVALID_PTX"), 0u);
  }
  EXPECT_NE(Code("hello").error, "");
  EXPECT_NE(Code("").error, "");
  EXPECT_NE(Code(head() + ".visible .entry k() { .reg .b32 %r<3>;").error, "");
}

TEST(Driver, RefusesLaunches) {
  if (!onInterpreter())
    GTEST_SKIP();
  Buffer<uint32_t> memory(1);
  Code code(increment);
  auto refused = [&](Shape shape, const char *words) {
    rt::cuda::Result result = launch(code, "k", shape, memory.address);
    EXPECT_EQ(result, rt::cuda::InvalidValue);
    EXPECT_NE(message(result).find(words), std::string::npos) << message(result);
  };
  refused({1, 0}, "0 threads");
  refused({1, 2048}, "2048 threads");
  refused({0, 32}, "a grid of 0");
  rt::cuda::DevicePointer address = memory.address;
  void *parameters[] = {&address};
  EXPECT_EQ(
      device().launch(code.function("k"), 1, 1, 1, 32, 1, 1, 50000, nullptr, parameters, nullptr),
      rt::cuda::InvalidValue);
  EXPECT_NE(message(rt::cuda::InvalidValue).find("cuFuncSetAttribute"), std::string::npos);
  rt::cuda::Function function;
  EXPECT_EQ(device().moduleGetFunction(&function, code.module, "other"), rt::cuda::NotFound);
  uint32_t word;
  EXPECT_EQ(device().copyToHost(&word, memory.address + 4, 4), rt::cuda::InvalidValue);
  EXPECT_EQ(device().memFree(memory.address + 4), rt::cuda::InvalidValue);
}

TEST(Driver, ChecksTensorMaps) {
  Buffer<uint32_t> memory(1024);
  auto encode = [&](uint64_t stride, uint32_t box, rt::cuda::TensorMapSwizzle swizzle) {
    rt::cuda::TensorMapObject map;
    uint64_t extents[] = {64, 16};
    uint32_t boxes[] = {box, 8}, ones[] = {1, 1};
    return device().tensorMapEncodeTiled(&map, rt::cuda::TensorFloat16, 2,
                                         reinterpret_cast<void *>(memory.address), extents, &stride,
                                         boxes, ones, 0, swizzle, 0, 0);
  };
  EXPECT_EQ(encode(128, 64, rt::cuda::Swizzle128), rt::cuda::Success);
  EXPECT_EQ(encode(120, 64, rt::cuda::Swizzle128), rt::cuda::InvalidValue);
  EXPECT_EQ(encode(128, 64, rt::cuda::Swizzle64), rt::cuda::InvalidValue);
  EXPECT_EQ(encode(128, 512, rt::cuda::SwizzleNone), rt::cuda::InvalidValue);
  EXPECT_EQ(encode(128, 4, rt::cuda::SwizzleNone), rt::cuda::InvalidValue);
}

// Blocks of a cluster read each other's shared memory, in order through the barrier of the cluster.
TEST(Driver, LaunchesClusters) {
  Buffer<uint32_t> out(8);
  const std::string body =
      "mov.u32 %r1, word;\nmov.u32 %r2, %cluster_ctarank;\nmov.u32 %r3, %ctaid.x;\nst.shared.u32 "
      "[%r1], %r3;\n"
      "barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\nxor.b32 %r4, %r2, 1;\n"
      "mapa.shared::cluster.u32 %r5, %r1, %r4;\nld.shared::cluster.u32 %r6, [%r5];\n"
      "barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n"
      "mul.wide.u32 %d1, %r3, 4;\nadd.u64 %d0, %d0, %d1;\nst.global.u32 [%d0], %r6;";
  auto run = [&](const std::string &text) {
    Code code(head("sm_90") + kernel(1, text, ".shared .align 4 .u32 word;\n"));
    rt::cuda::LaunchAttribute cluster{rt::cuda::LaunchClusterDimension, {}, {}};
    cluster.value.clusterDimension[0] = 2;
    cluster.value.clusterDimension[1] = cluster.value.clusterDimension[2] = 1;
    rt::cuda::LaunchConfig config{{8, 1, 1}, {1, 1, 1}, 0, nullptr, &cluster, 1};
    rt::cuda::DevicePointer address = out.address;
    void *parameters[] = {&address};
    rt::cuda::Result result = device().launchEx(&config, code.function("k"), parameters, nullptr);
    return result == rt::cuda::Success ? device().synchronize() : result;
  };
  ASSERT_EQ(run(body), rt::cuda::Success);
  EXPECT_EQ(out.values(), (std::vector<uint32_t>{1, 0, 3, 2, 5, 4, 7, 6}));
  if (!onInterpreter())
    return;
  std::string racing = body;
  racing.erase(racing.find("barrier.cluster.arrive"),
               racing.find("xor.b32") - racing.find("barrier.cluster.arrive"));
  EXPECT_EQ(run(racing), rt::cuda::LaunchFailed);
  device().primaryReset(0);
}

} // namespace
