#include "attune/support/WriteFile.h"
#include "attune/tools/attune/CostReport.h"
#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/ProfilePage.h"
#include "attune/tools/attune/StepTimes.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {
namespace {

namespace json = llvm::json;

/// Events of the last run, as Chrome's tracing page reads them.
json::Value traceOf(const Profile &profile) {
  json::Array events;
  for (const Profile::Call &call : profile.calls)
    events.push_back(json::Object{{"name", json::fixUTF8(call.name)},
                                  {"cat", call.emitter},
                                  {"ph", "X"},
                                  {"pid", 1},
                                  {"tid", 1},
                                  {"ts", call.start * 1e6},
                                  {"dur", call.last * 1e6},
                                  {"args", json::Object{{"predicted_us", call.predicted * 1e6},
                                                        {"median_us", call.measured * 1e6},
                                                        {"flops", call.flops},
                                                        {"bytes", call.bytes}}}});
  return json::Object{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}};
}

json::Value toJson(const Profile &profile) {
  json::Array kernels;
  for (const Profile::Call &call : profile.calls)
    kernels.push_back(json::Object{{"name", json::fixUTF8(call.name)},
                                   {"emitter", call.emitter},
                                   {"form", call.form},
                                   {"measured_ms", call.measured * 1e3},
                                   {"predicted_ms", call.predicted * 1e3},
                                   {"sigma", call.sigma},
                                   {"flops", call.flops},
                                   {"bytes", call.bytes}});
  json::Value calibration = nullptr;
  if (!profile.calibration.empty())
    calibration = profile.calibration;
  return json::Object{{"measured_ms", profile.measured * 1e3},
                      {"predicted_ms", profile.predicted * 1e3},
                      {"sigma", profile.sigma},
                      {"threads", profile.threads},
                      {"runs", profile.runs},
                      {"inputs", json::fixUTF8(profile.inputs)},
                      {"calibration", std::move(calibration)},
                      {"kernels", std::move(kernels)}};
}

void print(const Profile &profile) {
  llvm::outs() << profile.inputs << ", " << profile.threads << " threads, " << profile.runs
               << " runs\n measured predicted  GFLOP/s  emitter           kernel\n";
  for (const Profile::Call &call : profile.calls) {
    llvm::outs() << llvm::format("%9.4f %9.4f %8.1f  ", call.measured * 1e3, call.predicted * 1e3,
                                 call.measured > 0 ? call.flops / call.measured / 1e9 : 0.0)
                 << llvm::left_justify(call.emitter, 16) << "  " << call.name;
    if (!call.form.empty())
      llvm::outs() << " (" << call.form << ")";
    llvm::outs() << "\n";
  }
  llvm::outs() << llvm::format("%9.4f %9.4f ms in all\n", profile.measured * 1e3,
                               profile.predicted * 1e3);
  if (profile.calibration.empty())
    llvm::outs()
        << "not calibrated: predictions are those for a typical server (`attune calibrate` "
           "measures this machine)\n";
}

llvm::Expected<Profile> measure(const std::string &artifact, const CompileReport &compiled,
                                const InputSizes &sizes, int64_t threads, int64_t runs) {
  const ModelCost &cost = compiled.predictions.front();
  Profile profile;
  try {
    Session session(artifact, {.threads = static_cast<unsigned>(threads)});
    auto inputs = makeInputs(session, sizes);
    if (!inputs)
      return inputs.takeError();
    profile.inputs = describeInputs(session, *inputs);
    StepTimes times(session, std::move(*inputs));
    for (int64_t run = 0; run < runs; ++run)
      times.run();
    std::vector<double> medians = times.quantiles(0.5);
    size_t next = 0;
    for (const attune_step &step : times.lastSteps()) {
      if (step.kind != ATTUNE_STEP_KERNEL || next == cost.calls.size())
        continue;
      const ModelCost::Call &made = cost.calls[next];
      const CompileReport::Kernel &kernel = compiled.kernels[made.kernel];
      profile.calls.push_back({kernel.name, kernel.emitter, made.features.form, medians[next],
                               made.cost.seconds, made.cost.sigma, made.cost.flops, made.cost.bytes,
                               step.start_ns * 1e-9, (step.stop_ns - step.start_ns) * 1e-9});
      ++next;
    }
    profile.measured = times.total();
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
  profile.predicted = cost.seconds;
  profile.sigma = cost.sigma;
  profile.threads = cost.threads;
  profile.runs = runs;
  profile.calibration = compiled.calibration;
  return profile;
}

} // namespace

int profileCommand(Args args) {
  CompileOptions options;
  bool json = false;
  int64_t threads = 1, runs = 30;
  std::string trace, html;
  std::vector<std::string> positional;
  Options parser("profile", "MODEL.onnx [options]");
  parser.addCompileOptions(options);
  parser.addInteger("threads", "N", "threads (default 1)", 1, threads);
  parser.addInteger("runs", "N", "timed runs (default 30)", 1, runs);
  parser.addString("trace", "FILE", "write the last run as a Chrome trace", trace);
  parser.addString("html", "FILE", "write a page: kernels, roofline, errors of the prediction",
                   html);
  parser.addSwitch("json", "print one JSON object", json);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune profile: expects one model, found " << positional.size() << "\n";
    return kUsage;
  }
  InputSizes sizes{options.fixedShapes, options.fixedDims};
  options.predict.push_back(takeSizes(options, threads));
  options.threads = threads;
  CompileReport compiled;
  llvm::SmallString<128> artifact;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune", "so", artifact))
    return report(llvm::createStringError(code, "cannot create a temporary file"));
  llvm::Error error = compileModel(positional[0], artifact, options, &compiled);
  llvm::Expected<Profile> profile =
      error ? std::move(error) : measure(artifact.str().str(), compiled, sizes, threads, runs);
  llvm::sys::fs::remove(artifact);
  if (!profile)
    return report(profile.takeError());
  std::vector<FileContent> files;
  if (!trace.empty())
    files.push_back({trace, llvm::formatv("{0}\n", traceOf(*profile)).str()});
  if (!html.empty())
    files.push_back({html, profilePage(positional[0], *profile)});
  if (llvm::Error failed = writeFiles(files))
    return report(std::move(failed));
  if (json)
    llvm::outs() << toJson(*profile) << "\n";
  else
    print(*profile);
  return kOk;
}

} // namespace attune::tools
