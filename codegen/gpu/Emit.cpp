#include "attune/codegen/gpu/Emit.h"

#include "attune/codegen/cpu/Lower.h"
#include "attune/codegen/gpu/Math.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <mutex>

using namespace mlir;

namespace attune::codegen {

namespace {

llvm::Expected<std::unique_ptr<llvm::TargetMachine>> makeMachine(const GpuTarget &target) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string error;
  const llvm::Target *llvmTarget = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget)
    return internalError("no code generator for GPUs", error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Fast; // contraction; no other fast-math
  std::unique_ptr<llvm::TargetMachine> machine(
      llvmTarget->createTargetMachine(triple, target.chip, target.ptx, options, std::nullopt,
                                      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  if (!machine)
    return internalError("no target machine for", target.chip);
  return machine;
}

llvm::Expected<std::unique_ptr<llvm::Module>> translate(ModuleOp module, llvm::LLVMContext &context,
                                                        llvm::TargetMachine &machine) {
  registerBuiltinDialectTranslation(*module.getContext());
  registerLLVMDialectTranslation(*module.getContext());
  registerNVVMDialectTranslation(*module.getContext());
  Messages messages(module.getContext());
  std::unique_ptr<llvm::Module> device = translateModuleToLLVMIR(module, context, "attune");
  if (!device)
    return internalError("device functions do not translate to LLVM IR", messages.text);
  device->setDataLayout(machine.createDataLayout());
  device->setTargetTriple(machine.getTargetTriple());
  if (llvm::Error error = makeOptimizingTransformer(3, 0, &machine)(device.get()))
    return error;
  // A call that is left would be to a library that nobody links.
  for (const llvm::Function &function : *device)
    if (function.isDeclaration() && !function.isIntrinsic() && !function.use_empty())
      return internalError("device functions call", function.getName());
  return device;
}

} // namespace

llvm::Expected<std::string> emitPtx(ModuleOp module, const GpuTarget &target) {
  if (llvm::Error error = lowerFunctions(module, createExpandDeviceMathPass(),
                                         createConvertNVVMToLLVMPass(), "device functions"))
    return error;
  auto machine = makeMachine(target);
  if (!machine)
    return machine.takeError();
  llvm::LLVMContext context;
  auto device = translate(module, context, **machine);
  if (!device)
    return device.takeError();
  auto text = emitFile(**device, **machine, llvm::CodeGenFileType::AssemblyFile);
  if (!text)
    return text.takeError();
  return std::string(text->begin(), text->end());
}

} // namespace attune::codegen
