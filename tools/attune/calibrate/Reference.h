//===- Reference.h - How fast the machine is now, against what is usual -----------------------===//
//
// A virtual machine's processors are moved: for seconds they may share a core, or lie so far apart
// that what one wrote reaches the other late. The same few products, timed again and again on every
// number of threads, show it. Calibration is to predict what models take usually: both what was
// measured in a slow phase and in a fast one is measured again.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_REFERENCE_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_REFERENCE_H

#include "attune/tools/attune/StepTimes.h"
#include "attune/tools/attune/calibrate/Compiled.h"

#include <map>
#include <memory>

namespace attune::tools {

class Reference {
public:
  /// How far from usual the machine may be, as a factor, to count as undisturbed.
  static constexpr double kSteady = 1.08;

  /// Products in the first cache levels, of some microseconds each.
  static llvm::Expected<Reference> open(llvm::ArrayRef<unsigned> threads);
  /// What the products take now on so many threads, seconds.
  double now(unsigned threads);
  /// The median of what they took.
  double usual(unsigned threads) const;
  /// How far this is from what they usually take: a factor from 1 on, infinite for infinity.
  double distance(unsigned threads, double seconds) const;
  bool isSteady(unsigned threads, double seconds) const {
    return distance(threads, seconds) <= kSteady;
  }

private:
  struct Runs {
    std::unique_ptr<Session> session;
    std::vector<Tensor> inputs;
    std::vector<double> taken; ///< seconds, every time
  };
  explicit Reference(Compiled compiled) : compiled(std::move(compiled)) {}

  Compiled compiled;
  std::map<unsigned, Runs> runs;
};

} // namespace attune::tools
#endif
