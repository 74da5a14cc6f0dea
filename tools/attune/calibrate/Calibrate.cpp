#include "attune/codegen/Artifact.h"
#include "attune/codegen/cost/UserFile.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Roof.h"
#include "attune/tools/attune/StepTimes.h"
#include "attune/tools/attune/calibrate/Probes.h"
#include "attune/tools/attune/calibrate/Sweep.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Threading.h"

#include <chrono>
#include <cmath>

namespace attune::tools {
namespace {

using codegen::Machine;

class Calibration {
public:
  Calibration(const codegen::CpuTarget &target, unsigned threads, double budget)
      : budget(budget), terminal(llvm::sys::Process::StandardErrIsDisplayed()) {
    machine = Machine::typical(target);
    machine.threads = threads;
    machine.version = codegen::compilerVersion();
  }

  llvm::Error run() {
    probeMemory();
    if (llvm::Error error = measureRates())
      return error;
    if (llvm::Error error = measureLaunch())
      return error;
    if (llvm::Error error = measureKernels())
      return error;
    fit();
    progress("");
    return llvm::Error::success();
  }

  void print(llvm::raw_ostream &os) const;
  /// Every kernel that was measured, and what it is predicted to take now.
  llvm::json::Value measurements() const;

  Machine machine;

private:
  double elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  void progress(const llvm::Twine &what) const {
    if (terminal)
      llvm::errs() << "\r\033[K" << what;
  }

  void probeMemory();
  llvm::Error measureRates();
  llvm::Error measureLaunch();
  llvm::Error measureKernels();
  void fit();

