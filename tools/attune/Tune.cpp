#include "attune/tools/attune/Tune.h"
#include "attune/codegen/Artifact.h"
#include "attune/tools/attune/Commands.h"
#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/StepTimes.h"
#include "attune/tools/attune/calibrate/Sweep.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cmath>
#include <map>
#include <set>

namespace attune::tools {
namespace {

using codegen::Decision;
using codegen::Tuning;

/// Part of the predicted time below which a decision is left to prices.
constexpr double kMatters = 0.01;
/// Time to measure one alternative, and runs of it.
constexpr double kSeconds = 0.3;
constexpr size_t kLeastRuns = 7, kMostRuns = 200;

/// The model with one alternative of a decision.
struct Variant {
  std::string name;
  Temporary artifact;
  CompileReport report;
  std::unique_ptr<Session> session;
  std::unique_ptr<StepTimes> times;

  using Kernel = std::pair<std::string, std::string>; ///< what it computes, and who made it
  Kernel kernelOf(const ModelCost::Call &call) const {
    const CompileReport::Kernel &kernel = report.kernels[call.kernel];
    return {kernel.hash, kernel.emitter};
  }
  /// How often each is called.
  using Calls = std::map<Kernel, unsigned>;
  Calls kernels() const {
    Calls calls;
    for (const ModelCost::Call &call : report.predictions.front().calls)
      ++calls[kernelOf(call)];
    return calls;
  }
  /// Seconds of the kernels that other variants do not have as often.
  double seconds(const Calls &common) const {
    double sum = 0;
    std::vector<double> calls = times->quantiles(0.25);
    for (auto [call, seconds] : llvm::zip(report.predictions.front().calls, calls))
      if (!common.count(kernelOf(call)))
        sum += seconds;
    return sum;
  }
};

class Tuner {
public:
  Tuner(llvm::StringRef model, CompileOptions options, const TuneOptions &how, Tuning tuning)
      : model(model), options(std::move(options)), how(how), tuning(std::move(tuning)) {
    CostRequest &call = this->options.predict.emplace_back();
    call.threads = how.threads;
    this->options.emit = EmitKind::Artifact;
    this->options.stopAfter.clear();
  }

  llvm::Expected<unsigned> run() {
    // Also where nothing is measured: later compilations read the file that was named.
    if (llvm::Error error = tuning.write())
      return std::move(error);
    unsigned measured = 0;
    // A choice may bring others with it.
    for (std::set<std::string> done;;) {
      CompileReport report;
      CompileOptions only = options;
      only.onlyPredict = true;
      only.tuning = &tuning;
      if (llvm::Error error = compileModel(model, "", only, &report))
        return std::move(error);
      auto next = llvm::find_if(report.decisions, [&](const Decision &decision) {
        return !done.count(decision.key) && matters(decision, report);
      });
      if (next == report.decisions.end())
        return measured;
      done.insert(next->key);
      progress(llvm::Twine(measured + 1) + ": " + next->kind + " of " + next->what);
      auto entry = measure(*next);
      if (!entry)
        return entry.takeError();
      if (entry->seconds.empty())
        continue;
      ++measured;
      tuning.set(next->key, std::move(*entry));
      if (llvm::Error error = tuning.write())
        return std::move(error);
    }
  }

  ~Tuner() { progress(""); }

private:
  const llvm::StringRef model;
  CompileOptions options;
  const TuneOptions how;
  Tuning tuning;

  void progress(const llvm::Twine &what) const {
    if (how.progress)
      llvm::errs() << "\r\033[K" << (what.isTriviallyEmpty() ? "" : "tuning ") << what;
  }

  static bool matters(const Decision &decision, const CompileReport &report) {
    if (decision.measured || decision.key.empty() || decision.alternatives.size() < 2)
      return false;
    double least = INFINITY;
    for (const Decision::Alternative &alternative : decision.alternatives)
      least = std::min(least, alternative.seconds);
    return least * decision.times >= kMatters * report.predictions.front().seconds;
  }

  static std::string describe(const Decision &decision) {
    std::string text = decision.kind + " of " + decision.what;
    if (!decision.nodes.empty())
      text += " at " + decision.nodes.front();
    return text;
  }

