//===- TestJit.h - Emit, link and load kernels in a unit test ---------------------------------===//
#ifndef ATTUNE_TEST_CODEGEN_CPU_TESTJIT_H
#define ATTUNE_TEST_CODEGEN_CPU_TESTJIT_H

#include "attune/codegen/cpu/Emit.h"
#include "attune/codegen/cpu/KernelBuilder.h"
#include "attune/codegen/cpu/Link.h"
#include "attune/dialect/Attune.h"
#include "attune/runtime/kernel_abi.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/TargetSelect.h"
#include "gtest/gtest.h"

#include <atomic>
#include <dlfcn.h>
#include <thread>
#include <vector>

namespace attune::test {

/// An attune_ctx that runs tasks on `threads` fresh threads, in an order that depends on them.
struct TestContext : attune_ctx {
  explicit TestContext(unsigned threads = 1) {
    size = sizeof(attune_ctx);
    this->threads = threads;
    parallel_for = run;
  }
  static int32_t run(attune_ctx *ctx, int64_t n, attune_task_fn fn, void *const *buffers,
                     const int64_t *dims) {
    std::atomic<int64_t> next{0};
    std::vector<int32_t> results(n, 0);
    auto work = [&](int64_t worker) {
      for (int64_t task; (task = next.fetch_add(1)) < n;)
        results[task] = fn(ctx, buffers, dims, task, worker);
    };
    std::vector<std::thread> others;
    for (unsigned worker = 1; worker < ctx->threads; ++worker)
      others.emplace_back(work, worker);
    work(0);
    for (std::thread &thread : others)
      thread.join();
    for (int32_t result : results)
      if (result)
        return result;
    return 0;
  }
};

inline std::unique_ptr<mlir::MLIRContext> makeContext() {
  mlir::DialectRegistry registry;
  attune::registerAllDialects(registry);
  auto context =
      std::make_unique<mlir::MLIRContext>(registry, mlir::MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

/// A loaded shared object made from `module`; the functions live as long as it does.
class Library {
public:
  Library(mlir::ModuleOp module, const codegen::CpuTarget &target,
          llvm::ArrayRef<llvm::StringRef> symbols, codegen::Bitcodes bitcode = {}) {
    if (llvm::Error error = codegen::lowerToLLVM(module, target)) {
      ADD_FAILURE() << llvm::toString(std::move(error));
      return;
    }
    auto object = llvm::cantFail(codegen::emitObject(module, target, bitcode));
    llvm::SmallString<128> path;
    llvm::sys::fs::createTemporaryFile("attune-test", "so", path);
    llvm::cantFail(
        codegen::linkShared({llvm::StringRef(object.data(), object.size())}, symbols, path));
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(handle, nullptr) << dlerror();
    llvm::sys::fs::remove(path);
  }
  ~Library() {
    if (handle)
      dlclose(handle);
  }
  Library(const Library &) = delete;
  attune_kernel_fn operator[](const char *symbol) const {
    return handle ? reinterpret_cast<attune_kernel_fn>(dlsym(handle, symbol)) : nullptr;
  }

private:
  void *handle = nullptr;
};

/// Targets whose code this machine can run.
inline std::vector<codegen::CpuTarget> runnableTargets() {
  std::vector<codegen::CpuTarget> targets;
  int64_t most = llvm::cantFail(codegen::CpuTarget::parse("host")).vectorBits;
  for (const char *name : {"x86-64", "x86-64-v3", "x86-64-v4"}) {
    auto target = llvm::cantFail(codegen::CpuTarget::parse(name));
    if (target.vectorBits <= most)
      targets.push_back(target);
  }
  return targets;
}

} // namespace attune::test
#endif