  const double budget;
  const bool terminal;
  const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  std::vector<MeasuredKernel> kernels;
  std::vector<std::string> names; ///< of the networks measured
  unsigned measured = 0, drifted = 0;
};

void Calibration::probeMemory() {
  std::vector<int64_t> sizes = cacheSizes();
  for (unsigned level = 0; level < machine.levels.size(); ++level) {
    Machine::Level &entry = machine.levels[level];
    entry.bandwidth.clear();
    bool memory = level == sizes.size();
    entry.bytes = memory ? 0 : sizes[level];
    for (unsigned threads = 1; threads <= machine.threads; ++threads) {
      progress("memory: " + entry.name + ", " + llvm::Twine(threads) + " threads");
      // Well inside the level; beyond the caches, four times what they hold.
      int64_t bytes = memory      ? std::max<int64_t>(64 << 20, 4 * sizes.back()) / threads
                      : level < 2 ? sizes[level] / 2
                                  : 2 * sizes[1];
      entry.bandwidth.push_back(readBandwidth(bytes, threads));
    }
  }
}

/// Seconds of all kernels of a network without free sizes, on `threads` threads.
llvm::Expected<double> secondsOf(const Network &network, unsigned threads,
                                 codegen::WorkSum *work = nullptr) {
  auto list = sweep(network, {.threads = {threads}});
  if (!list)
    return list.takeError();
  double sum = 0;
  for (const MeasuredKernel &kernel : *list) {
    sum += kernel.seconds;
    if (work)
      work->add(kernel.features.work);
  }
  return sum;
}

llvm::Error Calibration::measureRates() {
  using Class = WorkTerm::Class;
  auto rate = [&](Class kind) -> double & { return machine.rate[static_cast<unsigned>(kind)]; };
  progress("arithmetic");
  rate(Class::Fma) = measureFmaPeak(1) * 1e9;
  // Helpers of products with powers of two decode them and multiply.
  rate(Class::Shift) = rate(Class::Fma);
  // Short enough that operations of neighbouring vectors overlap, as they do in kernels; in cache.
  constexpr int64_t kRows = 16, kWidth = 1024;
  struct Chain {
    ChainOp op;
    Class kind;
    int64_t few, many;
  };
  for (Chain c : {Chain{ChainOp::Multiply, Class::Multiply, 4, 20},
                  Chain{ChainOp::Add, Class::Arithmetic, 4, 20},
                  Chain{ChainOp::Exp, Class::Transcendental, 1, 5}}) {
    auto few = secondsOf(chain(c.op, c.few, kRows, kWidth), 1);
    if (!few)
      return few.takeError();
    auto many = secondsOf(chain(c.op, c.many, kRows, kWidth), 1);
    if (!many)
      return many.takeError();
    // No operation is faster than two multiply-adds count.
    double operations = (c.many - c.few) * kRows * kWidth;
    if (*many > *few)
      rate(c.kind) = std::min(operations / (*many - *few), rate(Class::Fma));
  }
  codegen::WorkSum work;
  auto seconds = secondsOf(distances(96, 256, 256), 1, &work);
  if (!seconds)
    return seconds.takeError();
  rate(Class::Distance) = work.distance > 0 ? work.distance / *seconds : rate(Class::Arithmetic);
  return llvm::Error::success();
}

llvm::Error Calibration::measureLaunch() {
  progress("starting kernels");
  constexpr int64_t kTimes = 32;
  auto tiny = secondsOf(products(kTimes, 4, 16), 1);
  if (!tiny)
    return tiny.takeError();
  // Equal calls count once in a sweep: this is one kernel.
  machine.launch = {std::max(*tiny, 1e-8)};
  auto alone = secondsOf(products(kTimes, 48, 128), 1);
  if (!alone)
    return alone.takeError();
  for (unsigned threads = 2; threads <= machine.threads; ++threads) {
    constexpr unsigned kAttempts = 3; // what else runs only adds
    double least = INFINITY;
    for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
      auto shared = secondsOf(products(kTimes, 48, 128), threads);
      if (!shared)
        return shared.takeError();
      least = std::min(least, *shared);
    }
    machine.launch.push_back(std::max(machine.launch.front(), least - *alone / threads));
  }
  return llvm::Error::success();
}

llvm::Error Calibration::measureKernels() {
  constexpr double kDrift = 0.95, kReserve = 8; // seconds of one network
  std::vector<Network> networks = calibrationNetworks();
  SweepOptions options;
  options.threads.clear();
  for (unsigned threads = 1; threads <= machine.threads; threads *= 2)
    options.threads.push_back(threads);
  double reference = 0;
  options.steady = [&] {
    double now = measureFmaPeak(machine.threads);
    reference = std::max(reference, now);
    bool steady = now >= kDrift * reference;
    drifted += !steady;
    return steady;
  };
  for (const Network &network : networks) {
    if (elapsed() > budget - kReserve && measured >= 3)
      break;
    progress(llvm::formatv("kernels {0}/{1}: {2}", measured + 1, networks.size(), network.name));
    options.group = measured++;
    names.push_back(network.name);
    auto list = sweep(network, options);
    if (!list)
      return list.takeError();
    kernels.insert(kernels.end(), list->begin(), list->end());
  }
  return llvm::Error::success();
}

void Calibration::fit() {
  auto samplesAt = [&](double overlap) {
    machine.overlap = overlap;
    codegen::MachineOracle oracle(machine);
    std::map<std::string, std::vector<codegen::Residual::Sample>> samples;
    for (const MeasuredKernel &kernel : kernels) {
      codegen::Residual::Sample sample;
      codegen::KernelCost cost =
          oracle.analytic(kernel.features, kernel.resident, kernel.threads, &sample.inputs);
      sample.value = std::log(std::max(kernel.seconds, 1e-9) / cost.seconds);
      sample.group = kernel.group;
      // A clock of some tens of nanoseconds says little of the shortest ones.
      sample.weight = kernel.seconds / (kernel.seconds + 2e-6);
      samples[kernel.features.emitter].push_back(std::move(sample));
    }
    return samples;
  };
  // The overlap under which constants explain most.
  double best = INFINITY, chosen = machine.overlap;
  for (double overlap : {0.5, 0.6, 0.7, 0.8, 0.9, 1.0}) {
    double error = 0;
    for (const auto &[emitter, samples] : samplesAt(overlap)) {
      std::vector<double> values;
      for (const codegen::Residual::Sample &sample : samples)
        values.push_back(sample.value);
      double middle = medianOf(values);
      for (double value : values)
        error += std::abs(value - middle);
    }
    if (error < best) {
      best = error;
      chosen = overlap;
    }
  }
  for (const auto &[emitter, samples] : samplesAt(chosen))
    if (samples.size() >= 3)
      machine.residuals.insert_or_assign(emitter, codegen::Residual::fit(samples));
}

void Calibration::print(llvm::raw_ostream &os) const {
  os << machine.cpu << ", vectors of " << machine.vectorBits << " bits, " << machine.threads
     << " threads\n";
  const char *names[] = {"multiply-add", "add", "function", "multiply", "shift", "distance"};
  for (auto [name, rate] : llvm::zip(names, machine.rate))
    os << "  " << llvm::left_justify(name, 14) << llvm::format("%8.1f G/s a core\n", rate / 1e9);
  for (const Machine::Level &level : machine.levels) {
    os << "  " << llvm::left_justify(level.name, 14);
    for (double bandwidth : level.bandwidth)
      os << llvm::format("%8.1f", bandwidth / 1e9);
    os << " GB/s by threads\n";
  }
  os << "  kernel start  ";
  for (double seconds : machine.launch)
    os << llvm::format("%8.2f", seconds * 1e6);
  os << " us by threads\n";
  std::map<std::string, unsigned> points;
  for (const MeasuredKernel &kernel : kernels)
    ++points[kernel.features.emitter];
  for (const auto &[emitter, residual] : machine.residuals) {
    if (!points.count(emitter))
      continue; // as on a typical machine
    os << "  " << llvm::left_justify(emitter, 18)
       << llvm::format("%4u measurements, standard deviation of others %.0f %%\n", points[emitter],
                       residual.sigma() * 100);
  }
  os << measured << " networks in " << llvm::format("%.0f s", elapsed());
  if (drifted)
    os << "; the machine was slower than before " << drifted << " times: close other programs and "
       << "calibrate again";
  os << "\n";
}

llvm::json::Value Calibration::measurements() const {
  using llvm::json::Object;
  codegen::MachineOracle oracle(machine);
  llvm::json::Array list;
  for (const MeasuredKernel &kernel : kernels) {
    const codegen::KernelFeatures &f = kernel.features;
    std::vector<double> inputs;
    codegen::KernelCost analytic = oracle.analytic(f, kernel.resident, kernel.threads, &inputs);
    llvm::json::Array numbers;
    for (double input : inputs)
      numbers.push_back(input);
    list.push_back(
        Object{{"network", names[kernel.group]},
               {"emitter", f.emitter},
               {"form", f.form},
               {"threads", kernel.threads},
               {"measured_us", kernel.seconds * 1e6},
               {"analytic_us", analytic.seconds * 1e6},
               {"predicted_us", oracle.price(f, kernel.resident, kernel.threads).seconds * 1e6},
               {"flops", analytic.flops},
               {"bytes", analytic.bytes},
               {"weight_bytes", f.weightBytes},
               {"resident_bytes", kernel.resident},
               {"tasks", f.plan.tasks},
               {"padding", f.plan.padding},
               {"visited", f.plan.visited},
               {"copied_bytes", f.plan.copied},
               {"fma", f.work.fma},
               {"arithmetic", f.work.arithmetic},
               {"multiply", f.work.multiply},
               {"transcendental", f.work.transcendental},
               {"inputs", std::move(numbers)}});
  }
  return list;
}

} // namespace

