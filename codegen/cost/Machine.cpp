#include "attune/codegen/cost/Machine.h"
#include "attune/codegen/cost/UserFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <algorithm>

namespace attune::codegen {

namespace json = llvm::json;

static constexpr int64_t kFormat = 4;
static constexpr llvm::StringRef kRates[WorkTerm::kClasses] = {
    "fma", "arithmetic", "transcendental", "multiply", "shift", "distance"};
static constexpr llvm::StringRef kLevels[] = {"L1", "L2", "L3", "DRAM"};

double Machine::bandwidth(unsigned level, unsigned threads) const {
  const std::vector<double> &measured = levels[level].bandwidth;
  return measured[std::clamp<size_t>(threads, 1, measured.size()) - 1];
}

double Machine::launchSeconds(unsigned threads) const {
  return launch[std::clamp<size_t>(threads, 1, launch.size()) - 1];
}

Machine Machine::typical(const CpuTarget &target) {
  Machine machine;
  machine.cpu = target.cpu;
  machine.vectorBits = target.vectorBits;
  constexpr double kClock = 2.8e9;
  /// Vectors of 512 bits run at a lower clock, or as two halves.
  constexpr double kWide = 0.65;
  /// Arithmetic operations of a vectorised polynomial.
  constexpr double kPolynomial = 14;
  double fma = target.lanes(32) * (target.fma ? 4.0 : 2.0) * kClock;
  if (target.vectorBits >= 512)
    fma *= kWide;
  machine.rate = {fma, fma / 2, fma / 2 / kPolynomial, fma / 2, fma, fma / 2};
  double bytes[] = {32e3, 1e6, 32e6, 0}, bandwidth[] = {150e9, 80e9, 40e9, 15e9};
  for (unsigned level = 0; level < 4; ++level) {
    Level &entry = machine.levels.emplace_back();
    entry.name = kLevels[level].str();
    entry.bytes = bytes[level];
    // Caches of their own grow with the cores; memory is shared.
    for (unsigned threads = 1; threads <= 64; ++threads)
      entry.bandwidth.push_back(bandwidth[level] *
                                (level < 3 ? threads : 1 + 0.6 * (std::min(threads, 4u) - 1)));
  }
  machine.launch = {1.5e-7, 1.5e-6};
  // See MachineOracle::parts: rounded from what calibrations of the machines that Attune is
  // developed on find. Loops are scalar code.
  machine.shares["rowwise"] = {0.15, 0.6, 0.2, 0.5, 0.04, 1, 0.2, 0.45, 0.1, 0.4, 0, 0.2, 0.1, 0};
  machine.shares["conv"] = {1, 0.4, 0, 1, 0.2, 0.5, 0, 0.4, 0, 0, 0.5, 0, 0, 0};
  machine.shares["loops"] = {100, 0.3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  // The part of the roofline that kernels of an emitter reach, on the machines that Attune is
  // developed on.
  for (auto [emitter, efficiency] :
       std::initializer_list<std::pair<const char *, double>>{{"gemm", 0.95},
                                                              {"conv", 0.95},
                                                              {"attention", 0.95},
                                                              {"linear_attention", 0.8},
                                                              {"map_mix", 0.6},
                                                              {"rowwise", 1.0},
                                                              {"toeplitz", 0.5},
                                                              {"halide", 0.95},
                                                              {"loops", 1.0}})
    machine.residuals.emplace(emitter, Residual(std::log(1 / efficiency)));
  return machine;
}

std::string Machine::defaultPath(const CpuTarget &target) {
  return userFile("calibration", target);
}

llvm::Expected<Machine> Machine::of(const CpuTarget &target) {
  const char *named = std::getenv("ATTUNE_CALIBRATION");
  if (named && llvm::StringRef(named) == "none")
    return typical(target);
  if (named && *named)
    return read(named);
  std::string path = defaultPath(target);
  if (path.empty() || !llvm::sys::fs::exists(path))
    return typical(target);
  auto machine = read(path);
  if (machine && machine->cpu == target.cpu && machine->vectorBits == target.vectorBits)
    return machine;
  // A file of another version is as good as none.
  llvm::consumeError(machine.takeError());
  return typical(target);
}

static json::Array numbers(llvm::ArrayRef<double> values) {
  json::Array array;
  for (double value : values)
    array.push_back(value);
  return array;
}

json::Value Machine::toJson() const {
  json::Object rates, parts, kernels;
  json::Array speeds;
  for (auto [count, seconds] : reference)
    speeds.push_back(json::Object{{"threads", count}, {"seconds", seconds}});
  for (auto [name, value] : llvm::zip(kRates, rate))
    rates[name] = value;
  json::Array caches;
  for (const Level &level : levels)
    caches.push_back(json::Object{
        {"name", level.name}, {"bytes", level.bytes}, {"bandwidth", numbers(level.bandwidth)}});
  for (const auto &[emitter, list] : shares)
    parts[emitter] = numbers(list);
  for (const auto &[emitter, residual] : residuals)
    kernels[emitter] = residual.toJson();
  return json::Object{{"format", kFormat},
                      {"cpu", cpu},
                      {"vector_bits", vectorBits},
                      {"threads", threads},
                      {"version", version},
                      {"operations_per_second", std::move(rates)},
                      {"levels", std::move(caches)},
                      {"launch_seconds", numbers(launch)},
                      {"reference", std::move(speeds)},
                      {"shares", std::move(parts)},
                      {"residuals", std::move(kernels)}};
}

/// All of them positive, at least one.
static bool arePositive(llvm::ArrayRef<double> values) {
  return !values.empty() && llvm::all_of(values, [](double x) { return x > 0; });
}

static llvm::Error parse(const json::Value &value, Machine &machine) {
  json::Path::Root root("calibration");
  json::ObjectMapper map(value, root);
  int64_t format = 0;
  if (!map || !map.map("format", format) || !map.map("cpu", machine.cpu) ||
      !map.map("vector_bits", machine.vectorBits) || !map.map("threads", machine.threads) ||
      !map.map("version", machine.version) || !map.map("launch_seconds", machine.launch) ||
      !map.mapOptional("shares", machine.shares))
    return root.getError();
  if (format != kFormat)
    return llvm::createStringError("it has format %lld, expected %lld",
                                   static_cast<long long>(format), static_cast<long long>(kFormat));
  const json::Object &object = *value.getAsObject();
  const json::Object *rates = object.getObject("operations_per_second");
  for (auto [name, rate] : llvm::zip(kRates, machine.rate))
    if (!rates || !(rate = rates->getNumber(name).value_or(0)))
      return llvm::createStringError("there is no rate `" + name + "`");
  const json::Array *levels = object.getArray("levels");
  for (const json::Value &entry : levels ? *levels : json::Array()) {
    Machine::Level &level = machine.levels.emplace_back();
    json::ObjectMapper fields(entry, root);
    if (!fields || !fields.map("name", level.name) || !fields.map("bytes", level.bytes) ||
        !fields.map("bandwidth", level.bandwidth))
      return root.getError();
  }
  bool complete = machine.levels.size() == std::size(kLevels) && arePositive(machine.launch) &&
                  arePositive(machine.rate);
  for (auto [level, name] : llvm::zip(machine.levels, kLevels))
    complete &= level.name == name && arePositive(level.bandwidth);
  if (!complete)
    return llvm::createStringError("a rate, a level or a time is missing or not positive");
  for (const auto &[emitter, list] : machine.shares)
    if (list.size() != kTimeParts || !llvm::all_of(list, [](double x) { return x >= 0; }))
      return llvm::createStringError("the shares of `" + emitter + "` are not " +
                                     llvm::Twine(kTimeParts) + " numbers from 0 on");
  if (const json::Array *speeds = object.getArray("reference"))
    for (const json::Value &entry : *speeds) {
      unsigned count = 0;
      double seconds = 0;
      json::ObjectMapper fields(entry, root);
      if (!fields || !fields.map("threads", count) || !fields.map("seconds", seconds))
        return root.getError();
      if (!(seconds > 0))
        return llvm::createStringError("a time of the reference is not positive");
      machine.reference[count] = seconds;
    }
  if (const json::Object *residuals = object.getObject("residuals"))
    for (const auto &[emitter, entry] : *residuals) {
      auto residual = Residual::fromJson(entry);
      if (!residual)
        return residual.takeError();
      machine.residuals.emplace(emitter.str(), std::move(*residual));
    }
  return llvm::Error::success();
}

llvm::Expected<Machine> Machine::fromJson(const json::Value &value) {
  Machine machine;
  if (llvm::Error error = parse(value, machine))
    return error;
  return machine;
}

llvm::Expected<Machine> Machine::read(llvm::StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return llvm::createStringError(file.getError(), "cannot read the calibration `" + path +
                                                        "`: " + file.getError().message());
  auto value = json::parse((*file)->getBuffer());
  Machine machine;
  llvm::Error error = value ? parse(*value, machine) : value.takeError();
  if (error)
    return llvm::createStringError("`" + path + "` is no calibration of this version (" +
                                   llvm::toString(std::move(error)) + "): run `attune calibrate`");
  machine.source = path.str();
  return machine;
}

} // namespace attune::codegen
