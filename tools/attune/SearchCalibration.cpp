// The calibration of a study: it keeps a copy, and goes on with it when the machine has another
// one.
#include "attune/codegen/cost/Machine.h"
#include "attune/tools/attune/Search.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdlib>

namespace attune::tools {

static constexpr const char *kFile = "calibration.json", *kVariable = "ATTUNE_CALIBRATION";
/// What `attune compile --tune` measures meanwhile must not change prices.
static constexpr const char *kTuning = "ATTUNE_TUNING";

static llvm::Expected<std::string> textOf(const codegen::CpuTarget &target) {
  auto machine = codegen::Machine::of(target);
  if (!machine)
    return machine.takeError();
  return machine->isCalibrated() ? llvm::formatv("{0:2}\n", machine->toJson()).str()
                                 : std::string();
}

llvm::Expected<std::map<std::string, std::string>> calibrationOf(llvm::StringRef study,
                                                                 bool resumed) {
  ::setenv(kTuning, "none", /*overwrite=*/0);
  auto target = codegen::CpuTarget::parse("host");
  if (!target)
    return target.takeError();
  auto now = textOf(*target);
  std::map<std::string, std::string> files;
  llvm::SmallString<128> copy(study);
  llvm::sys::path::append(copy, kFile);
  if (!resumed) {
    if (!now)
      return now.takeError();
    if (!now->empty())
      files[kFile] = std::move(*now);
    return files;
  }
  ::setenv(kVariable, llvm::sys::fs::exists(copy) ? copy.c_str() : "none", /*overwrite=*/1);
  auto then = textOf(*target);
  if (!then) {
    llvm::consumeError(now.takeError());
    return then.takeError();
  }
  if (!now) // a file that is not needed
    llvm::consumeError(now.takeError());
  else if (*now != *then)
    llvm::errs() << "attune search: the machine has another calibration now; the study goes on "
                    "with that of its start"
                 << (then->empty() ? ", a typical machine" : "") << "\n";
  return files;
}

} // namespace attune::tools
