#include "attune/codegen/cpu/Emit.h"

#include "attune/codegen/cpu/Bitcode.h"
#include "attune/codegen/cpu/Lower.h"
#include "attune/codegen/cpu/Math.h"
#include "attune/codegen/cpu/SplitModule.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"

#include <mutex>

using namespace mlir;

namespace attune::codegen {

llvm::Error lowerToLLVM(ModuleOp module, const CpuTarget &target) {
  return lowerFunctions(module, createExpandMathPass(target), createConvertMathToLibmPass(),
                        "kernels");
}

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>> makeMachine(const CpuTarget &target) {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::InitializeNativeTargetAsmParser();
  });
  llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  std::string error;
  const llvm::Target *llvmTarget = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget)
    return internalError("no code generator", error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Fast; // contraction; no other fast-math
  std::unique_ptr<llvm::TargetMachine> machine(llvmTarget->createTargetMachine(
      triple, target.cpu, target.features, options, llvm::Reloc::PIC_, std::nullopt,
      llvm::CodeGenOptLevel::Aggressive));
  if (!machine)
    return internalError("no target machine for", target.cpu);
  return machine;
}

static void setTargetAttributes(llvm::Module &module, const CpuTarget &target) {
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("target-features", target.features);
    function.addFnAttr("prefer-vector-width", std::to_string(target.vectorBits));
    function.addFnAttr("no-trapping-math", "true");
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
}

llvm::Error optimise(llvm::Module &module, const CpuTarget &target) {
  auto machine = makeMachine(target);
  if (!machine)
    return machine.takeError();
  setTargetAttributes(module, target);
  return makeOptimizingTransformer(3, 0, machine->get())(&module);
}

/// Not optimised yet.
static llvm::Expected<std::unique_ptr<llvm::Module>>
toLLVMIR(ModuleOp module, llvm::LLVMContext &context, const CpuTarget &target, Bitcodes bitcode) {
  auto machine = makeMachine(target);
  if (!machine)
    return machine.takeError();
  registerBuiltinDialectTranslation(*module.getContext());
  registerLLVMDialectTranslation(*module.getContext());
  Messages messages(module.getContext());
  std::unique_ptr<llvm::Module> llvmModule = translateModuleToLLVMIR(module, context, "attune");
  if (!llvmModule)
    return internalError("kernels do not translate to LLVM IR", messages.text);
  llvmModule->setDataLayout((*machine)->createDataLayout());
  llvmModule->setTargetTriple((*machine)->getTargetTriple());
  if (llvm::Error error = linkBitcode(*llvmModule, bitcode))
    return error;
  return llvmModule;
}

llvm::Expected<std::unique_ptr<llvm::Module>> translate(ModuleOp module, llvm::LLVMContext &context,
                                                        const CpuTarget &target, Bitcodes bitcode) {
  auto llvmModule = toLLVMIR(module, context, target, bitcode);
  if (!llvmModule)
    return llvmModule.takeError();
  if (llvm::Error error = optimise(**llvmModule, target))
    return error;
  return llvmModule;
}

static llvm::Expected<llvm::SmallVector<char>>
emitFile(llvm::Module &module, const CpuTarget &target, llvm::CodeGenFileType type) {
  auto machine = makeMachine(target);
  if (!machine)
    return machine.takeError();
  return emitFile(module, **machine, type);
}

llvm::Expected<llvm::SmallVector<char>> emitObject(llvm::Module &module, const CpuTarget &target) {
  return emitFile(module, target, llvm::CodeGenFileType::ObjectFile);
}

llvm::Expected<llvm::SmallVector<char>> emitObject(ModuleOp module, const CpuTarget &target,
                                                   Bitcodes bitcode) {
  llvm::LLVMContext context;
  auto llvmModule = translate(module, context, target, bitcode);
  if (!llvmModule)
    return llvmModule.takeError();
  return emitObject(**llvmModule, target);
}

static llvm::Expected<llvm::SmallVector<char>> emitPart(const std::string &bitcode,
                                                        const CpuTarget &target) {
  llvm::LLVMContext context;
  auto part = llvm::parseBitcodeFile(llvm::MemoryBufferRef(bitcode, "attune"), context);
  if (!part)
    return part.takeError();
  if (llvm::Error error = optimise(**part, target))
    return error;
  return emitObject(**part, target);
}

llvm::Expected<Objects> emitObjects(ModuleOp module, const CpuTarget &target, Bitcodes bitcode,
                                    llvm::ThreadPoolInterface *pool) {
  std::vector<std::string> parts;
  {
    llvm::LLVMContext context;
    auto llvmModule = toLLVMIR(module, context, target, bitcode);
    if (!llvmModule)
      return llvmModule.takeError();
    parts = splitModule(std::move(*llvmModule));
  }
  Objects objects(parts.size());
  std::mutex mutex;
  llvm::Error errors = llvm::Error::success();
  auto emit = [&](size_t number) {
    auto object = emitPart(parts[number], target);
    if (object) {
      objects[number] = std::move(*object);
      return;
    }
    std::lock_guard lock(mutex);
    errors = llvm::joinErrors(std::move(errors), object.takeError());
  };
  for (size_t number = 0; number < parts.size(); ++number)
    if (pool)
      pool->async(emit, number);
    else
      emit(number);
  if (pool)
    pool->wait();
  if (errors)
    return std::move(errors);
  return objects;
}

llvm::Expected<std::string> emitAssembly(ModuleOp module, const CpuTarget &target,
                                         Bitcodes bitcode) {
  llvm::LLVMContext context;
  auto llvmModule = translate(module, context, target, bitcode);
  if (!llvmModule)
    return llvmModule.takeError();
  auto text = emitFile(**llvmModule, target, llvm::CodeGenFileType::AssemblyFile);
  if (!text)
    return text.takeError();
  return std::string(text->begin(), text->end());
}

llvm::Expected<std::string> emitLLVMIR(ModuleOp module, const CpuTarget &target, Bitcodes bitcode) {
  llvm::LLVMContext context;
  auto llvmModule = translate(module, context, target, bitcode);
  if (!llvmModule)
    return llvmModule.takeError();
  std::string text;
  llvm::raw_string_ostream stream(text);
  (*llvmModule)->print(stream, nullptr);
  return text;
}

} // namespace attune::codegen
