#include "attune/codegen/cost/Points.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>

namespace attune::codegen {

namespace {

using Kernels = std::vector<const MeasuredKernel *>;

/// The clock, and what the kernel before left in the caches, say little of the shortest ones.
double weightOf(const MeasuredKernel &kernel) {
  constexpr double kShort = 5e-8;
  return kernel.seconds / (kernel.seconds + kShort);
}

/// The most that a part may count: few kernels say little of the small ones. Scalar code takes
/// hundreds of times as long as vectors.
constexpr std::array<double, kTimeParts> kMost{1000, 10, 100, 2, 4, 4, 4, 4, 10, 10, 4, 4, 10, 10};

/// x in [0, kMost] with the least |A x - b|, from A^T A and A^T b, one unknown after the other.
std::vector<double> solveBounded(llvm::ArrayRef<double> a, llvm::ArrayRef<double> b) {
  constexpr unsigned kRounds = 500;
  size_t n = b.size();
  std::vector<double> x(n, 0);
  for (unsigned round = 0; round < kRounds; ++round)
    for (size_t i = 0; i < n; ++i) {
      double rest = b[i];
      for (size_t j = 0; j < n; ++j)
        rest -= a[i * n + j] * x[j];
      if (a[i * n + i] > 0)
        x[i] = std::clamp(x[i] + rest / a[i * n + i], 0.0, kMost[i]);
    }
  return x;
}

/// How much every part counts, by relative errors; large ones count little.
std::vector<double> sharesOf(const MachineOracle &oracle, const Kernels &kernels) {
  constexpr unsigned kRounds = 4;
  constexpr double kLarge = 0.2;
  std::vector<MachineOracle::Parts> rows;
  std::vector<double> weights;
  for (const MeasuredKernel *kernel : kernels) {
    MachineOracle::Parts row = oracle.parts(kernel->features, kernel->resident, kernel->threads);
    for (double &part : row)
      part /= kernel->seconds;
    rows.push_back(row);
    weights.push_back(weightOf(*kernel));
  }
  std::vector<double> shares;
  for (unsigned round = 0; round < kRounds; ++round) {
    std::vector<double> a(kTimeParts * kTimeParts), b(kTimeParts);
    for (auto [row, kernel, weight] : llvm::zip(rows, kernels, weights)) {
      double factor = weight;
      if (!shares.empty()) {
        double error = -1;
        for (auto [share, part] : llvm::zip(shares, row))
          error += share * part;
        factor /= std::sqrt(1 + std::pow(error / kLarge, 2));
      }
      for (unsigned i = 0; i < kTimeParts; ++i) {
        b[i] += factor * row[i];
        for (unsigned j = 0; j < kTimeParts; ++j)
          a[i * kTimeParts + j] += factor * row[i] * row[j];
      }
    }
    shares = solveBounded(a, b);
  }
  return shares;
}

} // namespace

void fitResiduals(Machine &machine, llvm::ArrayRef<MeasuredKernel> kernels) {
  constexpr size_t kForShares = 24, kForResidual = 3;
  constexpr double kFarOff = 1.5;
  std::map<std::string, Kernels> byEmitter;
  std::map<std::string, unsigned> groups;
  for (const MeasuredKernel &kernel : kernels)
    if (kernel.seconds > 0) {
      byEmitter[kernel.features.emitter].push_back(&kernel);
      groups.try_emplace(kernel.network, groups.size());
    }
  for (const auto &[emitter, own] : byEmitter) {
    if (own.size() < kForResidual)
      continue;
    machine.shares.erase(emitter);
    if (own.size() >= kForShares)
      machine.shares[emitter] = sharesOf(MachineOracle(machine), own);
    MachineOracle oracle(machine);
    std::vector<Residual::Sample> samples;
    for (const MeasuredKernel *kernel : own) {
      Residual::Sample &sample = samples.emplace_back();
      KernelCost cost =
          oracle.analytic(kernel->features, kernel->resident, kernel->threads, &sample.inputs);
      sample.value = std::clamp(std::log(kernel->seconds / cost.seconds), -kFarOff, kFarOff);
      sample.group = groups[kernel->network];
      sample.weight = weightOf(*kernel);
    }
    machine.residuals.insert_or_assign(emitter, Residual::fit(samples));
  }
}

} // namespace attune::codegen
