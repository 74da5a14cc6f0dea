//===- Compilation.h - The steps from a model to an artifact ----------------------------------===//
//
// Behind compileModel: the state that the steps share. After `lower` there are kernels and a host
// program, which can be priced for any call; `generate` makes machine code of them.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COMPILATION_H
#define ATTUNE_CODEGEN_COMPILATION_H

#include "attune/codegen/CompileDiagnostics.h"
#include "attune/codegen/CpuBackend.h"
#include "attune/codegen/Kernels.h"
#include "attune/codegen/Program.h"
#include "attune/codegen/cost/Tuning.h"

#include "mlir/Pass/PassManager.h"

#include <chrono>
#include <optional>

namespace attune {
namespace codegen {
struct GpuTarget;
}

class Compilation {
public:
  /// Both outlive it.
  Compilation(const CompileOptions &options, CompileReport &report);

  /// All of it, as far as the options say.
  llvm::Error run(llvm::StringRef model, llvm::StringRef output);
  /// Up to the kernels and the host program.
  llvm::Error lower(llvm::StringRef model);
  /// What a call takes; after `lower`.
  llvm::Expected<ModelCost> predict(const CostRequest &request) const;
  llvm::Expected<std::vector<ModelChoice>> findChoices(llvm::StringRef model,
                                                       llvm::ArrayRef<std::string> alternatives);

private:
  using Clock = std::chrono::steady_clock;

  /// Records the wall time of one stage.
  class Timer {
  public:
    Timer(CompileReport &report, llvm::StringRef name)
        : report(report), name(name), start(Clock::now()) {}
    ~Timer() {
      std::chrono::duration<double, std::milli> passed = Clock::now() - start;
      report.stageMs.emplace_back(name.str(), passed.count());
    }

  private:
    CompileReport &report;
    llvm::StringRef name;
    Clock::time_point start;
  };

  /// Options that do not go together.
  llvm::Error checkOptions() const;
  /// Devices are not measured, and a reference has no alternatives.
  llvm::Error loadTuning(const codegen::CpuTarget &target);
  void makeBackend(codegen::CpuTarget target, codegen::GpuTarget gpu);
  codegen::BackendKind backendKind() const;
  bool onDevice() const { return options.target != "cpu"; }

  llvm::Error import(llvm::StringRef model);
  llvm::Error stage(llvm::StringRef name,
                    llvm::function_ref<void(mlir::OpPassManager &)> addPasses);
  /// Until the kernels are fused, or until what `stopAfter` names.
  llvm::Error runStages(llvm::StringRef model);
  /// A form that was asked for must be that of some operator.
  llvm::Error checkForm() const;
  /// Passes whose errors are the user's: what is wrong are labels and names.
  llvm::Error runUserPasses(mlir::PassManager &passes);
  llvm::Error makeChoices(llvm::ArrayRef<std::string> alternatives);
  /// Makes the choices that the module does not have yet, and has them all decided.
  llvm::Error choose();

  llvm::Error lowerKernels();
  void reportKernels(std::vector<std::vector<CompileReport::Price>> prices);
  std::vector<CompileReport::Price> pricesOf(KernelOp kernel) const;
  llvm::Error generate(llvm::StringRef output);
  llvm::Error writeText(llvm::StringRef output);

  const CompileOptions &options;
  CompileReport &report;
  mlir::MLIRContext context;
  CompileDiagnostics diagnostics;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::optional<codegen::Tuning> kept;
  codegen::Decisions decisions;
  std::shared_ptr<const codegen::CostOracle> oracle;
  std::unique_ptr<codegen::TargetBackend> backend;
  codegen::EmittedKernels kernels;
  std::optional<codegen::Program> program;
  std::vector<codegen::PricedKernel> calls; ///< the kernels of `program`; none on a device
};

} // namespace attune
#endif
