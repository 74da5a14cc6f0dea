#include "attune/search/templates/TemplateCost.h"
#include "attune/codegen/cost/Residency.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/xxhash.h"

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

llvm::Expected<std::unique_ptr<TemplateCost>> TemplateCost::create(const Space &space) {
  auto made = makeTemplate(space);
  if (!made)
    return made.takeError();
  auto target = codegen::CpuTarget::parse("host");
  if (!target)
    return target.takeError();
  auto machine = codegen::Machine::of(*target);
  if (!machine)
    return machine.takeError();
  return std::unique_ptr<TemplateCost>(
      new TemplateCost(space, std::move(*made), std::move(*machine)));
}

std::string TemplateCost::identity() const {
  const codegen::Machine &machine = oracle.machine;
  if (!machine.isCalibrated())
    return machine.cpu + ", a typical machine" + model->identity();
  uint64_t id = llvm::xxh3_64bits(llvm::formatv("{0}", machine.toJson()).str());
  return machine.cpu + ", calibration " + llvm::utohexstr(id, /*LowerCase=*/true, 16) + " by " +
         machine.version + model->identity();
}

unsigned TemplateCost::emitterNumber(const std::string &name) {
  auto known = llvm::find(emitters, name);
  if (known != emitters.end())
    return known - emitters.begin();
  emitters.push_back(name);
  return emitters.size() - 1;
}

llvm::Expected<TemplateCost::Block *> TemplateCost::blockOf(uint64_t name) {
  auto known = blocks.find(name);
  if (known != blocks.end())
    return &known->second;
  auto cost = model->cost(name);
  if (!cost)
    return cost.takeError();
  Block block{std::move(*cost), {}, std::vector<Price>(threads.size() * codegen::kResidencies)};
  for (const BlockCost::Kernel &kernel : block.kernels)
    block.emitters.push_back(emitterNumber(kernel.features.emitter));
  return &blocks.emplace(name, std::move(block)).first->second;
}

TemplateCost::Price TemplateCost::priced(const Block &block, unsigned count,
                                         double resident) const {
  Price price;
  for (auto [kernel, emitter] : llvm::zip_equal(block.kernels, block.emitters)) {
    codegen::KernelCost cost = oracle.price(kernel.features, resident, count);
    double deviation = kernel.calls * cost.seconds * cost.sigma;
    price.seconds += kernel.calls * cost.seconds;
    if (energy)
      price.joules += kernel.calls * energy->of(kernel.features, cost).total();
    auto known =
        llvm::find_if(price.deviations, [&](const auto &entry) { return entry.first == emitter; });
    if (known == price.deviations.end())
      price.deviations.push_back({emitter, deviation});
    else
      known->second += deviation;
  }
  return price;
}

const TemplateCost::Price &TemplateCost::priceOf(Block &block, unsigned number,
                                                 double resident) const {
  Price &price = block.prices[number * codegen::kResidencies + codegen::residency(resident)];
  if (!price.known) {
    price = priced(block, threads[number], resident);
    price.known = true;
  }
  return price;
}

llvm::Expected<TemplateCost::Totals> TemplateCost::takeApart(llvm::ArrayRef<int32_t> genes) {
  model->blocks(genes, parts);
  network.clear();
  double stored = 0, arena = 0;
  Totals totals;
  for (uint64_t name : parts) {
    auto block = blockOf(name);
    if (!block)
      return block.takeError();
    network.push_back(*block);
    stored += (*block)->storedBytes;
    totals.flops += (*block)->flops;
    totals.params += (*block)->params;
    // Between blocks only their results live, which are in the arena of the whole model.
    arena = std::max(arena, (*block)->arenaBytes + (*block)->ioBytes);
  }
  totals.resident = stored + arena;
  return totals;
}

llvm::Expected<LatencyPrediction> TemplateCost::predict(llvm::ArrayRef<int32_t> genes,
                                                        unsigned count) {
  auto totals = takeApart(genes);
  if (!totals)
    return totals.takeError();
  LatencyPrediction prediction;
  double seconds = 0;
  for (const Block *block : network) {
    Price price = priced(*block, count, totals->resident);
    seconds += price.seconds;
    for (auto [emitter, deviation] : price.deviations)
      prediction.deviations[emitters[emitter]] += deviation;
  }
  prediction.ms = seconds * 1e3;
  for (auto &[emitter, deviation] : prediction.deviations)
    deviation /= seconds;
  return prediction;
}

llvm::Expected<std::map<std::string, double>> TemplateCost::partsMs(llvm::ArrayRef<int32_t> genes,
                                                                    unsigned count) {
  auto totals = takeApart(genes);
  if (!totals)
    return totals.takeError();
  std::map<std::string, double> parts;
  for (const Block *block : network)
    for (const BlockCost::Kernel &kernel : block->kernels)
      parts[kernel.features.emitter] +=
          1e3 * kernel.calls * oracle.price(kernel.features, totals->resident, count).seconds;
  return parts;
}

llvm::Expected<CostVector> TemplateCost::estimate(llvm::ArrayRef<int32_t> genes) {
  auto totals = takeApart(genes);
  if (!totals)
    return totals.takeError();
  double joules = 0;
  CostVector cost;
  llvm::SmallVector<double, 8> deviations;
  for (unsigned number = 0; number < threads.size(); ++number) {
    double seconds = 0, variance = 0;
    deviations.assign(emitters.size(), 0);
    for (Block *block : network) {
      const Price &price = priceOf(*block, number, totals->resident);
      seconds += price.seconds;
      joules += number == 0 ? price.joules : 0;
      // Kernels of one emitter are wrong together.
      for (auto [emitter, deviation] : price.deviations)
        deviations[emitter] += deviation;
    }
    for (double deviation : deviations)
      variance += deviation * deviation;
    cost.values.push_back(seconds * 1e3);
    double sigma = seconds > 0 ? std::hypot(std::sqrt(variance) / seconds, codegen::kDrift) : 0;
    cost.sigma = std::max(cost.sigma, sigma);
  }
  cost.values.append({totals->params, totals->flops, totals->resident / 1e6});
  if (energy)
    cost.values.push_back(joules * 1e3);
  return cost;
}

} // namespace attune::search
