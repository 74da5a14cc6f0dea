//===- Oracle.h - What a kernel will take ---------------------------------------------------------===//
//
// The one place that prices alternatives: fusion, form, tiles, back end. The compiler and the search
// ask the same oracle. `RooflineOracle` is the uncalibrated default: time is the larger of
// arithmetic over peak and traffic over bandwidth, plus the launch.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_ORACLE_H
#define ATTUNE_CODEGEN_COST_ORACLE_H

#include "attune/codegen/cpu/Target.h"
#include "attune/dialect/Attune.h"

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

class CostOracle {
public:
  virtual ~CostOracle() = default;
  virtual KernelCost price(KernelOp kernel, const DimValues &dims, unsigned threads) const = 0;
};

class RooflineOracle final : public CostOracle {
public:
  explicit RooflineOracle(const CpuTarget &target) : target(target) {}
  KernelCost price(KernelOp kernel, const DimValues &dims, unsigned threads) const override;

private:
  const CpuTarget &target;
};

} // namespace attune::codegen
#endif
