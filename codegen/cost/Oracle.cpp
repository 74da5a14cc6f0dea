#include "attune/codegen/cost/Oracle.h"
#include "attune/codegen/cost/Work.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/OwningOpRef.h"

#include <algorithm>

using namespace mlir;

namespace attune::codegen {

/// Typical of the servers that models run on: cycles per second, bytes per second of one core, and
/// the time to start a kernel on all workers.
static constexpr double kClock = 2.8e9, kBandwidth = 12e9, kLaunch = 2e-6;
/// Arithmetic operations of a vectorised polynomial.
static constexpr double kTranscendentalOps = 14;

/// The product of the index values that an extent is computed from: exact for products, an upper
/// estimate for sums.
static double estimate(OpFoldResult extent, unsigned inputs, const DimValues &dims) {
  if (std::optional<int64_t> constant = getConstantIntValue(extent))
    return *constant;
  auto value = cast<Value>(extent);
  if (auto arg = dyn_cast<BlockArgument>(value))
    return dims(arg.getArgNumber() - inputs);
  double product = 1;
  for (Value operand : value.getDefiningOp()->getOperands())
    if (operand.getType().isIndex())
      product *= std::max(1.0, estimate(operand, inputs, dims));
  return product;
}

/// `dimOf` gives, for the next `?`, the number of the kernel's dim.
static double bytesOf(Type type, const DimValues &dims, llvm::function_ref<unsigned()> dimOf) {
  auto tensor = cast<RankedTensorType>(type);
  double elements = 1;
  for (int64_t extent : tensor.getShape())
    elements *= ShapedType::isDynamic(extent) ? dims(dimOf()) : extent;
  return elements * ((tensor.getElementTypeBitWidth() + 7) / 8);
}

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
  }
}

KernelCost CostOracle::price(KernelOp kernel, const DimValues &dims, unsigned threads) const {
  // Counting adds index arithmetic; the kernel itself stays as it is.
  OwningOpRef<KernelOp> copy(kernel.clone());
  WorkSum work;
  for (const WorkTerm &term : countWork(*copy))
    addTerm(work, term,
            [&](OpFoldResult extent) { return estimate(extent, kernel.getInputs().size(), dims); });
  auto inputDim = kernel.getInputDims().begin();
  for (Type type : kernel.getInputs().getTypes())
    work.bytes += bytesOf(type, dims, [&] { return *inputDim++; });
  auto resultDim = kernel.getResultDims().begin();
  for (Type type : kernel.getResultTypes())
    work.bytes += bytesOf(type, dims, [&] {
      return llvm::find(kernel.getDims(), *resultDim++) - kernel.getDims().begin();
    });
  return price(work, threads);
}

KernelCost RooflineOracle::price(const WorkSum &work, unsigned threads) const {
  double perCycle = target.lanes(32) * (target.fma ? 4.0 : 2.0);
  double cycles = work.fma / perCycle +
                  (work.arithmetic + work.transcendental * kTranscendentalOps) / (perCycle / 2);
  double arithmetic = cycles / (kClock * threads);
  double memory = work.bytes / (kBandwidth * (1 + 0.6 * (std::min(threads, 4u) - 1)));
  KernelCost cost;
  cost.flops = work.fma + work.arithmetic + work.transcendental;
  cost.bytes = work.bytes;
  cost.seconds = std::max(arithmetic, memory) + kLaunch;
  cost.sigma = 0.5;
  return cost;
}

} // namespace attune::codegen
