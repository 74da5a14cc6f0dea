//===- Sweep.h - Compiles and times the networks of calibration
//----------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_SWEEP_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_SWEEP_H

#include "attune/codegen/Compiler.h"
#include "attune/tools/attune/calibrate/Networks.h"

#include <functional>

namespace attune::tools {

/// A file that goes with its owner.
class Temporary {
public:
  static llvm::Expected<Temporary> make(llvm::StringRef ending);
  Temporary(Temporary &&other) : path(std::exchange(other.path, "")) {}
  ~Temporary();
  std::string path;

private:
  Temporary() = default;
};

/// A kernel as it was called, and what it took: the median of the faster half of its runs, and over
/// its equal calls.
struct MeasuredKernel {
  codegen::KernelFeatures features;
  double resident;
  unsigned threads;
  double seconds;
  unsigned group; ///< of the network
};

struct SweepOptions {
  std::vector<unsigned> threads{1};
  double secondsPerSize = 0.05; ///< for each number of threads
  unsigned group = 0;
  /// Whether all cores are as fast as they were. A size during which they were not is measured
  /// again, at last without several threads.
  std::function<bool()> steady = nullptr;
};

/// Kernels of a network at all its lengths. Numbers of threads take turns, so that a slow phase of
/// the machine hits all of them.
llvm::Expected<std::vector<MeasuredKernel>> sweep(const Network &network,
                                                  const SweepOptions &options);

} // namespace attune::tools
#endif
