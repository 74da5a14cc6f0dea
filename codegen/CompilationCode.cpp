#include "attune/codegen/Artifact.h"
#include "attune/codegen/Compilation.h"
#include "attune/codegen/ExportProgram.h"
#include "attune/support/WriteFile.h"

#include "mlir/IR/Verifier.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/Threading.h"

using namespace mlir;

namespace attune {

static llvm::Error userError(llvm::Error error) {
  return llvm::make_error<CompileError>(CompileError::Kind::User, llvm::toString(std::move(error)));
}

static llvm::Error internalError(llvm::Error error) {
  return llvm::make_error<CompileError>(CompileError::Kind::Internal,
                                        llvm::toString(std::move(error)));
}

std::vector<CompileReport::Price> Compilation::pricesOf(KernelOp kernel) const {
  std::vector<CompileReport::Price> prices;
  if (!options.reference)
    for (const codegen::TargetBackend::Price &price : backend->prices(kernel))
      prices.push_back({price.backend.str(), price.emitter.str(), price.seconds * 1e3});
  return prices;
}

void Compilation::reportKernels(std::vector<std::vector<CompileReport::Price>> prices) {
  report.kernelCalls = llvm::count_if(program->steps, [](const auto &step) {
    return step.kind == codegen::Program::Step::Kind::Kernel;
  });
  auto next = prices.begin();
  for (const codegen::Program::Kernel &kernel : program->kernels)
    report.kernels.push_back({kernel.name, kernel.emitter, kernel.backend, kernel.hash,
                              kernel.nodes, std::move(*next++)});
  report.weightBytes = program->weightBytes;
  report.decisions = decisions.list();
}

llvm::Error Compilation::lowerKernels() {
  auto func = module->lookupSymbol<func::FuncOp>("main");
  if (!func)
    return llvm::make_error<CompileError>(CompileError::Kind::User,
                                          "the module has no function `main`");
  Timer timer(report, "lower");
  std::vector<std::vector<CompileReport::Price>> prices;
  auto choose = [&](KernelOp kernel) {
    prices.push_back(pricesOf(kernel));
    return backend->choose(kernel, options.reference);
  };
  auto emitted = codegen::emitKernels(func, choose, backend->target());
  if (failed(emitted))
    return diagnostics.take("lower");
  kernels = std::move(*emitted);
  codegen::addNote(*kernels.module);
  if (failed(verify(*kernels.module)))
    return diagnostics.take("lower");
  auto exported = codegen::exportProgram(func, kernels.kernels, kernels.kernelOf);
  if (failed(exported))
    return diagnostics.take("lower");
  program = std::move(*exported);
  program->model = module->getName().value_or("").str();
  program->target = backend->machine().str();
  for (KernelOp kernel : func.getOps<KernelOp>())
    calls.push_back(
        {kernel, backend->named(kernels.kernels[kernels.kernelOf.lookup(kernel)].info.emitter)});
  reportKernels(std::move(prices));
  return llvm::Error::success();
}

llvm::Error Compilation::lower(StringRef model) {
  if (llvm::Error error = runStages(model))
    return error;
  return lowerKernels();
}

llvm::Expected<ModelCost> Compilation::predict(const CostRequest &request) const {
  if (llvm::any_of(calls, [](const auto &call) { return !call.emitter; }))
    return llvm::make_error<CompileError>(CompileError::Kind::User,
                                          "unsupported: predictions are for CPUs");
  auto cost = codegen::predict(*program, calls, backend->target(), *oracle, request);
  if (!cost)
    return userError(cost.takeError());
  return cost;
}

static llvm::Error writeContents(StringRef path, StringRef contents) {
  if (llvm::Error error = writeFile(path, [&](llvm::raw_ostream &os) { os << contents; }))
    return userError(std::move(error));
  return llvm::Error::success();
}

llvm::Error Compilation::generate(StringRef output) {
  Timer timer(report, "emit");
  llvm::Expected<std::string> device = backend->finish(*kernels.module);
  if (!device)
    return internalError(device.takeError());
  if (options.emit == EmitKind::PTX)
    return writeContents(output, *device);
  // Passes before this one report remarks, in order.
  std::unique_ptr<llvm::ThreadPoolInterface> pool;
  if (options.jobs != 1) {
    llvm::ThreadPoolStrategy strategy = llvm::hardware_concurrency(options.jobs);
    strategy.Limit = true; // to the processors that there are
    pool = std::make_unique<llvm::DefaultThreadPool>(strategy);
    context.setThreadPool(*pool);
  }
  llvm::scope_exit alone([&] { context.disableMultithreading(); });
  if (llvm::Error error = codegen::lowerToLLVM(*kernels.module, backend->target()))
    return internalError(std::move(error));
  if (options.emit == EmitKind::Assembly || options.emit == EmitKind::LLVMIR) {
    auto text = options.emit == EmitKind::Assembly
                    ? codegen::emitAssembly(*kernels.module, backend->target(), kernels.bitcode)
                    : codegen::emitLLVMIR(*kernels.module, backend->target(), kernels.bitcode);
    return text ? writeContents(output, *text) : internalError(text.takeError());
  }
  if (options.emit == EmitKind::Object) {
    auto object = codegen::emitObject(*kernels.module, backend->target(), kernels.bitcode);
    return object ? writeContents(output, StringRef(object->data(), object->size()))
                  : internalError(object.takeError());
  }
  auto objects =
      codegen::emitObjects(*kernels.module, backend->target(), kernels.bitcode, pool.get());
  if (!objects)
    return internalError(objects.takeError());
  kernels.module = {};
  if (llvm::Error error = codegen::writeArtifact(*program, *objects, backend->target(), output))
    return userError(std::move(error));
  uint64_t size = 0;
  (void)llvm::sys::fs::file_size(output, size);
  report.fileBytes = size;
  return llvm::Error::success();
}

llvm::Error Compilation::writeText(StringRef output) {
  std::string text;
  llvm::raw_string_ostream os(text);
  OpPrintingFlags flags;
  flags.enableDebugInfo().elideLargeResourceString(64).elideLargeElementsAttrs(64);
  module->print(os, flags);
  return writeContents(output, text);
}

} // namespace attune
