//===- Sweep.h - Compiles and times the networks of calibration
//----------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_SWEEP_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_SWEEP_H

#include "attune/codegen/Compiler.h"
#include "attune/codegen/cost/Points.h"
#include "attune/tools/attune/calibrate/Networks.h"
#include "attune/tools/attune/calibrate/Reference.h"

namespace attune::tools {

using codegen::MeasuredKernel;

struct SweepOptions {
  std::vector<unsigned> threads{1};
  double secondsPerSize = 0.03;   ///< for each number of threads
  Reference *reference = nullptr; ///< null: the machine counts as undisturbed
};

/// A kernel, and what the reference took when it was measured.
struct SweptKernel {
  MeasuredKernel kernel;
  double reference = 0;
};

/// Kernels of a network at all its lengths: medians of the runs, and over equal calls. Numbers of
/// threads take turns, so that a slow phase of the machine hits all of them; what it hit is
/// measured again a few times.
llvm::Expected<std::vector<SweptKernel>> sweep(const Network &network, const SweepOptions &options);

} // namespace attune::tools
#endif
