//===- Oracle.h - What a kernel will take
//---------------------------------------------------------===//
//
// The one place that prices alternatives: fusion, form, tiles, back end. The compiler and the
// search ask the same oracle. `RooflineOracle` is the uncalibrated default: time is the larger of
// arithmetic over peak and traffic over bandwidth, plus the launch.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_ORACLE_H
#define ATTUNE_CODEGEN_COST_ORACLE_H

#include "attune/codegen/cpu/Target.h"
#include "attune/passes/rewrite/FormPrices.h"

#include <functional>

namespace attune::codegen {

struct KernelCost {
  double seconds = 0;
  double flops = 0; ///< arithmetic operations, a multiply-add counts two
  double bytes = 0; ///< inputs and results, each once
  double sigma = 0; ///< relative standard deviation of `seconds`
};

/// The value of one `dims` operand of the kernel.
using DimValues = std::function<int64_t(unsigned dim)>;

using attune::WorkSum;

/// Adds a term whose extents have these values.
void addTerm(WorkSum &sum, const WorkTerm &term,
             llvm::function_ref<double(mlir::OpFoldResult extent)> valueOf);

class CostOracle {
public:
  virtual ~CostOracle() = default;
  virtual KernelCost price(const WorkSum &work, unsigned threads) const = 0;
  KernelCost price(KernelOp kernel, const DimValues &dims, unsigned threads) const;
};

class RooflineOracle final : public CostOracle {
public:
  explicit RooflineOracle(const CpuTarget &target) : target(target) {}
  using CostOracle::price;
  KernelCost price(const WorkSum &work, unsigned threads) const override;

private:
  const CpuTarget &target;
};

} // namespace attune::codegen
#endif
