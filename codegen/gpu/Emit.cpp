#include "attune/codegen/gpu/Emit.h"

#include "attune/codegen/gpu/Math.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <mutex>

using namespace mlir;

namespace attune::codegen {

namespace {

llvm::Error internalError(const llvm::Twine &what, llvm::StringRef details) {
  return llvm::createStringError("internal error: " + what + (details.empty() ? "" : ": ") +
                                 details);
}

/// The messages of everything that fails while it lives.
class Messages {
public:
  explicit Messages(MLIRContext *context)
      : handler(context, [this](Diagnostic &diagnostic) {
          text += (text.empty() ? "" : "; ") + diagnostic.str();
          return success();
        }) {}
  std::string text;

private:
  ScopedDiagnosticHandler handler;
};

llvm::Error lower(ModuleOp module) {
  Messages messages(module.getContext());
  PassManager pm(module.getContext());
  pm.addPass(math::createMathExtendToSupportedTypes());
  pm.addPass(createExpandDeviceMathPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createConvertVectorToSCFPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createConvertNVVMToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  if (failed(pm.run(module)))
    return internalError("device functions do not lower to LLVM", messages.text);

  llvm::SetVector<StringRef> left;
  module.walk([&](Operation *op) {
    if (!isa<ModuleOp>(op) &&
        !isa_and_nonnull<LLVM::LLVMDialect, NVVM::NVVMDialect>(op->getDialect()))
      left.insert(op->getName().getStringRef());
  });
  if (!left.empty())
    return internalError("left after lowering device functions", llvm::join(left, ", "));
  return llvm::Error::success();
}

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
  if (llvm::Error error = lower(module))
    return error;
  auto machine = makeMachine(target);
  if (!machine)
    return machine.takeError();
  llvm::LLVMContext context;
  auto device = translate(module, context, **machine);
  if (!device)
    return device.takeError();
  llvm::SmallVector<char> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager passes;
  if ((*machine)->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::AssemblyFile))
    return internalError("LLVM writes no PTX", target.chip);
  passes.run(**device);
  return std::string(text.begin(), text.end());
}

} // namespace attune::codegen
