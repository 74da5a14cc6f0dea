//===- Points.h - Measured kernels, and what is learned from them -----------------------------===//
//
// Calibration measures kernels (tools/attune/calibrate/Sweep.h) and keeps them as points: what the
// model knows of a kernel call and what it took. The residuals of a machine follow from its points
// alone, so that a fit can be repeated without measuring.
//
//   auto points = Points::read(path);
//   fitResiduals(points->machine, points->kernels);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_POINTS_H
#define ATTUNE_CODEGEN_COST_POINTS_H

#include "attune/codegen/cost/Oracle.h"

namespace attune::codegen {

llvm::json::Value toJson(const KernelFeatures &features);
llvm::Expected<KernelFeatures> featuresFromJson(const llvm::json::Value &json);

/// A kernel as it was called, and what it took.
struct MeasuredKernel {
  std::string network; ///< points of one network resemble each other
  std::string sizes;   ///< of its inputs
  int64_t call = 0;    ///< in the order of its program; equal calls count as the first
  double resident = 0; ///< bytes that a call of the network touches
  unsigned threads = 1;
  double seconds = 0;
  KernelFeatures features;
};

/// Everything that a calibration measured. The machine has no residuals.
struct Points {
  Machine machine;
  std::vector<MeasuredKernel> kernels;

  llvm::json::Value toJson() const;
  static llvm::Expected<Points> read(llvm::StringRef path);
};

/// Sets the shares and the residuals of `machine` to what explains the kernels best; emitters that
/// were not measured keep theirs.
void fitResiduals(Machine &machine, llvm::ArrayRef<MeasuredKernel> kernels);

} // namespace attune::codegen
#endif
