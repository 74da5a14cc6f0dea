#include "attune/codegen/Artifact.h"
#include "attune/codegen/cost/UserFile.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Roof.h"
#include "attune/tools/attune/StepTimes.h"
#include "attune/tools/attune/calibrate/Probes.h"
#include "attune/tools/attune/calibrate/Speed.h"
#include "attune/tools/attune/calibrate/Sweep.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/Threading.h"

#include <chrono>
#include <optional>
#include <set>

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
  /// What another calibration measured.
  explicit Calibration(codegen::Points points)
      : points(std::move(points)), budget(0), terminal(false) {}

  llvm::Error run() {
    probeMemory();
    if (llvm::Error error = measureRates())
      return error;
    if (llvm::Error error = measureLaunch())
      return error;
    if (llvm::Error error = measureKernels())
      return error;
    progress("");
    return llvm::Error::success();
  }
  /// What the points say of the machine.
  Machine fitted() const {
    Machine result = machine;
    codegen::fitResiduals(result, points.kernels);
    return result;
  }
  void print(const Machine &fitted, llvm::raw_ostream &os) const;

  codegen::Points points;
  Machine &machine = points.machine;

private:
  double elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  /// All but what one network and the fit take.
  bool isOver() const {
    constexpr double kReserve = 4;
    return elapsed() > budget - kReserve;
  }
  void progress(const llvm::Twine &what) const {
    if (terminal)
      llvm::errs() << "\r\033[K" << what;
  }

  void probeMemory();
  llvm::Error measureRates();
  llvm::Error measureLaunch();
  llvm::Error measureKernels();
  llvm::Error compile(llvm::ArrayRef<Network> networks, std::vector<Sweep> &sweeps);
  llvm::Error measure(llvm::ArrayRef<Sweep> sweeps, Reference &reference, unsigned least);

  const double budget;
  const bool terminal;
  const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  std::vector<SweptKernel> swept;
  unsigned disturbed = 0; ///< kernels that were not measured undisturbed
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
      // Threads that are disturbed are not slower together than one alone.
      double least = entry.bandwidth.empty() ? 0 : entry.bandwidth.back();
      entry.bandwidth.push_back(std::max(least, readBandwidth(bytes, threads)));
    }
  }
}

/// Seconds of all kernels of a network without free sizes, on one number of threads.
llvm::Expected<double> secondsOf(const Sweep &sweep, codegen::WorkSum *work = nullptr) {
  auto list = sweep.measure();
  if (!list)
    return list.takeError();
  double sum = 0;
  for (const auto &[kernel, reference] : *list) {
    sum += kernel.seconds;
    if (work)
      work->add(kernel.features.work);
  }
  return sum;
}

llvm::Expected<double> secondsOf(const Network &network, unsigned threads,
                                 codegen::WorkSum *work = nullptr) {
  auto sweep = Sweep::make(network, {threads});
  return sweep ? secondsOf(*sweep, work) : sweep.takeError();
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
    constexpr unsigned kAttempts = 8; // what else runs only adds
    double least = INFINITY;
    auto sweep = Sweep::make(products(kTimes, 48, 128), {threads});
    if (!sweep)
      return sweep.takeError();
    for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
      auto shared = secondsOf(*sweep);
      if (!shared)
        return shared.takeError();
      least = std::min(least, *shared);
    }
    machine.launch.push_back(std::max(machine.launch.front(), least - *alone / threads));
  }
  return llvm::Error::success();
}

/// Numbers of threads that kernels are measured on.
static std::vector<unsigned> threadCounts(unsigned most) {
  std::vector<unsigned> counts;
  for (unsigned threads = 1; threads <= most; threads *= 2)
    counts.push_back(threads);
  return counts;
}

/// On all threads: compiling takes longer than measuring.
llvm::Error Calibration::compile(llvm::ArrayRef<Network> networks, std::vector<Sweep> &sweeps) {
  std::vector<std::optional<llvm::Expected<Sweep>>> made(networks.size());
  {
    llvm::DefaultThreadPool pool(llvm::hardware_concurrency(machine.threads));
    for (size_t i = 0; i < networks.size(); ++i)
      pool.async(
          [&, i] { made[i].emplace(Sweep::make(networks[i], threadCounts(machine.threads))); });
  }
  llvm::Error errors = llvm::Error::success();
  for (std::optional<llvm::Expected<Sweep>> &result : made)
    if (*result)
      sweeps.push_back(std::move(**result));
    else
      errors = llvm::joinErrors(std::move(errors), result->takeError());
  return errors;
}

/// As many of the networks as there is time for, at least some.
llvm::Error Calibration::measure(llvm::ArrayRef<Sweep> sweeps, Reference &reference,
                                 unsigned least) {
  for (auto [number, sweep] : llvm::enumerate(sweeps)) {
    if (isOver() && number >= least)
      break;
    progress("kernels: " + sweep.name());
    auto list = sweep.measure(&reference);
    if (!list)
      return list.takeError();
    llvm::append_range(swept, *list);
  }
  return llvm::Error::success();
}

