#include "attune/tools/attune/calibrate/Speed.h"
#include "attune/codegen/cost/Machine.h"
#include "attune/tools/attune/Commands.h"
#include "attune/tools/attune/calibrate/Reference.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"

namespace attune::tools {

using codegen::Machine;

static llvm::Expected<Machine> calibrationOf(const codegen::CpuTarget &target) {
  auto machine = Machine::of(target);
  if (!machine)
    return machine;
  if (!machine->isCalibrated())
    return llvm::createStringError("this machine is not calibrated: run `attune calibrate`");
  if (machine->reference.empty())
    return llvm::createStringError("the calibration `" + machine->source +
                                   "` does not say how fast the machine was: run `attune "
                                   "calibrate`");
  return machine;
}

int checkSpeed(const codegen::CpuTarget &target, bool json) {
  constexpr unsigned kTimes = 16;
  auto machine = calibrationOf(target);
  if (!machine)
    return report(machine.takeError());
  // The same products as in a calibration, which decides without one.
  ::setenv("ATTUNE_CALIBRATION", "none", 1);
  ::setenv("ATTUNE_TUNING", "none", 1);
  std::vector<unsigned> counts;
  for (auto [threads, seconds] : machine->reference)
    counts.push_back(threads);
  auto reference = Reference::open(counts);
  if (!reference)
    return report(reference.takeError());
  for (unsigned time = 0; time < kTimes; ++time)
    for (unsigned threads : counts)
      reference->now(threads);

  llvm::json::Array list;
  if (!json)
    llvm::outs() << machine->source << "\n";
  for (auto [threads, before] : machine->reference) {
    double now = reference->usual(threads), factor = now / before;
    list.push_back(llvm::json::Object{
        {"threads", threads}, {"calibrated_ms", before * 1e3}, {"ms", now * 1e3}});
    const char *slower = factor >= 1 ? "slower" : "faster";
    double percent = 100 * std::abs(factor - 1);
    if (!json)
      llvm::outs() << llvm::format("  %u thread(s): the reference takes %.3f ms, when calibrated "
                                   "%.3f ms: %.1f %% %s\n",
                                   threads, now * 1e3, before * 1e3, percent, slower);
    if (std::max(factor, 1 / factor) > Reference::kSteady)
      llvm::errs() << llvm::format("attune calibrate: warning: on %u thread(s) the machine is "
                                   "%.0f %% %s than when it was calibrated, and predictions are "
                                   "off by as much: calibrate again if that lasts\n",
                                   threads, percent, slower);
  }
  if (json)
    llvm::outs() << llvm::json::Value(llvm::json::Object{{"calibration", machine->source},
                                                         {"reference", std::move(list)}})
                 << "\n";
  return kOk;
}

} // namespace attune::tools
