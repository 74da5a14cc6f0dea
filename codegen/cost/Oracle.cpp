#include "attune/codegen/cost/Oracle.h"
#include "attune/codegen/cost/IndexValue.h"
#include "attune/codegen/cost/Residency.h"
#include "attune/codegen/cost/Work.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/OwningOpRef.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace attune::codegen {

/// Part of a cache that data keeps from call to call.
static constexpr double kUsable = 0.75;

void addTerm(WorkSum &sum, const WorkTerm &term, llvm::function_ref<double(OpFoldResult)> valueOf) {
  double operations = term.perIteration;
  for (OpFoldResult extent : term.extents)
    operations *= valueOf(extent);
  switch (term.kind) {
  case WorkTerm::Class::Fma:
    sum.fma += operations;
    break;
  case WorkTerm::Class::Arithmetic:
    sum.arithmetic += operations;
    break;
  case WorkTerm::Class::Transcendental:
    sum.transcendental += operations;
    break;
  case WorkTerm::Class::Multiply:
    sum.multiply += operations;
    break;
  case WorkTerm::Class::Shift:
    sum.shift += operations;
    break;
  case WorkTerm::Class::Distance:
    sum.distance += operations * std::min(term.bits, 32u) / 32;
    break;
  }
}

KernelCost CostOracle::price(KernelOp kernel, int64_t size, unsigned threads) const {
  return price(workOf(kernel, SmallVector<int64_t>(kernel.getDims().size(), size)), threads);
}

/// Seconds of one core by class; multiply-adds include the padding of tiles.
static std::array<double, WorkTerm::kClasses>
secondsByClass(const WorkSum &work, const Machine &machine, double padding = 1) {
  const auto &rate = machine.rate;
  return {work.fma * padding / rate[0],   work.arithmetic / rate[1],
          work.transcendental / rate[2],  work.multiply / rate[3],
          work.shift * padding / rate[4], work.distance * padding / rate[5]};
}

template <class Range> static double sumOf(const Range &values) {
  double sum = 0;
  for (double value : values)
    sum += value;
  return sum;
}

KernelCost MachineOracle::price(const WorkSum &work, unsigned threads) const {
  double arithmetic = sumOf(secondsByClass(work, machine)) / threads;
  double memory = work.bytes / machine.bandwidth(3, threads);
  KernelCost cost;
  cost.flops = work.operations();
  cost.bytes = work.bytes;
  cost.seconds = std::max(arithmetic, memory) + machine.launchSeconds(threads);
  cost.sigma = 0.5;
  return cost;
}

/// Levels 0 and 1 are those of every core.
static bool holds(const Machine &machine, double bytes, unsigned level, unsigned threads) {
  return bytes <= kUsable * machine.levels[level].bytes * (level < 2 ? threads : 1);
}

static constexpr unsigned kInL2 = 1, kInL3 = 2;

unsigned residency(const Machine &machine, double resident, unsigned threads) {
  return (holds(machine, resident, 1, threads) ? kInL2 : 0) |
         (holds(machine, resident, 2, threads) ? kInL3 : 0);
}

/// What each level sends to the one above: results of earlier kernels come from the level that
/// holds all of the kernel's data, constants from the level that holds the whole model; register
/// tiles read a row of A per column tile and a column of B per row.
static Traffic trafficOf(const KernelFeatures &kernel, const Machine &machine, unsigned residency,
                         unsigned threads) {
  double products = (kernel.work.fma + kernel.work.shift) / 2 + kernel.work.distance / 3;
  products *= kernel.plan.visited;
  double panels = kernel.plan.columns ? 4 * products / kernel.plan.columns : 0;
  double moved = kernel.work.bytes + 2 * kernel.plan.copied;
  double results = kernel.work.bytes - kernel.weightBytes;
  auto fits = [&](double bytes, unsigned level) { return holds(machine, bytes, level, threads); };
  Traffic traffic{};
  // Registers are filled from both operands of every tile, or with everything once.
  double tiles = kernel.plan.rows ? panels + 4 * products / kernel.plan.rows : 0;
  traffic[0] = std::max(moved, tiles + results);
  traffic[1] = moved + panels;
  // What other cores have written comes from their caches.
  double exchanged = results * (1 - 1.0 / threads);
  traffic[2] =
      (fits(results, 1) ? exchanged : results) + (residency & kInL2 ? 0 : kernel.weightBytes);
  traffic[3] = (fits(results, 2) ? 0 : results) + (residency & kInL3 ? 0 : kernel.weightBytes);
  return traffic;
}

KernelCost MachineOracle::analytic(const KernelFeatures &kernel, double resident, unsigned threads,
                                   std::vector<double> *inputs) const {
  const KernelPlan &plan = kernel.plan;
  KernelCost cost;
  cost.flops = 0;
  for (const OpCount &count : kernel.counts)
    cost.flops += count.count;
  cost.bytes = kernel.work.bytes;
  cost.traffic = trafficOf(kernel, machine, residency(machine, resident, threads), threads);

  double tasks = std::max(plan.tasks, 1.0), used = std::min<double>(threads, tasks);
  auto byClass = secondsByClass(kernel.work, machine, plan.padding);
  double arithmetic = sumOf(byClass) * plan.visited, memory = 0;
  // What an emitter counts itself knows of loads, reductions and scalar code.
  if (plan.instructions)
    arithmetic = plan.instructions * machine.vectorBits / 32 * 2 / machine.rate[0];
  double idle = tasks / (used * std::ceil(tasks / used)); // the last round may not be full
  for (unsigned level = 0; level < cost.traffic.size(); ++level)
    memory = std::max(memory, cost.traffic[level] / machine.bandwidth(level, used));
  double parallel = arithmetic / (used * idle);
  double shorter = std::min(parallel, memory), longer = std::max(parallel, memory);
  cost.seconds = longer + (1 - machine.overlap) * shorter + machine.launchSeconds(used);
  cost.sigma = 0.5;
  if (!inputs)
    return cost;
  constexpr double kTiny = 1e-9;
  double all = sumOf(byClass) + kTiny;
  *inputs = {std::log2(parallel + kTiny),
             std::log2(memory + kTiny),
             std::log2(1 + cost.flops / (1 + cost.bytes)),
             std::log2(tasks),
             byClass[2] / all,
             (byClass[1] + byClass[3]) / all,
             std::log2(1 + plan.copied / (1 + cost.bytes)),
             plan.rows ? 1 / plan.rows : 0,
             std::min(1.0, kernel.stridedBytes / (1 + cost.bytes)),
             used,
             static_cast<double>(threads)};
  return cost;
}

KernelCost MachineOracle::price(const KernelFeatures &kernel, double resident,
                                unsigned threads) const {
  auto residual = machine.residuals.find(kernel.emitter);
  if (residual == machine.residuals.end())
    return analytic(kernel, resident, threads);
  std::vector<double> inputs;
  KernelCost cost = analytic(kernel, resident, threads, &inputs);
  cost.seconds *= std::exp(residual->second.value(inputs));
  cost.sigma = residual->second.sigma();
  return cost;
}

} // namespace attune::codegen
