#include "attune/search/templates/TemplateCost.h"
#include "attune/codegen/Compiler.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

namespace attune::search {

using llvm::createStringError;

TemplateCost::TemplateCost(const Space &space, std::unique_ptr<Template> made,
                           codegen::Machine machine)
    : model(std::move(made)), oracle(std::move(machine)) {
  auto add = [&](const CostName &name) {
    if (name.name == "latency_ms" && name.threads && !llvm::is_contained(threads, name.threads))
      threads.push_back(name.threads);
  };
  for (const Constraint &constraint : space.constraints)
    if (constraint.cost)
      add(*constraint.cost);
  for (const Objective &objective : space.objectives)
    add(objective.cost);
  if (threads.empty())
    threads.push_back(1);
  for (unsigned count : threads)
    costNames.push_back({"latency_ms", count});
  for (const char *name : {"params", "flops", "peak_mb"})
    costNames.push_back({name});
}

llvm::Expected<std::unique_ptr<CostModel>> TemplateCost::create(const Space &space) {
  auto made = makeTemplate(space);
  if (!made)
    return made.takeError();
  auto target = codegen::CpuTarget::parse("host");
  if (!target)
    return target.takeError();
  auto machine = codegen::Machine::of(*target);
  if (!machine)
    return machine.takeError();
  return std::unique_ptr<CostModel>(new TemplateCost(space, std::move(*made), std::move(*machine)));
}

std::string TemplateCost::identity() const {
  const codegen::Machine &machine = oracle.machine;
  return machine.cpu +
         (machine.isCalibrated() ? ", calibrated by " + machine.version : ", a typical machine");
}

unsigned TemplateCost::emitterNumber(const std::string &name) {
  auto known = llvm::find(emitters, name);
  if (known != emitters.end())
    return known - emitters.begin();
  emitters.push_back(name);
  return emitters.size() - 1;
}

/// Compiles the block up to its kernels. The compiler reads models from files.
llvm::Expected<const TemplateCost::Block *> TemplateCost::blockOf(uint64_t name) {
  auto known = blocks.find(name);
  if (known != blocks.end())
    return &known->second;
  Model block = model->block(name);
  int file;
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune-block", "onnx", file, path))
    return createStringError("cannot make a temporary file: " + code.message());
  auto remove = llvm::scope_exit([&] { llvm::sys::fs::remove(path); });
  {
    llvm::raw_fd_ostream os(file, /*shouldClose=*/true);
    os << block.onnx;
    os.flush();
    if (os.has_error()) {
      std::string why = os.error().message();
      os.clear_error();
      return createStringError("cannot write " + path + ": " + why);
    }
  }
  CompileOptions options;
  options.onlyPredict = true;
  options.predict.emplace_back();
  CompileReport report;
  if (llvm::Error error = compileModel(path, "", options, &report))
    return std::move(error);
  Block result;
  const ModelCost &cost = report.predictions.front();
  for (const ModelCost::Call &call : cost.calls) {
    result.kernels.push_back(call.features);
    result.emitters.push_back(emitterNumber(call.features.emitter));
  }
  result.flops = cost.flops;
  result.storedBytes = cost.storedBytes;
  result.arenaBytes = cost.arenaBytes;
  result.ioBytes = cost.ioBytes;
  result.params = block.params;
  return &blocks.emplace(name, std::move(result)).first->second;
}

llvm::Expected<CostVector> TemplateCost::estimate(llvm::ArrayRef<int32_t> genes) {
  model->blocks(genes, parts);
  llvm::SmallVector<std::pair<const Block *, double>, 32> counts;
  double stored = 0, arena = 0, flops = 0, params = 0;
  for (uint64_t name : parts) {
    auto block = blockOf(name);
    if (!block)
      return block.takeError();
    stored += (*block)->storedBytes;
    flops += (*block)->flops;
    params += (*block)->params;
    // Between blocks only their results live, which are in the arena of the whole model.
    arena = std::max(arena, (*block)->arenaBytes + (*block)->ioBytes);
    auto same = llvm::find_if(counts, [&](const auto &entry) { return entry.first == *block; });
    if (same == counts.end())
      counts.push_back({*block, 1});
    else
      ++same->second;
  }
  double resident = stored + arena;
  CostVector cost;
  llvm::SmallVector<double, 8> deviations;
  for (unsigned count : threads) {
    double seconds = 0, variance = 0;
    deviations.assign(emitters.size(), 0);
    for (auto [block, times] : counts)
      for (size_t i = 0; i < block->kernels.size(); ++i) {
        codegen::KernelCost kernel = oracle.price(block->kernels[i], resident, count);
        seconds += times * kernel.seconds;
        // Kernels of one emitter are wrong together.
        deviations[block->emitters[i]] += times * kernel.seconds * kernel.sigma;
      }
    for (double deviation : deviations)
      variance += deviation * deviation;
    cost.values.push_back(seconds * 1e3);
    cost.sigma = std::max(cost.sigma, seconds > 0 ? std::sqrt(variance) / seconds : 0);
  }
  cost.values.append({params, flops, resident / 1e6});
  return cost;
}

} // namespace attune::search
