#include "attune/codegen/cpu/Bitcode.h"

#include "attune/codegen/cpu/Hooks.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

namespace attune::codegen {

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
  for (const char *text : {kHostHooks, kDeviceHooks}) {
    llvm::SMDiagnostic diagnostic;
    std::unique_ptr<llvm::Module> hooks =
        llvm::parseAssemblyString(text, diagnostic, module.getContext());
    if (!hooks)
      return failed("the hooks of Halide kernels do not parse: " + diagnostic.getMessage());
    for (llvm::Function &hook : *hooks)
      if (!hook.isDeclaration())
        defined.push_back(hook.getName().str());
    adopt(*hooks, module);
    if (linker.linkInModule(std::move(hooks)))
      return failed("the hooks of Halide kernels do not link");
  }
  internalise(module, defined);
  return llvm::Error::success();
}

} // namespace attune::codegen
