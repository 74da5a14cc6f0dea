#include "attune/codegen/cpu/Lower.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;

namespace attune::codegen {

llvm::Error internalError(const llvm::Twine &what, llvm::StringRef details) {
  return llvm::createStringError("internal error: " + what + (details.empty() ? "" : ": ") +
                                 details);
}

Messages::Messages(MLIRContext *context)
    : handler(context, [this](Diagnostic &diagnostic) {
        text += (text.empty() ? "" : "; ") + diagnostic.str();
        return success();
      }) {}

llvm::Error lowerFunctions(ModuleOp module, std::unique_ptr<Pass> expandMath,
                           std::unique_ptr<Pass> lowerRest, StringRef subject) {
  Messages messages(module.getContext());
  PassManager pm(module.getContext());
  OpPassManager &functions = pm.nestAny(); // several at a time; device functions are LLVM's
  functions.addPass(math::createMathExtendToSupportedTypes());
  functions.addPass(std::move(expandMath));
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
  functions.addPass(createLoopInvariantCodeMotionPass());
  functions.addPass(createConvertVectorToSCFPass());
  functions.addPass(createLowerAffinePass());
  functions.addPass(createSCFToControlFlowPass());
  functions.addPass(memref::createExpandStridedMetadataPass());
  functions.addPass(createLowerAffinePass());
  functions.addPass(createConvertVectorToLLVMPass());
  functions.addPass(createConvertMathToLLVMPass());
  pm.addPass(std::move(lowerRest));
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  if (failed(pm.run(module)))
    return internalError(subject + " do not lower to LLVM", messages.text);

  // func-to-llvm leaves what it cannot convert without a message.
  llvm::SetVector<StringRef> left;
  module.walk([&](Operation *op) {
    if (!isa<ModuleOp>(op) &&
        !isa_and_nonnull<LLVM::LLVMDialect, NVVM::NVVMDialect>(op->getDialect()))
      left.insert(op->getName().getStringRef());
  });
  if (!left.empty())
    return internalError("left after lowering " + subject, llvm::join(left, ", "));
  return llvm::Error::success();
}

llvm::Expected<llvm::SmallVector<char>> emitFile(llvm::Module &module, llvm::TargetMachine &machine,
                                                 llvm::CodeGenFileType type) {
  llvm::SmallVector<char> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type))
    return internalError("LLVM writes no files of this kind for", machine.getTargetCPU());
  passes.run(module);
  return bytes;
}

} // namespace attune::codegen
