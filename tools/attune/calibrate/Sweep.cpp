#include "attune/tools/attune/calibrate/Sweep.h"
#include "attune/tools/attune/Commands.h"
#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/StepTimes.h"

#include <cmath>
#include <random>

namespace attune::tools {

namespace {

/// Equal calls of one kernel become one.
void collect(const std::string &name, const ModelCost &cost, const std::vector<double> &seconds,
             double reference, std::vector<SweptKernel> &kernels) {
  std::map<std::pair<int64_t, double>, std::pair<int64_t, std::vector<double>>> equal;
  for (size_t call = 0; call < cost.calls.size(); ++call) {
    const ModelCost::Call &made = cost.calls[call];
    auto &[first, times] = equal[{made.kernel, made.cost.flops + made.cost.bytes}];
    if (times.empty())
      first = call;
    times.push_back(seconds[call]);
  }
  for (auto &[key, calls] : equal)
    kernels.push_back({{name, cost.inputs, calls.first, cost.resident, cost.threads,
                        medianOf(calls.second), cost.calls[calls.first].features},
                       reference});
}

/// Integers are rows of tables: all over them, as words are.
void fillRows(std::vector<Tensor> &inputs) {
  std::mt19937 random(11);
  for (Tensor &input : inputs)
    if (input.dtype() == ATTUNE_I64)
      for (uint64_t i = 0; i < input.elements(); ++i)
        static_cast<int64_t *>(input.data())[i] = random() % Network::kRows;
}

/// Runs all of them in turns for a while; short ones several times in a row, as a user does, so
/// that caches are theirs.
void runInTurns(std::vector<StepTimes> &times, double secondsEach) {
  constexpr size_t kLeastRuns = 5, kMostRuns = 1000;
  constexpr double kInARow = 3e-3;
  double spent = 0;
  while (times.front().runs() < kLeastRuns ||
         (spent < secondsEach * times.size() && times.front().runs() < kMostRuns))
    for (StepTimes &one : times)
      for (double own = 0; own < kInARow;) {
        double seconds = one.run();
        own += seconds;
        spent += seconds;
      }
}

/// Seconds of every kernel call of a typical run. What passes between kernels, and what disturbs
/// one of them in most runs but none in half of its own, is theirs in proportion.
std::vector<double> typicalSeconds(const StepTimes &times) {
  std::vector<double> list = times.quantiles(0.5);
  double sum = 0;
  for (double seconds : list)
    sum += seconds;
  for (double &seconds : list)
    seconds *= sum > 0 ? std::max(1.0, times.total() / sum) : 1;
  return list;
}

} // namespace

/// Kernels of a network by one back end.
static llvm::Expected<std::vector<SweptKernel>>
sweep(const Network &network, const std::string &backend, const SweepOptions &options) {
  std::vector<Network::Size> sizes = network.sizes;
  if (sizes.empty())
    sizes.push_back({1, 1});
  std::vector<CostRequest> requests;
  for (auto [batch, length] : sizes)
    for (unsigned threads : options.threads) {
      CostRequest &request = requests.emplace_back();
      request.dims = {{"batch", batch}, {"seq", length}};
      request.threads = threads;
    }
  auto compiled = Compiled::make(network, std::move(requests), backend);
  if (!compiled)
    return compiled.takeError();
  std::string name = network.name;
  if (backend != "auto")
    name += " by " + backend;
  std::vector<SweptKernel> kernels;
  try {
    std::vector<std::unique_ptr<Session>> sessions;
    for (unsigned threads : options.threads)
      sessions.push_back(
          std::make_unique<Session>(compiled->artifact.path, SessionOptions{.threads = threads}));
    auto prediction = compiled->report.predictions.begin();
    for (auto [batch, length] : sizes) {
      InputSizes given;
      given.dims["batch"] = batch;
      given.dims["seq"] = length;
      // Of every number of threads the attempt that was disturbed least.
      constexpr unsigned kAttempts = 3;
      struct Attempt {
        double reference = INFINITY, distance = INFINITY;
        std::vector<double> seconds;
      };
      std::vector<Attempt> best(sessions.size());
      auto isSteady = [&] {
        for (auto [threads, attempt] : llvm::zip(options.threads, best))
          if (attempt.seconds.empty() ||
              (options.reference && !options.reference->isSteady(threads, attempt.reference)))
            return false;
        return true;
      };
      for (unsigned attempt = 0; attempt < kAttempts && !isSteady(); ++attempt) {
        std::vector<StepTimes> times;
        for (const auto &session : sessions) {
          auto inputs = makeInputs(*session, given);
          if (!inputs)
            return inputs.takeError();
          fillRows(*inputs);
          times.emplace_back(*session, std::move(*inputs));
        }
        runInTurns(times, options.secondsPerSize);
        for (size_t i = 0; i < times.size(); ++i) {
          double reference = options.reference ? options.reference->now(options.threads[i]) : 0;
          double distance =
              options.reference ? options.reference->distance(options.threads[i], reference) : 1;
          if (distance < best[i].distance)
            best[i] = {reference, distance, typicalSeconds(times[i])};
        }
      }
      for (const Attempt &attempt : best)
        collect(name, *prediction++, attempt.seconds, attempt.reference, kernels);
    }
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
  return kernels;
}

llvm::Expected<std::vector<SweptKernel>> sweep(const Network &network,
                                               const SweepOptions &options) {
  std::vector<SweptKernel> kernels;
  for (const std::string &backend : network.backends) {
    auto measured = sweep(network, backend, options);
    if (!measured && backend == "halide" && measured.errorIsA<CompileError>()) {
      llvm::consumeError(measured.takeError()); // it is not built in
      continue;
    }
    if (!measured)
      return measured.takeError();
    llvm::append_range(kernels, *measured);
  }
  return kernels;
}

} // namespace attune::tools
