//===- Reference.h - How fast the machine is now, against its best
//-------------------------------===//
//
// A virtual machine's processors are moved: for seconds they may share a core, or lie so far apart
// that what one wrote reaches the other late. The same few products, timed again and again on every
// number of threads, show it.
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
  /// Seconds now over the least seconds, up to which the machine counts as undisturbed.
  static constexpr double kSteady = 1.05;

  /// Products in the first cache levels, of some microseconds each.
  static llvm::Expected<Reference> open(llvm::ArrayRef<unsigned> threads);
  /// What the products take now on so many threads, seconds.
  double now(unsigned threads);
  /// The least that they ever took.
  double best(unsigned threads) const { return runs.at(threads).best; }
  bool isSteady(unsigned threads, double seconds) const {
    return seconds <= kSteady * best(threads);
  }

private:
  struct Runs {
    std::unique_ptr<Session> session;
    std::vector<Tensor> inputs;
    double best;
  };
  explicit Reference(Compiled compiled) : compiled(std::move(compiled)) {}

  Compiled compiled;
  std::map<unsigned, Runs> runs;
};

} // namespace attune::tools
#endif