  /// Empty where alternatives came out the same.
  llvm::Expected<Tuning::Entry> measure(const Decision &decision) {
    auto alternatives = decision.alternatives;
    llvm::sort(alternatives, [](const auto &a, const auto &b) {
      return std::tie(a.seconds, a.name) < std::tie(b.seconds, b.name);
    });
    if (alternatives.size() > static_cast<size_t>(how.alternatives))
      alternatives.resize(how.alternatives);
    std::vector<Variant> variants;
    for (const Decision::Alternative &alternative : alternatives) {
      auto variant = make(decision, alternative.name);
      if (!variant)
        return variant.takeError();
      variants.push_back(std::move(*variant));
    }
    if (llvm::Error error = time(variants))
      return std::move(error);
    Variant::Calls common = variants.front().kernels();
    for (const Variant &variant : variants) {
      Variant::Calls own = variant.kernels(), both;
      std::set_intersection(common.begin(), common.end(), own.begin(), own.end(),
                            std::inserter(both, both.end()));
      common = std::move(both);
    }
    Tuning::Entry entry;
    if (llvm::all_of(variants, [&](const Variant &v) { return v.kernels() == common; }))
      return entry;
    entry.what = describe(decision);
    double least = INFINITY;
    for (const Variant &variant : variants) {
      double seconds = variant.seconds(common);
      entry.seconds[variant.name] = seconds;
      if (seconds < least) {
        least = seconds;
        entry.chosen = variant.name;
      }
    }
    return entry;
  }

  llvm::Expected<Variant> make(const Decision &decision, const std::string &alternative) {
    auto artifact = Temporary::make("so");
    if (!artifact)
      return artifact.takeError();
    Variant variant{alternative, std::move(*artifact), {}, nullptr, nullptr};
    Tuning forced = tuning;
    forced.set(decision.key, {describe(decision), alternative, {{alternative, 0}}});
    CompileOptions compile = options;
    compile.tuning = &forced;
    if (llvm::Error error = compileModel(model, variant.artifact.path, compile, &variant.report))
      return std::move(error);
    return variant;
  }

  /// Variants take turns, so that a slow phase of the machine hits all of them.
  llvm::Error time(std::vector<Variant> &variants) {
    try {
      for (Variant &variant : variants) {
        variant.session = std::make_unique<Session>(variant.artifact.path,
                                                    SessionOptions{.threads = how.threads});
        auto inputs = makeInputs(*variant.session, InputSizes());
        if (!inputs)
          return inputs.takeError();
        variant.times = std::make_unique<StepTimes>(*variant.session, std::move(*inputs));
      }
      double spent = 0;
      size_t runs = 0;
      while (runs < kLeastRuns || (spent < kSeconds * variants.size() && runs < kMostRuns)) {
        for (Variant &variant : variants)
          spent += variant.times->run();
        ++runs;
      }
    } catch (const std::exception &error) {
      return llvm::createStringError(error.what());
    }
    return llvm::Error::success();
  }
};

} // namespace

llvm::Expected<unsigned> tune(llvm::StringRef model, CompileOptions options,
                              const TuneOptions &how) {
  auto host = codegen::CpuTarget::parse("host"), target = codegen::CpuTarget::parse(options.cpu);
  if (!host)
    return host.takeError();
  if (!target)
    return target.takeError();
  if (options.target != "cpu")
    return llvm::createStringError("--tune measures kernels on this CPU, not on `" +
                                   options.target + "`");
  if (target->cpu != host->cpu || target->features != host->features)
    return llvm::createStringError("--tune measures kernels on this machine (" + host->cpu +
                                   "), they cannot be for --cpu=" + options.cpu);
  auto tuning = Tuning::of(*target, codegen::compilerVersion(), how.threads, /*writes=*/true);
  if (!tuning)
    return tuning.takeError();
  if (tuning->file().empty())
    return llvm::createStringError("there is nowhere to keep what --tune measures: name a file by "
                                   "ATTUNE_TUNING");
  return Tuner(model, std::move(options), how, std::move(*tuning)).run();
}

} // namespace attune::tools
