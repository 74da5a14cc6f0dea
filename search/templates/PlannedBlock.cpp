#include "attune/search/templates/PlannedBlock.h"

#include "attune/codegen/Artifact.h"
#include "attune/codegen/Program.h"
#include "attune/codegen/cost/DescribeInPlace.h"
#include "attune/codegen/cost/Reuse.h"
#include "attune/codegen/cost/Tuning.h"
#include "attune/passes/Passes.h"

#include "llvm/Support/Threading.h"

#include <numeric>

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
  auto isDistant = [&](unsigned buffer) { return llvm::is_contained(built.distant, buffer); };
  planned.features = codegen::describeInPlace(op, emitter, target, {}, isWeight, isDistant);
  for (const codegen::OpCount &count : planned.features.counts)
    planned.flops += count.count;
  // Constants of an artifact start at multiples of 64.
  for (unsigned input : built.weights)
    planned.storedBytes += llvm::alignTo(bytesOf(op.getInputs()[input].getType()), 64);
  for (Type type : op.getResultTypes())
    planned.resultBytes += bytesOf(type);
  return planned;
}

namespace {

/// The host program of blocks that follow each other, with its memory.
class BlockProgram {
public:
  using Program = codegen::Program;
  using Step = BlockPlanner::Step;

  /// A buffer of these bytes; its number.
  int64_t add(Program::Kind kind, double bytes) { return value(kind, constant(bytes)); }

  /// Runs a block on buffers; the number of its result.
  int64_t run(llvm::ArrayRef<Step> steps, llvm::SmallVector<int64_t, 8> buffers,
              Program::Kind result) {
    for (const Step &step : steps) {
      bool last = &step == &steps.back();
      buffers.push_back(add(last ? result : Program::Kind::Arena, step.kernel->resultBytes));
      call(step, buffers);
    }
    return buffers.back();
  }

  /// Plans memory; how much of it is shared by buffers.
  double plan() {
    codegen::planMemory(program);
    sizes = codegen::evaluateScalars(program, [](int64_t, int64_t) { return 1; }, /*threads=*/1);
    double bytes = 0;
    for (const std::vector<int64_t> &slot : program.slots) {
      int64_t most = 0;
      for (int64_t size : slot)
        most = std::max(most, sizes[size]);
      bytes += most;
    }
    return bytes;
  }

  /// Of all calls, in order; memory must be planned.
  void setReuse(llvm::ArrayRef<codegen::KernelFeatures *> calls) const {
    codegen::setReuse(program, sizes, calls);
  }

private:
  int64_t scalar(const char *op, std::vector<int64_t> operands) {
    program.scalars.push_back({op, std::move(operands)});
    return program.scalars.size() - 1;
  }
  int64_t constant(double value) { return scalar("const", {static_cast<int64_t>(value)}); }
  int64_t value(Program::Kind kind, int64_t bytes) {
    Program::Value &added = program.values.emplace_back();
    added.kind = kind;
    added.bytes = bytes;
    return program.values.size() - 1;
  }
  void call(const Step &step, llvm::ArrayRef<int64_t> buffers) {
    const codegen::KernelFeatures &features = step.kernel->features;
    llvm::SmallVector<int64_t> used;
    const unsigned *read = step.reads.begin();
    for (const codegen::BufferUse &use : features.uses) {
      if (use.kind == codegen::BufferUse::Kind::Weight)
        used.push_back(value(Program::Kind::Weight, 0));
      else
        used.push_back(use.written ? buffers.back() : buffers[*read++]);
    }
    for (const codegen::KernelPlan::Scratch &scratch : features.plan.scratch) {
      int64_t perThread = scalar("mul", {constant(scratch.perThread), threads});
      used.push_back(
          value(Program::Kind::Arena, scalar("add", {constant(scratch.shared), perThread})));
    }
    program.steps.emplace_back().buffers.assign(used.begin(), used.end());
  }

  Program program;
  int64_t threads = scalar("threads", {});
  std::vector<int64_t> sizes;
};

} // namespace

BlockCost BlockPlanner::block(llvm::ArrayRef<Step> steps, llvm::ArrayRef<double> inputBytes,
                              int64_t params, const PlannedKernel *before) const {
  using Kind = codegen::Program::Kind;
  BlockCost cost;
  cost.params = params;
  cost.kernels.reserve(steps.size());
  llvm::SmallVector<codegen::KernelFeatures *> calls;
  for (const Step &step : steps) {
    cost.kernels.push_back({step.kernel->features});
    cost.flops += step.kernel->flops;
    cost.storedBytes += step.kernel->storedBytes;
  }
  cost.ioBytes =
      std::accumulate(inputBytes.begin(), inputBytes.end(), steps.back().kernel->resultBytes);

  llvm::SmallVector<int64_t, 8> inputs;
  BlockProgram alone;
  for (double bytes : inputBytes)
    inputs.push_back(alone.add(Kind::Input, bytes));
  alone.run(steps, inputs, Kind::Output);
  cost.arenaBytes = alone.plan();

  // Memory was touched last by what comes before.
  codegen::KernelFeatures first;
  BlockProgram chain;
  inputs.clear();
  for (double bytes : inputBytes)
    inputs.push_back(chain.add(Kind::Input, bytes));
  if (before) {
    first = before->features;
    calls.push_back(&first);
    inputs.front() = chain.run(Step{before, {0, 0}}, inputs, Kind::Arena);
  }
  chain.run(steps, inputs, before ? Kind::Arena : Kind::Output);
  chain.plan();
  for (BlockCost::Kernel &kernel : cost.kernels)
    calls.push_back(&kernel.features);
  chain.setReuse(calls);
  return cost;
}

} // namespace attune::search
