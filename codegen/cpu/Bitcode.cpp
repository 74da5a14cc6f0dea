#include "attune/codegen/cpu/Bitcode.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

namespace attune::codegen {

/// What Halide code calls, on the kernel ABI. Its context is { ctx, scratch buffers, worker }; a
/// task gets a copy with its own worker. `attune_ctx` has `parallel_for` at byte 8 (kernel_abi.h).
static constexpr const char *kHooks = R"(
define i32 @attune_halide_task(ptr %ctx, ptr %frame, ptr %dims, i64 %task, i64 %worker) {
  %own = alloca [3 x i64], align 8
  %outer = load ptr, ptr %frame, align 8
  call void @llvm.memcpy.p0.p0.i64(ptr align 8 %own, ptr align 8 %outer, i64 16, i1 false)
  %own.worker = getelementptr i8, ptr %own, i64 16
  store i64 %worker, ptr %own.worker, align 8
  %frame.function = getelementptr i8, ptr %frame, i64 8
  %function = load ptr, ptr %frame.function, align 8
  %frame.closure = getelementptr i8, ptr %frame, i64 16
  %closure = load ptr, ptr %frame.closure, align 8
  %frame.first = getelementptr i8, ptr %frame, i64 24
  %first = load i32, ptr %frame.first, align 8
  %number = trunc i64 %task to i32
  %at = add i32 %first, %number
  %code = call i32 %function(ptr %own, i32 %at, ptr %closure)
  ret i32 %code
}

define i32 @halide_do_par_for(ptr %context, ptr %function, i32 %first, i32 %count,
                                       ptr %closure) {
  %frame = alloca [4 x i64], align 8
  store ptr %context, ptr %frame, align 8
  %frame.function = getelementptr i8, ptr %frame, i64 8
  store ptr %function, ptr %frame.function, align 8
  %frame.closure = getelementptr i8, ptr %frame, i64 16
  store ptr %closure, ptr %frame.closure, align 8
  %frame.first = getelementptr i8, ptr %frame, i64 24
  store i32 %first, ptr %frame.first, align 8
  %ctx = load ptr, ptr %context, align 8
  %place = getelementptr i8, ptr %ctx, i64 8
  %run = load ptr, ptr %place, align 8
  %tasks = sext i32 %count to i64
  %code = call i32 %run(ptr %ctx, i64 %tasks, ptr @attune_halide_task, ptr %frame, ptr null)
  ret i32 %code
}

define ptr @attune_halide_scratch(ptr %context, i32 %number, i64 %bytes) {
  %buffers.place = getelementptr i8, ptr %context, i64 8
  %buffers = load ptr, ptr %buffers.place, align 8
  %place = getelementptr ptr, ptr %buffers, i32 %number
  %buffer = load ptr, ptr %place, align 8
  %worker.place = getelementptr i8, ptr %context, i64 16
  %worker = load i64, ptr %worker.place, align 8
  %offset = mul i64 %worker, %bytes
  %own = getelementptr i8, ptr %buffer, i64 %offset
  %address = ptrtoint ptr %own to i64
  %up = add i64 %address, 127
  %aligned = and i64 %up, -128
  %result = inttoptr i64 %aligned to ptr
  ret ptr %result
}

define void @halide_free(ptr %context, ptr %memory) {
  ret void
}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
)";

/// Attributes of a function that name its target or how Halide compiles; the module has its own.
static constexpr const char *kForeignAttributes[] = {
    "target-cpu",       "target-features",    "tune-cpu",    "reciprocal-estimates",
    "no-jump-tables",   "frame-pointer",      "no-builtins", "stack-protector-buffer-size",
    "no-trapping-math", "prefer-vector-width"};

static llvm::Error failed(const llvm::Twine &what) {
  return llvm::createStringError("internal error: " + what);
}

static void adopt(llvm::Module &guest, llvm::Module &host) {
  guest.setDataLayout(host.getDataLayout());
  guest.setTargetTriple(host.getTargetTriple());
  for (llvm::Function &function : guest) {
    for (const char *attribute : kForeignAttributes)
      function.removeFnAttr(attribute);
    function.removeFnAttr(llvm::Attribute::NoBuiltin);
    for (llvm::BasicBlock &block : function)
      for (llvm::Instruction &instruction : block)
        if (auto *call = llvm::dyn_cast<llvm::CallBase>(&instruction))
          call->removeFnAttr(llvm::Attribute::NoBuiltin);
  }
  // Flags of two compilers that say the same in different words do not merge.
  if (llvm::NamedMDNode *flags = guest.getModuleFlagsMetadata())
    guest.eraseNamedMetadata(flags);
}

/// The functions that came in are for callers inside only.
static void internalise(llvm::Module &module, llvm::ArrayRef<std::string> names) {
  for (const std::string &name : names)
    if (llvm::Function *function = module.getFunction(name))
      function->setLinkage(llvm::GlobalValue::InternalLinkage);
}

llvm::Error linkBitcode(llvm::Module &module, llvm::ArrayRef<std::string> bitcodes) {
  if (bitcodes.empty())
    return llvm::Error::success();
  llvm::Linker linker(module);
  std::vector<std::string> defined;
  for (const std::string &bitcode : bitcodes) {
    auto guest =
        llvm::parseBitcodeFile(llvm::MemoryBufferRef(bitcode, "halide"), module.getContext());
    if (!guest)
      return guest.takeError();
    adopt(**guest, module);
    for (llvm::Function &function : **guest)
      if (!function.isDeclaration() && !function.hasLocalLinkage())
        defined.push_back(function.getName().str());
    if (linker.linkInModule(std::move(*guest)))
      return failed("bitcode of a Halide kernel does not link");
  }
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> hooks =
      llvm::parseAssemblyString(kHooks, diagnostic, module.getContext());
  if (!hooks)
    return failed("the hooks of Halide kernels do not parse: " + diagnostic.getMessage());
  std::vector<std::string> hookNames;
  for (llvm::Function &hook : *hooks)
    if (!hook.isDeclaration())
      hookNames.push_back(hook.getName().str());
  adopt(*hooks, module);
  if (linker.linkInModule(std::move(hooks)))
    return failed("the hooks of Halide kernels do not link");
  internalise(module, defined);
  internalise(module, hookNames);
  return llvm::Error::success();
}

} // namespace attune::codegen
