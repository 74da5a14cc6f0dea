#include "attune/tools/attune/calibrate/Sweep.h"
#include "attune/tools/attune/Commands.h"
#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/StepTimes.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {

llvm::Expected<Temporary> Temporary::make(llvm::StringRef ending) {
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune", ending, path))
    return llvm::createStringError(code, "cannot create a temporary file: " + code.message());
  Temporary file;
  file.path = path.str().str();
  return file;
}

Temporary::~Temporary() {
  if (!path.empty())
    llvm::sys::fs::remove(path);
}

namespace {

llvm::Error writeModel(const Network &network, const std::string &path) {
  std::error_code code;
  llvm::raw_fd_ostream os(path, code);
  if (!code)
    os << network.model;
  os.close();
  if (!code && os.has_error())
    code = os.error();
  os.clear_error();
  return code ? llvm::createStringError(code, "cannot write `" + path + "`: " + code.message())
              : llvm::Error::success();
}

/// Equal calls of one kernel become one.
void collect(const ModelCost &cost, const std::vector<double> &seconds, unsigned group,
             std::vector<MeasuredKernel> &kernels) {
  std::map<std::pair<int64_t, double>, std::pair<size_t, std::vector<double>>> equal;
  for (size_t call = 0; call < cost.calls.size(); ++call) {
    const ModelCost::Call &made = cost.calls[call];
    auto &[first, times] = equal[{made.kernel, made.cost.flops + made.cost.bytes}];
    if (times.empty())
      first = call;
    times.push_back(seconds[call]);
  }
  for (auto &[key, calls] : equal)
    kernels.push_back({cost.calls[calls.first].features, cost.resident, cost.threads,
                       medianOf(calls.second), group});
}

} // namespace

/// Kernels of a network by one back end.
static llvm::Expected<std::vector<MeasuredKernel>> sweep(const Network &network,
                                                         const std::string &model,
                                                         const std::string &backend,
                                                         const SweepOptions &options) {
  auto artifact = Temporary::make("so");
  if (!artifact)
    return artifact.takeError();
  std::vector<int64_t> lengths =
      network.lengths.empty() ? std::vector<int64_t>{0} : network.lengths;
  CompileOptions compile;
  compile.backend = backend;
  for (int64_t length : lengths)
    for (unsigned threads : options.threads) {
      CostRequest &request = compile.predict.emplace_back();
      request.dims["seq"] = length;
      request.threads = threads;
    }
  CompileReport report;
  if (llvm::Error error = compileModel(model, artifact->path, compile, &report))
    return std::move(error);
  std::vector<MeasuredKernel> kernels;
  try {
    std::vector<std::unique_ptr<Session>> sessions;
    for (unsigned threads : options.threads)
      sessions.push_back(
          std::make_unique<Session>(artifact->path, SessionOptions{.threads = threads}));
    auto prediction = report.predictions.begin();
    for (int64_t length : lengths) {
      InputSizes sizes;
      sizes.dims["seq"] = length;
      constexpr unsigned kAttempts = 3;
      constexpr size_t kLeastRuns = 5, kMostRuns = 60;
      std::vector<StepTimes> times;
      bool steady = false;
      for (unsigned attempt = 0; attempt < kAttempts && !steady; ++attempt) {
        times.clear();
        for (const auto &session : sessions) {
          auto inputs = makeInputs(*session, sizes);
          if (!inputs)
            return inputs.takeError();
          times.emplace_back(*session, std::move(*inputs));
        }
        double spent = 0;
        while (times.front().runs() < kLeastRuns ||
               (spent < options.secondsPerSize * times.size() && times.front().runs() < kMostRuns))
          for (StepTimes &one : times)
            spent += one.run();
        steady = !options.steady || options.steady();
      }
      // What else runs on the machine only takes away: the faster half counts.
      for (StepTimes &one : times) {
        const ModelCost &predicted = *prediction++;
        if (steady || predicted.threads == 1)
          collect(predicted, one.quantiles(0.25), options.group, kernels);
      }
    }
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
  return kernels;
}

llvm::Expected<std::vector<MeasuredKernel>> sweep(const Network &network,
                                                  const SweepOptions &options) {
  auto model = Temporary::make("onnx");
  if (!model)
    return model.takeError();
  if (llvm::Error error = writeModel(network, model->path))
    return std::move(error);
  std::vector<MeasuredKernel> kernels;
  for (const std::string &backend : network.backends) {
    auto measured = sweep(network, model->path, backend, options);
    if (!measured && backend == "halide" && measured.errorIsA<CompileError>()) {
      llvm::consumeError(measured.takeError()); // it is not built in
      continue;
    }
    if (!measured)
      return measured.takeError();
    kernels.insert(kernels.end(), measured->begin(), measured->end());
  }
  return kernels;
}

} // namespace attune::tools
