#include "attune/codegen/CpuBackend.h"
#include "attune/codegen/cost/FormCost.h"
#include "attune/passes/Passes.h"
#include "attune/passes/Pipelines.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

namespace {

struct FuseOptions : mlir::PassPipelineOptions<FuseOptions> {
  Option<std::string> cpu{*this, "cpu", llvm::cl::desc("target of the fused kernels"),
                          llvm::cl::init("host")};
};

/// What the stage asks; passes hold on to it. Prices are those of a typical machine, so that the
/// output depends on the input only.
struct Cpu {
  explicit Cpu(const attune::codegen::CpuTarget &target) : backend(target) {}
  attune::codegen::CpuBackend backend;
  attune::codegen::MachineOracle oracle{attune::codegen::Machine::typical(backend.target())};
  attune::codegen::OracleFormPrices prices{oracle};
};

/// The fuse stage as `attune compile` runs it, merging what the CPU back end can emit.
void addFuseForCpu(mlir::OpPassManager &pm, const FuseOptions &options) {
  static std::vector<std::unique_ptr<Cpu>> cpus;
  auto target = attune::codegen::CpuTarget::parse(options.cpu);
  if (!target)
    llvm::report_fatal_error(target.takeError(), /*gen_crash_diag=*/false);
  cpus.push_back(std::make_unique<Cpu>(*target));
  attune::addFuseStage(pm, &cpus.back()->backend, &cpus.back()->prices);
}

} // namespace

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  attune::registerAllDialects(registry);
  attune::registerAttunePasses();
  attune::registerAttunePipelines();
  mlir::PassPipelineRegistration<FuseOptions> fuse(
      "attune-stage-fuse-cpu", "The fuse stage for the CPU back end.", addFuseForCpu);
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "Attune optimiser driver\n", registry));
}
