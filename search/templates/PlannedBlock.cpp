#include "attune/search/templates/PlannedBlock.h"

#include "attune/codegen/Artifact.h"
#include "attune/codegen/Program.h"
#include "attune/codegen/cost/Reuse.h"
#include "attune/codegen/cost/Tuning.h"
#include "attune/passes/Passes.h"

#include "llvm/Support/Threading.h"

using namespace mlir;

namespace attune::search {

BlockPlanner::BlockPlanner(codegen::CpuTarget cpu, std::shared_ptr<codegen::MachineOracle> machine,
                           bool isTuned)
    : isTuned(isTuned), context(MLIRContext::Threading::DISABLED), target(std::move(cpu)),
      oracle(std::move(machine)), prices(*oracle),
      backend(target, codegen::BackendKind::Auto, oracle) {
  DialectRegistry registry;
  registerAllDialects(registry);
  context.appendDialectRegistry(registry);
  context.loadAllAvailableDialects();
}

llvm::Expected<std::unique_ptr<BlockPlanner>> BlockPlanner::create() {
  auto target = codegen::CpuTarget::parse("host");
  if (!target)
    return target.takeError();
  auto machine = codegen::Machine::of(*target);
  if (!machine)
    return machine.takeError();
  auto tuning = codegen::Tuning::of(*target, codegen::compilerVersion(),
                                    llvm::hardware_concurrency().compute_thread_count());
  if (!tuning)
    return tuning.takeError();
  return std::unique_ptr<BlockPlanner>(new BlockPlanner(
      std::move(*target), std::make_shared<codegen::MachineOracle>(std::move(*machine)),
      !tuning->isEmpty()));
}

static double bytesOf(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  return static_cast<double>(tensor.getNumElements()) * tensor.getElementTypeBitWidth() / 8;
}

const PlannedKernel &BlockPlanner::kernel(uint64_t key,
                                          llvm::function_ref<BuiltKernel(KernelRegions &)> build) {
  auto [place, fresh] = known.try_emplace(key);
  if (!fresh)
    return place->second;
  KernelRegions regions(context, prices);
  BuiltKernel built = build(regions);
  KernelOp op = built.op;
  PlannedKernel &planned = place->second;
  const codegen::KernelEmitter &emitter = built.emitter.empty()
                                              ? *backend.choose(op, /*reference=*/false).front()
                                              : *backend.named(built.emitter);
  auto isWeight = [&](unsigned input) { return llvm::is_contained(built.weights, input); };
  planned.features = codegen::describe(op, emitter, target, {}, isWeight);
  for (const codegen::OpCount &count : planned.features.counts)
    planned.flops += count.count;
  // Constants of an artifact start at multiples of 64.
  for (unsigned input : built.weights)
    planned.storedBytes += llvm::alignTo(bytesOf(op.getInputs()[input].getType()), 64);
  for (Type type : op.getResultTypes())
    planned.resultBytes += bytesOf(type);
  return planned;
}

BlockCost BlockPlanner::block(llvm::ArrayRef<Step> steps, llvm::ArrayRef<double> inputBytes,
                              int64_t params) const {
  using codegen::Program;
  BlockCost cost;
  cost.params = params;
  Program program;
  auto scalar = [&](const char *op, std::vector<int64_t> operands) -> int64_t {
    program.scalars.push_back({op, std::move(operands)});
    return program.scalars.size() - 1;
  };
  int64_t threads = scalar("threads", {});
  auto constant = [&](double value) { return scalar("const", {static_cast<int64_t>(value)}); };
  auto value = [&](Program::Kind kind, int64_t bytes) {
    Program::Value &added = program.values.emplace_back();
    added.kind = kind;
    added.bytes = bytes;
  };
  cost.ioBytes = steps.back().kernel->resultBytes;
  for (double bytes : inputBytes) {
    value(Program::Kind::Input, constant(bytes));
    cost.ioBytes += bytes;
  }
  for (auto [number, step] : llvm::enumerate(steps)) {
    bool last = number + 1 == steps.size();
    value(last ? Program::Kind::Output : Program::Kind::Arena, constant(step.kernel->resultBytes));
  }
  for (auto [number, step] : llvm::enumerate(steps)) {
    Program::Step &call = program.steps.emplace_back();
    const unsigned *read = step.reads.begin();
    for (const codegen::BufferUse &use : step.kernel->features.uses) {
      if (use.kind != codegen::BufferUse::Kind::Weight) {
        call.buffers.push_back(use.written ? number + inputBytes.size() : *read++);
        continue;
      }
      call.buffers.push_back(program.values.size());
      value(Program::Kind::Weight, 0);
    }
    for (const codegen::KernelPlan::Scratch &scratch : step.kernel->features.plan.scratch) {
      int64_t perThread = scalar("mul", {constant(scratch.perThread), threads});
      call.buffers.push_back(program.values.size());
      value(Program::Kind::Arena, scalar("add", {constant(scratch.shared), perThread}));
    }
    cost.kernels.push_back({step.kernel->features});
    cost.flops += step.kernel->flops;
    cost.storedBytes += step.kernel->storedBytes;
  }
  codegen::planMemory(program);
  std::vector<int64_t> sizes =
      codegen::evaluateScalars(program, [](int64_t, int64_t) { return 1; }, /*threads=*/1);
  for (const std::vector<int64_t> &slot : program.slots) {
    int64_t most = 0;
    for (int64_t size : slot)
      most = std::max(most, sizes[size]);
    cost.arenaBytes += most;
  }
  codegen::setReuse(program, sizes, llvm::map_to_vector(cost.kernels, [](auto &kernel) {
                      return &kernel.features;
                    }));
  return cost;
}

} // namespace attune::search
