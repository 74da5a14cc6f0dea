//===- Sweep.h - Compiles and times the networks of calibration -------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_SWEEP_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_SWEEP_H

#include "attune/codegen/Compiler.h"
#include "attune/codegen/cost/Points.h"
#include "attune/tools/attune/calibrate/Networks.h"
#include "attune/tools/attune/calibrate/Reference.h"

namespace attune::tools {

using codegen::MeasuredKernel;

/// A kernel, and what the reference took when it was measured.
struct SweptKernel {
  MeasuredKernel kernel;
  double reference = 0;
};

/// A network, compiled by each of its back ends, to be measured as often as one likes.
class Sweep {
public:
  /// For measurements on each of these numbers of threads. Several may be made at a time.
  static llvm::Expected<Sweep> make(const Network &network, std::vector<unsigned> threads);
  /// Its kernels at all its sizes: medians of the runs, and over equal calls. Numbers of threads
  /// take turns, so that a slow phase of the machine hits all of them; what it hit is measured
  /// again a few times. Without a reference the machine counts as undisturbed.
  llvm::Expected<std::vector<SweptKernel>> measure(Reference *reference = nullptr) const;
  const std::string &name() const { return network.name; }

private:
  struct Variant {
    std::string name;
    Compiled compiled;
  };
  Sweep(const Network &network, std::vector<unsigned> threads)
      : network(network), threads(std::move(threads)) {}
  llvm::Error measure(const Variant &variant, Reference *reference,
                      std::vector<SweptKernel> &kernels) const;

  Network network;
  std::vector<unsigned> threads;
  std::vector<Variant> variants;
};

} // namespace attune::tools
#endif
