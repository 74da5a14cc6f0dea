#include "attune/codegen/cost/Oracle.h"
#include "attune/codegen/cost/IndexValue.h"
#include "attune/codegen/cost/Residency.h"
#include "attune/codegen/cost/Work.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace attune::codegen {

/// Units of the smaller parts, which calibration weighs: vectors that beginning a loop takes the
/// time of, seconds for a buffer, a task, a line of a table that is not in the second level.
static constexpr double kStart = 10, kBuffer = 1e-8, kTask = 1e-7, kTableLine = 1e-8;
/// Part of the shorter of arithmetic and traffic that costs nothing.
static constexpr double kOverlap = 0.9;

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

/// The part of `bytes` that is gone from a cache when it is read again.
static double missed(double bytes, double capacity) {
  // Replacement is no queue, and others use the cache too: it is gradual.
  return bytes <= 0 ? 0 : capacity <= 0 ? 1 : std::clamp(std::log2(2 * bytes / capacity), 0.0, 1.0);
}

/// Residencies are quarters of an octave, from some kilobytes on.
static constexpr double kPerOctave = 4, kLeastOctave = 14;

unsigned residency(double resident) {
  double number = std::round(kPerOctave * (std::log2(std::max(resident, 1.0)) - kLeastOctave));
  return std::clamp(number, 0.0, kResidencies - 1.0);
}

/// The bytes that stand for all of one residency.
static double rounded(double resident) {
  return std::exp2(residency(resident) / kPerOctave + kLeastOctave);
}

/// What each level exchanges with the one above: what kernels exchange lies where everything that
/// was touched since has left it, constants and what the caller gives in the level that holds the
/// whole model; register tiles read a row of A per column tile and a column of B per row.
/// `written`: what of it is memory that the kernel writes, which is read before.
static Traffic trafficOf(const KernelFeatures &kernel, const Machine &machine, double resident,
                         unsigned threads, Traffic &written) {
  double products = (kernel.work.fma + kernel.work.shift) / 2 + kernel.work.distance / 3;
  products *= kernel.plan.visited;
  double panels = kernel.plan.columns ? 4 * products / kernel.plan.columns : 0;
  double moved = kernel.work.bytes + 2 * kernel.plan.copied;
  auto beyond = [&](double bytes, unsigned level) {
    return missed(bytes, machine.levels[level].bytes * (level < 2 ? threads : 1));
  };
  Traffic traffic{};
  // Registers are filled from both operands of every tile, or with everything once.
  double tiles = kernel.plan.rows ? panels + 4 * products / kernel.plan.rows : 0;
  traffic[0] = std::max(moved, tiles + kernel.work.bytes - kernel.weightBytes);
  traffic[1] = moved + panels;
  auto add = [&](const BufferUse &use) {
    bool exchanged = use.kind == BufferUse::Kind::Exchanged;
    // Weights are touched once in a call; several kernels may read an input.
    double distance = use.kind == BufferUse::Kind::Weight ? resident
                      : exchanged                         ? use.distance
                                                          : std::min(use.distance, resident);
    // What other cores have written comes from their caches.
    double others = exchanged ? 1 - 1.0 / threads : 0;
    double beyondSecond = use.bytes * std::max(others, beyond(distance, 1));
    double beyondThird = use.bytes * beyond(distance, 2);
    traffic[2] += beyondSecond;
    traffic[3] += beyondThird;
    written[2] += use.written ? beyondSecond : 0;
    written[3] += use.written ? beyondThird : 0;
  };
  for (const BufferUse &use : kernel.uses)
    add(use);
  if (kernel.uses.empty()) {
    double old = kernel.weightBytes + kernel.distantBytes, rest = kernel.work.bytes - old;
    add({BufferUse::Kind::Weight, /*written=*/false, old, resident});
    add({BufferUse::Kind::Exchanged, /*written=*/false, rest, rest});
  }
  return traffic;
}

namespace {
/// A kernel by the rates of a machine.
struct Estimate {
  Estimate(const KernelFeatures &kernel, const Machine &machine, double resident, unsigned threads);

  std::array<double, WorkTerm::kClasses> byClass;
  Traffic written{}; ///< of the traffic
  Traffic traffic;
  double tasks;
  unsigned used; ///< threads
  MachineOracle::Parts parts;
};
} // namespace

