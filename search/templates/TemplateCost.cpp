#include "attune/search/templates/TemplateCost.h"

#include <cmath>

namespace attune::search {

TemplateCost::TemplateCost(const Space &space, std::unique_ptr<Template> made,
                           codegen::Machine machine)
    : model(std::move(made)), oracle(std::move(machine)) {
  bool asksEnergy = false;
  auto add = [&](const CostName &name) {
    asksEnergy |= name.name == "energy_mj";
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
  if (!asksEnergy)
    return;
  energy = llvm::cantFail(codegen::EnergyTable::load("horowitz45"));
  costNames.push_back({"energy_mj"});
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
         (machine.isCalibrated() ? ", calibrated by " + machine.version : ", a typical machine") +
         model->identity();
}

unsigned TemplateCost::emitterNumber(const std::string &name) {
  auto known = llvm::find(emitters, name);
  if (known != emitters.end())
    return known - emitters.begin();
  emitters.push_back(name);
  return emitters.size() - 1;
}

llvm::Expected<const TemplateCost::Block *> TemplateCost::blockOf(uint64_t name) {
  auto known = blocks.find(name);
  if (known != blocks.end())
    return &known->second;
  auto cost = model->cost(name);
  if (!cost)
    return cost.takeError();
  Block block{std::move(*cost), {}};
  for (const BlockCost::Kernel &kernel : block.kernels)
    block.emitters.push_back(emitterNumber(kernel.features.emitter));
  return &blocks.emplace(name, std::move(block)).first->second;
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
  double joules = 0;
  for (unsigned count : threads) {
    double seconds = 0, variance = 0;
    deviations.assign(emitters.size(), 0);
    for (auto [block, times] : counts)
      for (size_t i = 0; i < block->kernels.size(); ++i) {
        const auto &[features, calls] = block->kernels[i];
        codegen::KernelCost kernel = oracle.price(features, resident, count);
        seconds += times * calls * kernel.seconds;
        // Kernels of one emitter are wrong together.
        deviations[block->emitters[i]] += times * calls * kernel.seconds * kernel.sigma;
        if (energy && count == threads.front())
          joules += times * calls * energy->of(features, kernel).total();
      }
    for (double deviation : deviations)
      variance += deviation * deviation;
    cost.values.push_back(seconds * 1e3);
    cost.sigma = std::max(cost.sigma, seconds > 0 ? std::sqrt(variance) / seconds : 0);
  }
  cost.values.append({params, flops, resident / 1e6});
  if (energy)
    cost.values.push_back(joules * 1e3);
  return cost;
}

} // namespace attune::search
