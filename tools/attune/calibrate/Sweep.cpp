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
void runInTurns(std::vector<StepTimes> &times) {
  constexpr size_t kLeastRuns = 5, kMostRuns = 1000;
  constexpr double kInARow = 3e-3, kSecondsEach = 0.02;
  double spent = 0;
  while (times.front().runs() < kLeastRuns ||
         (spent < kSecondsEach * times.size() && times.front().runs() < kMostRuns))
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

llvm::Expected<Sweep> Sweep::make(const Network &network, std::vector<unsigned> threads) {
  Sweep sweep(network, std::move(threads));
  if (sweep.network.sizes.empty())
    sweep.network.sizes.push_back({1, 1});
  std::vector<CostRequest> requests;
  for (auto [batch, length] : sweep.network.sizes)
    for (unsigned count : sweep.threads) {
      CostRequest &request = requests.emplace_back();
      request.dims = {{"batch", batch}, {"seq", length}};
      request.threads = count;
    }
  for (const std::string &backend : network.backends) {
    auto compiled = Compiled::make(network, requests, backend);
    if (!compiled && backend == "halide" && compiled.errorIsA<CompileError>()) {
      llvm::consumeError(compiled.takeError()); // it is not built in
      continue;
    }
    if (!compiled)
      return compiled.takeError();
    std::string name = network.name;
    if (backend != "auto")
      name += " by " + backend;
    sweep.variants.push_back({std::move(name), std::move(*compiled)});
  }
  return sweep;
}

llvm::Error Sweep::measure(const Variant &variant, Reference *reference,
                           std::vector<SweptKernel> &kernels) const {
  std::vector<std::unique_ptr<Session>> sessions;
  for (unsigned count : threads)
    sessions.push_back(std::make_unique<Session>(variant.compiled.artifact.path,
                                                 SessionOptions{.threads = count}));
  auto prediction = variant.compiled.report.predictions.begin();
  for (auto [batch, length] : network.sizes) {
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
      for (auto [count, attempt] : llvm::zip(threads, best))
        if (attempt.seconds.empty() ||
            (reference && !reference->isSteady(count, attempt.reference)))
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
      runInTurns(times);
      for (size_t i = 0; i < times.size(); ++i) {
        double now = reference ? reference->now(threads[i]) : 0;
        double distance = reference ? reference->distance(threads[i], now) : 1;
        if (distance < best[i].distance)
          best[i] = {now, distance, typicalSeconds(times[i])};
      }
    }
    for (const Attempt &attempt : best)
      collect(variant.name, *prediction++, attempt.seconds, attempt.reference, kernels);
  }
  return llvm::Error::success();
}

llvm::Expected<std::vector<SweptKernel>> Sweep::measure(Reference *reference) const {
  std::vector<SweptKernel> kernels;
  try {
    for (const Variant &variant : variants)
      if (llvm::Error error = measure(variant, reference, kernels))
        return std::move(error);
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
  return kernels;
}

} // namespace attune::tools
