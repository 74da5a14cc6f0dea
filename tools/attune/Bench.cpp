#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Roof.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <chrono>
#include <sys/resource.h>

namespace attune::tools {
namespace {

struct Result {
  double medianMs, p10Ms, p90Ms, gflops, roofPercent, roof, peakMb;
  int64_t runs, threads;
};

/// Time of each kernel over all its calls in one run: median over runs.
struct KernelTime {
  std::string name, emitter;
  int64_t calls = 0;
  double ms = 0, gflops = 0;
};

std::vector<KernelTime> profile(const Session &session, const std::vector<Tensor> &inputs,
                                int64_t runs) {
  const attune_signature &signature = session.signature();
  std::vector<attune_step> steps(signature.step_count);
  attune_profile profile{};
  profile.size = sizeof profile;
  profile.step_size = sizeof(attune_step);
  profile.step_capacity = steps.size();
  profile.steps = steps.data();
  std::vector<KernelTime> kernels(signature.kernel_count);
  std::vector<std::vector<double>> samples(signature.kernel_count);
  std::vector<Tensor> outputs = session.run(inputs);
  for (int64_t run = 0; run < runs; ++run) {
    session.runInto(inputs, outputs, &profile);
    for (size_t k = 0; k < kernels.size(); ++k)
      kernels[k] = {signature.kernels[k]->name, signature.kernels[k]->emitter, 0, 0, 0};
    std::vector<double> total(kernels.size());
    for (const attune_step &step : steps)
      if (step.kind == ATTUNE_STEP_KERNEL) {
        total[step.kernel] += (step.stop_ns - step.start_ns) / 1e6;
        kernels[step.kernel].gflops += step.flops / 1e6;
        ++kernels[step.kernel].calls;
      }
    for (size_t k = 0; k < kernels.size(); ++k)
      samples[k].push_back(total[k]);
  }
  for (size_t k = 0; k < kernels.size(); ++k) {
    std::sort(samples[k].begin(), samples[k].end());
    kernels[k].ms = samples[k][samples[k].size() / 2];
    kernels[k].gflops /= kernels[k].ms > 0 ? kernels[k].ms : 1;
  }
  std::sort(kernels.begin(), kernels.end(),
            [](const KernelTime &a, const KernelTime &b) { return a.ms > b.ms; });
  return kernels;
}

void printKernels(const std::vector<KernelTime> &kernels) {
  llvm::outs() << "       ms  calls  GFLOP/s  emitter    kernel\n";
  for (const KernelTime &kernel : kernels)
    llvm::outs() << llvm::format("%9.3f %6lld %8.1f  ", kernel.ms,
                                 static_cast<long long>(kernel.calls), kernel.gflops)
                 << llvm::left_justify(kernel.emitter, 10) << " " << kernel.name << "\n";
}

Result measure(const Session &session, const std::vector<Tensor> &inputs, int64_t runs) {
  std::vector<attune_step> steps(session.signature().step_count);
  attune_profile profile{};
  profile.size = sizeof profile;
  profile.step_size = sizeof(attune_step);
  profile.step_capacity = steps.size();
  profile.steps = steps.data();
  std::vector<Tensor> outputs = session.run(inputs, &profile);
  double flops = 0;
  for (const attune_step &step : steps)
    flops += step.flops;

  session.runInto(inputs, outputs);
  std::vector<double> times;
  for (int64_t i = 0; i < runs; ++i) {
    auto start = std::chrono::steady_clock::now();
    session.runInto(inputs, outputs);
    std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - start;
    times.push_back(passed.count());
  }
  std::sort(times.begin(), times.end());
  auto quantile = [&](double q) { return times[static_cast<size_t>(q * (times.size() - 1))]; };

  Result result{};
  result.medianMs = quantile(0.5);
  result.p10Ms = quantile(0.1);
  result.p90Ms = quantile(0.9);
  result.runs = runs;
  result.threads = session.signature().threads;
  result.gflops = flops / result.medianMs / 1e6;
  result.roof = measureFmaPeak(result.threads);
  result.roofPercent = 100 * result.gflops / result.roof;
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  result.peakMb = usage.ru_maxrss / 1024.0;
  return result;
}

void print(const Result &r, const std::string &what, bool json) {
  if (json) {
    llvm::outs() << llvm::json::Value(llvm::json::Object{{"median_ms", r.medianMs},
                                                         {"p10_ms", r.p10Ms},
                                                         {"p90_ms", r.p90Ms},
                                                         {"runs", r.runs},
                                                         {"threads", r.threads},
                                                         {"gflops", r.gflops},
                                                         {"roof_gflops", r.roof},
                                                         {"roof_percent", r.roofPercent},
                                                         {"peak_mb", r.peakMb},
                                                         {"inputs", what}})
                 << "\n";
    return;
  }
  llvm::outs() << what << ", " << r.threads << " threads, " << r.runs << " runs\n"
               << llvm::format("median %.3f ms, p10 %.3f, p90 %.3f\n", r.medianMs, r.p10Ms, r.p90Ms)
               << llvm::format("%.1f GFLOP/s = %.0f %% of the FMA peak (%.1f)\n", r.gflops,
                               r.roofPercent, r.roof)
               << llvm::format("peak memory of the process %.1f MB\n", r.peakMb);
}

} // namespace

int benchCommand(Args args) {
  CompileOptions compile;
  bool json = false, kernels = false;
  int64_t threads = 0, runs = 30;
  std::vector<std::string> positional;
  Options parser("bench", "MODEL.onnx|MODEL.so [options]");
  parser.addCompileOptions(compile);
  parser.addInteger("threads", "N", "threads (default: all that the process may use)", 1, threads);
  parser.addInteger("runs", "N", "timed runs (default 30)", 1, runs);
  parser.addSwitch("json", "print one JSON object", json);
  parser.addSwitch("kernels", "also print the time of every kernel", kernels);
  parser.addNotImplemented({"inputs"});
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune bench: expects one model, found " << positional.size() << "\n";
    return kUsage;
  }
  // Sizes are the inputs', not the artifact's: what is timed is the dynamic model.
  InputSizes sizes{compile.fixedShapes, compile.fixedDims};
  compile.fixedShapes.clear();
  compile.fixedDims.clear();
  compile.threads = threads;
  auto artifact = compileToTemporary(positional[0], compile);
  if (!artifact)
    return report(artifact.takeError());
  bool temporary = *artifact != positional[0];
  try {
    Session session(*artifact, {.threads = static_cast<unsigned>(threads)});
    if (temporary)
      removeTemporary(*artifact);
    auto inputs = makeInputs(session, sizes);
    if (!inputs)
      return report(inputs.takeError());
    print(measure(session, *inputs, runs), describeInputs(session, *inputs), json);
    if (kernels && !json)
      printKernels(profile(session, *inputs, runs));
  } catch (const std::exception &error) {
    if (temporary)
      removeTemporary(*artifact);
    return report(llvm::createStringError(error.what()));
  }
  return kOk;
}

} // namespace attune::tools