llvm::Error Calibration::measureKernels() {
  auto reference = Reference::open(threadCounts(machine.threads));
  if (!reference)
    return reference.takeError();
  std::vector<Network> networks = calibrationNetworks();
  std::vector<Sweep> sweeps;
  constexpr unsigned kLeast = 3;
  // Little is compiled in vain where time is short, and nothing while something is measured.
  size_t atOnce = std::max(2 * machine.threads, kLeast);
  for (llvm::ArrayRef<Network> left(networks); !left.empty() && (sweeps.empty() || !isOver());) {
    llvm::ArrayRef<Network> next = left.take_front(atOnce);
    left = left.drop_front(next.size());
    progress(llvm::formatv("kernels {0}/{1}: compiling", sweeps.size() + 1, networks.size()));
    size_t first = sweeps.size();
    if (llvm::Error error = compile(next, sweeps))
      return error;
    if (llvm::Error error =
            measure(llvm::ArrayRef(sweeps).drop_front(first), *reference, first ? 0 : kLeast))
      return error;
  }
  // What was measured while the machine was not as usual is measured again in the time left.
  auto isSteady = [&](const SweptKernel &one) {
    return reference->isSteady(one.kernel.threads, one.reference);
  };
  llvm::erase_if(sweeps, [&](const Sweep &sweep) {
    return llvm::all_of(swept, [&](const SweptKernel &one) {
      return !llvm::StringRef(one.kernel.network).starts_with(sweep.name()) || isSteady(one);
    });
  });
  if (llvm::Error error = measure(sweeps, *reference, 0))
    return error;
  for (unsigned threads : threadCounts(machine.threads))
    machine.reference[threads] = reference->usual(threads);
  // Of every kernel the measurement that was disturbed least.
  auto distance = [&](const SweptKernel &one) {
    return reference->distance(one.kernel.threads, one.reference);
  };
  std::map<std::tuple<std::string, std::string, int64_t, unsigned>, SweptKernel *> best;
  for (SweptKernel &one : swept) {
    const MeasuredKernel &kernel = one.kernel;
    SweptKernel *&known = best[{kernel.network, kernel.sizes, kernel.call, kernel.threads}];
    if (!known || distance(one) < distance(*known))
      known = &one;
  }
  for (auto &[key, one] : best)
    if (isSteady(*one))
      points.kernels.push_back(std::move(one->kernel));
    else
      ++disturbed;
  return llvm::Error::success();
}

void Calibration::print(const Machine &fitted, llvm::raw_ostream &os) const {
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
  std::map<std::string, unsigned> counts;
  std::set<std::string> networks;
  for (const MeasuredKernel &kernel : points.kernels) {
    ++counts[kernel.features.emitter];
    networks.insert(kernel.network);
  }
  for (const auto &[emitter, residual] : fitted.residuals) {
    if (!counts.count(emitter))
      continue; // as on a typical machine
    os << "  " << llvm::left_justify(emitter, 18)
       << llvm::format("%4u measurements, standard deviation of others %.0f %%\n", counts[emitter],
                       residual.sigma() * 100);
  }
  os << networks.size() << " networks";
  if (budget)
    os << " in " << llvm::format("%.0f s", elapsed());
  if (disturbed)
    os << "; " << disturbed << " kernels were measured only while the machine was slower or faster "
       << "than usual, and do not count: close other programs and calibrate again";
  os << "\n";
}

} // namespace

int calibrateCommand(Args args) {
  std::string output, keep, given;
  bool check = false, json = false;
  const int64_t available = llvm::hardware_concurrency().compute_thread_count();
  int64_t seconds = 60, threads = available;
  std::vector<std::string> positional;
  Options parser("calibrate", "[options]");
  parser.addString("output", "FILE", "where to keep the result (default: the user's cache folder)",
                   output);
  parser.addString("points", "FILE", "also write every measurement, as JSON", keep);
  parser.addString("from-points", "FILE", "measure nothing: use what --points wrote", given);
  parser.addInteger("seconds", "N", "time to take, at most about (default 60)", 1, seconds);
  parser.addInteger("threads", "N", "threads to measure, up to (default: all)", 1, threads);
  parser.addSwitch(
      "check", "measure only how fast the machine is now, against when it was calibrated", check);
  parser.addSwitch("json", "with --check: print one JSON object", json);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (!positional.empty()) {
    llvm::errs() << "attune calibrate: expects no model, found `" << positional[0] << "`\n";
    return kUsage;
  }
  if (threads > available)
    return report(llvm::createStringError("--threads: this process may use %lld, found %lld",
                                          static_cast<long long>(available),
                                          static_cast<long long>(threads)));
  auto target = codegen::CpuTarget::parse("host");
  if (!target)
    return report(target.takeError());
  if (check)
    return checkSpeed(*target, json);
  if (output.empty())
    output = Machine::defaultPath(*target);
  if (output.empty())
    return report(llvm::createStringError("there is no home folder: give --output=FILE"));
  std::optional<Calibration> calibration;
  if (given.empty()) {
    // Decisions of the compiler must not depend on what was measured before.
    ::setenv("ATTUNE_CALIBRATION", "none", 1);
    ::setenv("ATTUNE_TUNING", "none", 1);
    calibration.emplace(*target, threads, seconds);
    if (llvm::Error error = calibration->run())
      return report(std::move(error));
  } else {
    auto points = codegen::Points::read(given);
    if (!points)
      return report(points.takeError());
    calibration.emplace(std::move(*points));
  }
  Machine fitted = calibration->fitted();
  if (llvm::Error error = codegen::writeJson(output, fitted.toJson()))
    return report(std::move(error));
  if (!keep.empty())
    if (llvm::Error error = codegen::writeJson(keep, calibration->points.toJson()))
      return report(std::move(error));
  calibration->print(fitted, llvm::outs());
  llvm::outs() << "kept in " << output << "\n";
  return kOk;
}

} // namespace attune::tools