Estimate::Estimate(const KernelFeatures &kernel, const Machine &machine, double resident,
                   unsigned threads)
    : byClass(secondsByClass(kernel.work, machine, kernel.plan.padding)),
      traffic(trafficOf(kernel, machine, resident, threads, written)) {
  constexpr double kLine = 64;
  const KernelPlan &plan = kernel.plan;
  tasks = std::max(plan.tasks, 1.0);
  used = std::min<double>(threads, tasks);
  // The last round of tasks may not be full.
  double at = tasks / std::ceil(tasks / used);
  double vector = machine.vectorBits / 32 * 2 / machine.rate[0] / at;
  // What an emitter counts itself knows of loads, reductions and remainders.
  double arithmetic =
      plan.instructions ? plan.instructions * vector : sumOf(byClass) * plan.visited / at;
  Traffic seconds;
  for (unsigned level = 0; level < traffic.size(); ++level)
    seconds[level] = traffic[level] / machine.bandwidth(level, used);
  double memory = *llvm::max_element(seconds);
  double shorter = std::min(arithmetic, memory), longer = std::max(arithmetic, memory);
  // Memory is several times as far away as the third level.
  constexpr double kFarther = 4;
  double lines = kernel.gatheredBytes / kLine *
                 (missed(resident, machine.levels[1].bytes) +
                  kFarther * missed(resident, machine.levels[2].bytes));
  parts = {longer + (1 - kOverlap) * shorter,
           machine.launchSeconds(used),
           kernel.buffers * kBuffer,
           byClass[2] / at,
           plan.starts * kStart * vector,
           plan.strided * vector,
           lines * kTableLine / at,
           seconds[1],
           seconds[2],
           seconds[3],
           tasks * kTask / at,
           arithmetic,
           written[2] / machine.bandwidth(2, used),
           written[3] / machine.bandwidth(3, used)};
}

MachineOracle::Parts MachineOracle::parts(const KernelFeatures &kernel, double resident,
                                          unsigned threads) const {
  return Estimate(kernel, machine, rounded(resident), threads).parts;
}

KernelCost MachineOracle::analytic(const KernelFeatures &kernel, double touched, unsigned threads,
                                   std::vector<double> *inputs) const {
  double resident = rounded(touched);
  constexpr double kTiny = 1e-9;
  static const std::vector<double> roofline{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  Estimate estimate(kernel, machine, resident, threads);
  auto known = machine.shares.find(kernel.emitter);
  const std::vector<double> &shares = known == machine.shares.end() ? roofline : known->second;
  KernelCost cost;
  cost.flops = 0;
  for (const OpCount &count : kernel.counts)
    cost.flops += count.count;
  cost.bytes = kernel.work.bytes;
  cost.traffic = estimate.traffic;
  cost.seconds = kTiny;
  for (auto [share, part] : llvm::zip(shares, estimate.parts))
    cost.seconds += share * part;
  cost.sigma = 0.5;
  if (!inputs)
    return cost;
  const KernelPlan &plan = kernel.plan;
  double all = sumOf(estimate.byClass) + kTiny;
  *inputs = {std::log2(cost.seconds),
             std::log2(1 + cost.flops / (1 + cost.bytes)),
             std::log2(estimate.tasks),
             estimate.byClass[2] / all,
             std::log2(1 + plan.copied / (1 + cost.bytes)),
             plan.rows ? 1 / plan.rows : 0,
             std::min(1.0, kernel.gatheredBytes / (1 + cost.bytes)),
             std::log2(1 + resident),
             static_cast<double>(estimate.used),
             static_cast<double>(threads),
             std::log2(1 + plan.instructions / (1 + plan.starts)),
             std::log2(1 + plan.instructions / (1 + cost.bytes)),
             std::log2(1 + plan.strided / (1 + plan.starts)),
             kernel.weightBytes / (1 + cost.bytes),
             kernel.distantBytes / (1 + cost.bytes),
             std::log2(1 + cost.bytes),
             plan.padding,
             plan.columns,
             kernel.buffers};
  for (auto [share, part] : llvm::zip(shares, estimate.parts))
    inputs->push_back(share * part / cost.seconds);
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
