#include "TestJit.h"

using namespace mlir;
using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

TEST(Target, Names) {
  EXPECT_EQ(llvm::cantFail(CpuTarget::parse("x86-64")).vectorBits, 128);
  EXPECT_FALSE(llvm::cantFail(CpuTarget::parse("x86-64-v2")).fma);
  auto v3 = llvm::cantFail(CpuTarget::parse("x86-64-v3"));
  EXPECT_EQ(v3.vectorBits, 256);
  EXPECT_EQ(v3.registers, 16);
  EXPECT_TRUE(v3.fma);
  auto v4 = llvm::cantFail(CpuTarget::parse("x86-64-v4"));
  EXPECT_EQ(v4.vectorBits, 512);
  EXPECT_EQ(v4.registers, 32);
  EXPECT_TRUE(v4.maskedMemory);
  EXPECT_EQ(llvm::cantFail(CpuTarget::parse("haswell")).vectorBits, 256);
  EXPECT_EQ(llvm::cantFail(CpuTarget::parse("host")).features,
            llvm::cantFail(CpuTarget::parse("host")).features);
}

TEST(Target, UnknownName) {
  for (const char *name : {"", "pentium-xyz", "help", "x86-64-v9"}) {
    auto target = CpuTarget::parse(name);
    EXPECT_FALSE(bool(target)) << name;
    EXPECT_NE(llvm::toString(target.takeError()).find("unknown CPU"), std::string::npos);
  }
}

/// y[i] = x[i] * 2 + 1 in tasks of one element, then a memref loop on the stack sums y.
static void buildScale(ModuleOp module, const CpuTarget &target) {
  KernelBuilder kb(module.getLoc(), target);
  auto task = kb.task(module, "scale_task", [&](const KernelArgs &args) -> Value {
    Value x = kb.load(kb.f32(), kb.buffer(args, 0), args.task);
    Value y = arith::AddFOp::create(
        kb.b, kb.loc, arith::MulFOp::create(kb.b, kb.loc, x, kb.constF(2)).getResult(),
        kb.constF(1));
    kb.store(y, kb.buffer(args, 1), args.task);
    return {};
  });
  kb.kernel(module, "scale",
            [&](const KernelArgs &args) { return kb.parallelFor(args, kb.dim(args, 0), task); });
}

TEST(Emit, RunsTasks) {
  auto context = makeContext();
  for (const CpuTarget &target : runnableTargets()) {
    auto module = ModuleOp::create(UnknownLoc::get(context.get()));
    buildScale(module, target);
    Library library(module, target, {"scale"});
    ASSERT_NE(library["scale"], nullptr);
    EXPECT_EQ(library["scale_task"], nullptr);
    std::vector<float> x(100), y(100, -1);
    for (int i = 0; i < 100; ++i)
      x[i] = i;
    void *buffers[] = {x.data(), y.data()};
    int64_t dims[] = {99};
    TestContext ctx(2);
    EXPECT_EQ(library["scale"](&ctx, buffers, dims), 0);
    for (int i = 0; i < 99; ++i)
      EXPECT_EQ(y[i], 2 * i + 1);
    EXPECT_EQ(y[99], -1);
    module.erase();
  }
}

TEST(Emit, MemrefLoops) {
  auto context = makeContext();
  auto target = llvm::cantFail(CpuTarget::parse("x86-64"));
  auto module = ModuleOp::create(UnknownLoc::get(context.get()));
  KernelBuilder kb(module.getLoc(), target);
  kb.kernel(module, "sum", [&](const KernelArgs &args) -> Value {
    auto type = MemRefType::get({4, 8}, kb.f32());
    Value memory = memref::AllocaOp::create(kb.b, kb.loc, type);
    Value view = memref::SubViewOp::create(kb.b, kb.loc, memory, ArrayRef<int64_t>{0, 2},
                                           ArrayRef<int64_t>{4, 3}, ArrayRef<int64_t>{1, 2});
    auto visit = [&](auto body) {
      kb.forLoop(kb.idx(0), kb.idx(4), 1, [&](Value i) {
        kb.forLoop(kb.idx(0), kb.idx(3), 1, [&](Value j) { body(i, j); });
      });
    };
    Value source = kb.buffer(args, 0), result = kb.buffer(args, 1);
    visit([&](Value i, Value j) {
      memref::StoreOp::create(kb.b, kb.loc, kb.load(kb.f32(), source, kb.add(kb.mul(i, 3), j)),
                              view, ValueRange{i, j});
    });
    visit([&](Value i, Value j) {
      Value sum =
          arith::AddFOp::create(kb.b, kb.loc, kb.load(kb.f32(), result),
                                memref::LoadOp::create(kb.b, kb.loc, view, ValueRange{i, j}));
      kb.store(sum, result);
    });
    return {};
  });
  Library library(module, target, {"sum"});
  std::vector<float> x(12, 1.5f);
  float sum = 0;
  void *buffers[] = {x.data(), &sum};
  TestContext ctx;
  EXPECT_EQ(library["sum"](&ctx, buffers, nullptr), 0);
  EXPECT_EQ(sum, 18.f);
  module.erase();
}

TEST(Emit, ReportsWhatDoesNotLower) {
  auto context = makeContext();
  auto target = llvm::cantFail(CpuTarget::parse("x86-64"));
  auto module = ModuleOp::create(UnknownLoc::get(context.get()));
  KernelBuilder kb(module.getLoc(), target);
  kb.kernel(module, "bad", [&](const KernelArgs &args) -> Value {
    Value tensor = tensor::EmptyOp::create(kb.b, kb.loc, ArrayRef<int64_t>{4}, kb.f32());
    kb.store(tensor::ExtractOp::create(kb.b, kb.loc, tensor, kb.idx(1)), kb.buffer(args, 0));
    return {};
  });
  std::string message = llvm::toString(lowerToLLVM(module, target));
  EXPECT_NE(message.find("internal error"), std::string::npos);
  EXPECT_NE(message.find("tensor."), std::string::npos) << message;
  module.erase();
}

TEST(Link, FailureLeavesNoFile) {
  std::string path = testing::TempDir() + "attune-link-failure.so";
  llvm::Error error = linkShared({"not an object"}, {"f"}, path);
  EXPECT_TRUE(bool(error));
  EXPECT_NE(llvm::toString(std::move(error)).find("cannot link"), std::string::npos);
  EXPECT_FALSE(llvm::sys::fs::exists(path));
}
