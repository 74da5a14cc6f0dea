#include "attune/tools/attune/calibrate/Reference.h"
#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/calibrate/Networks.h"

#include <algorithm>
#include <cmath>

namespace attune::tools {

llvm::Expected<Reference> Reference::open(llvm::ArrayRef<unsigned> threads) {
  auto compiled = Compiled::make(products(/*times=*/24, /*rows=*/48, /*size=*/128));
  if (!compiled)
    return compiled.takeError();
  Reference reference(std::move(*compiled));
  try {
    for (unsigned count : threads) {
      auto session = std::make_unique<Session>(reference.compiled.artifact.path,
                                               SessionOptions{.threads = count});
      auto inputs = makeInputs(*session, {});
      if (!inputs)
        return inputs.takeError();
      reference.runs.emplace(count, Runs{std::move(session), std::move(*inputs), {}});
    }
    constexpr unsigned kFirst = 8; // enough to know what is usual
    for (unsigned time = 0; time < kFirst; ++time)
      for (unsigned count : threads)
        reference.now(count);
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
  return reference;
}

double Reference::now(unsigned threads) {
  constexpr unsigned kRuns = 15;
  Runs &of = runs.at(threads);
  StepTimes times(*of.session, of.inputs);
  std::vector<double> seconds;
  for (unsigned run = 0; run < kRuns; ++run)
    seconds.push_back(times.run());
  of.taken.push_back(medianOf(seconds));
  return of.taken.back();
}

double Reference::usual(unsigned threads) const { return medianOf(runs.at(threads).taken); }

double Reference::distance(unsigned threads, double seconds) const {
  double expected = usual(threads);
  return std::max(seconds / expected, expected / seconds);
}

} // namespace attune::tools