int calibrateCommand(Args args) {
  std::string output, measurements;
  int64_t seconds = 60, threads = llvm::hardware_concurrency().compute_thread_count();
  std::vector<std::string> positional;
  Options parser("calibrate", "[options]");
  parser.addString("output", "FILE", "where to keep the result (default: the user's cache folder)",
                   output);
  parser.addString("measurements", "FILE", "also write every kernel that was measured, as JSON",
                   measurements);
  parser.addInteger("seconds", "N", "time to take, at most about (default 60)", 1, seconds);
  parser.addInteger("threads", "N", "threads to measure, up to (default: all)", 1, threads);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (!positional.empty()) {
    llvm::errs() << "attune calibrate: expects no model, found `" << positional[0] << "`\n";
    return kUsage;
  }
  auto target = codegen::CpuTarget::parse("host");
  if (!target)
    return report(target.takeError());
  if (output.empty())
    output = Machine::defaultPath(*target);
  if (output.empty())
    return report(llvm::createStringError("there is no home folder: give --output=FILE"));
  // Decisions of the compiler must not depend on what was measured before.
  ::setenv("ATTUNE_CALIBRATION", "none", 1);
  ::setenv("ATTUNE_TUNING", "none", 1);
  Calibration calibration(*target, threads, seconds);
  if (llvm::Error error = calibration.run())
    return report(std::move(error));
  if (llvm::Error error = codegen::writeJson(output, calibration.machine.toJson()))
    return report(std::move(error));
  if (!measurements.empty())
    if (llvm::Error error = codegen::writeJson(measurements, calibration.measurements()))
      return report(std::move(error));
  calibration.print(llvm::outs());
  llvm::outs() << "kept in " << output << "\n";
  return kOk;
}

} // namespace attune::tools
