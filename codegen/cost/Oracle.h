//===- Oracle.h - What a kernel will take -----------------------------------------------------===//
//
// The one place that prices alternatives: fusion, form, tiles, back end. The compiler, `attune
// cost` and the search ask the same oracle. `MachineOracle` computes the price from the work by
// class of operation, the traffic of every cache level and the time to start a kernel, with the
// rates of a `Machine`; where kernels were measured (`attune calibrate`), their residual corrects
// it.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_ORACLE_H
#define ATTUNE_CODEGEN_COST_ORACLE_H

#include "attune/codegen/cost/Features.h"
#include "attune/codegen/cost/Machine.h"

#include <array>

namespace attune::codegen {

/// Bytes moved between a core and a level of memory: L1, L2, L3, DRAM.
using Traffic = std::array<double, 4>;

/// What a machine differs from itself by, within an hour: a relative standard deviation that all
/// kernels of a model share.
inline constexpr double kDrift = 0.06;

struct KernelCost {
  double seconds = 0;
  double flops = 0; ///< arithmetic operations, a multiply-add counts two
  double bytes = 0; ///< inputs and results, each once
  double sigma = 0; ///< relative standard deviation of `seconds`
  Traffic traffic{};
};

using attune::WorkSum;

/// Adds a term whose extents have these values.
void addTerm(WorkSum &sum, const WorkTerm &term,
             llvm::function_ref<double(mlir::OpFoldResult extent)> valueOf);

class CostOracle {
public:
  virtual ~CostOracle() = default;
  /// Work of nobody in particular: what alternatives are compared by.
  virtual KernelCost price(const WorkSum &work, unsigned threads) const = 0;
  /// A kernel as its emitter makes it, in a model that touches `resident` bytes in a call.
  virtual KernelCost price(const KernelFeatures &kernel, double resident, unsigned threads) const {
    return price(kernel.work, threads);
  }
  /// Every size that is not static counts as `size`.
  KernelCost price(KernelOp kernel, int64_t size, unsigned threads) const;
};

class MachineOracle final : public CostOracle {
public:
  explicit MachineOracle(Machine machine) : machine(std::move(machine)) {}
  using CostOracle::price;
  KernelCost price(const WorkSum &work, unsigned threads) const override;
  KernelCost price(const KernelFeatures &kernel, double resident, unsigned threads) const override;

  /// Seconds, each at the rates of the machine: the longer of arithmetic and traffic with a part of
  /// the shorter; the start of the kernel; its buffers; functions; loops begun; elements moved one
  /// by one; lines of tables waited for; traffic of L2, L3 and DRAM; tasks handed out; arithmetic;
  /// of the traffic of L3 and DRAM, what is written.
  using Parts = std::array<double, kTimeParts>;
  Parts parts(const KernelFeatures &kernel, double resident, unsigned threads) const;
  /// Without the residual, whose inputs are given.
  KernelCost analytic(const KernelFeatures &kernel, double resident, unsigned threads,
                      std::vector<double> *inputs = nullptr) const;

  const Machine machine;
};

} // namespace attune::codegen
#endif
