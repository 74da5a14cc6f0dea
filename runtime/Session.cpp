#include "attune/runtime/Session.h"
#include "attune/runtime/Call.h"
#include "attune/runtime/Cpu.h"
#include "attune/runtime/DType.h"
#include "attune/runtime/Error.h"
#include "attune/runtime/ThreadPool.h"

namespace attune::rt {

static constexpr unsigned kMaxThreads = 1024;

Session::Session(const std::string &path, const attune_session_options &options)
    : artifact(path), program(Program::parse(artifact.metadata(), artifact.weightsSize())),
      flushDenormals(options.flush_denormals), copyStrided(options.copy_strided),
      deviceOutputs(options.device_outputs) {
  if (options.threads > kMaxThreads)
    fail(ATTUNE_ERROR_ARGUMENT, "found ", options.threads, " threads, accepted are at most ",
         kMaxThreads);
  if (options.executor) {
    executor = *options.executor;
    if (executor.size != sizeof executor || !executor.run || !executor.threads ||
        executor.threads > kMaxThreads)
      fail(ATTUNE_ERROR_ARGUMENT, "the executor needs its size, `run`, and 1 to ", kMaxThreads,
           " threads");
    threads = options.threads ? std::min(options.threads, executor.threads) : executor.threads;
  } else {
    threads = options.threads ? options.threads : std::min(availableCpus(), kMaxThreads);
  }
  for (const auto *ports : {&program.inputs, &program.outputs})
    for (const Port &port : *ports)
      if (port.dtype == ATTUNE_STRING)
        fail(ATTUNE_ERROR_UNSUPPORTED, "unsupported: `", port.name, "` is a tensor of strings");
  artifact.load();
  for (const Kernel &kernel : program.kernels)
    functions.push_back(reinterpret_cast<attune_kernel_fn>(artifact.function(kernel.symbol)));
  describe();
}

Session::~Session() {
  for (auto &arena : arenas)
    delete arena.load(std::memory_order_acquire);
}

void Session::openDevice() {
  weightBuffers.clear(); // of a run that failed here
  weightStream.reset();
  device = program.target == Target::Cuda ? openCudaDevice() : openOpenClDevice();
  weightStream = device->makeStream();
  weights.resize(program.values.size());
  for (size_t i = 0; i < program.values.size(); ++i) {
    const Value &value = program.values[i];
    if (value.kind != ValueKind::Weight)
      continue;
    weights[i] = weightBuffers.emplace_back(*weightStream).get(value.weightBytes);
    weightStream->write(weights[i], artifact.weights() + value.offset, value.weightBytes);
  }
  weightStream->finish();
}

Arena::Arena(const Context &own, const Program &program, std::unique_ptr<Stream> ownStream)
    : context(own), stream(std::move(ownStream)) {
  context.stream = stream.get();
  context.device = &stream->kernelInterface();
  auto reserve = [&](std::vector<Reserved> &list, size_t count) {
    for (size_t i = 0; i < count; ++i)
      list.emplace_back(*stream);
  };
  reserve(slots, program.slots.size());
  reserve(inputs, program.inputs.size());
  reserve(outputs, program.outputs.size());
}

static const char *nameOf(Target target) {
  return target == Target::Cpu ? "cpu" : target == Target::Cuda ? "cuda" : "opencl";
}

void Session::describe() {
  auto list = [&](const std::vector<std::string> &texts) {
    std::vector<const char *> pointers;
    for (const std::string &entry : texts)
      pointers.push_back(entry.empty() ? nullptr : entry.c_str());
    strings.push_back(std::move(pointers));
    return strings.back().data();
  };
  // The lists hold pointers into these.
  ports.reserve(program.inputs.size() + program.outputs.size());
  aliases.reserve(program.aliases.size());
  kernels.reserve(program.kernels.size());
  auto describePorts = [&](const std::vector<Port> &from, std::vector<const attune_port *> &to) {
    for (const Port &port : from) {
      ports.push_back({sizeof(attune_port), ATTUNE_TENSOR, port.name.c_str(), port.dtype,
                       int32_t(port.shape.size()), port.shape.data(), list(port.symbols)});
      to.push_back(&ports.back());
    }
  };
  describePorts(program.inputs, inputList);
  describePorts(program.outputs, outputList);
  for (const Alias &alias : program.aliases) {
    aliases.push_back({sizeof(attune_alias), alias.input, alias.output, alias.axis});
    aliasList.push_back(&aliases.back());
  }
  for (const Kernel &kernel : program.kernels) {
    kernels.push_back({sizeof(attune_kernel), uint32_t(kernel.nodes.size()), kernel.symbol.c_str(),
                       kernel.name.c_str(), kernel.emitter.c_str(), kernel.backend.c_str(),
                       kernel.hash.c_str(), list(kernel.nodes)});
    kernelList.push_back(&kernels.back());
  }
  description = {sizeof(attune_signature),
                 threads,
                 program.model.c_str(),
                 program.compiler.c_str(),
                 program.cpu.c_str(),
                 uint32_t(inputList.size()),
                 uint32_t(outputList.size()),
                 uint32_t(aliasList.size()),
                 uint32_t(kernelList.size()),
                 uint32_t(program.steps.size()),
                 0,
                 inputList.data(),
                 outputList.data(),
                 aliasList.data(),
                 kernelList.data(),
                 artifact.weightsSize(),
                 nameOf(program.target)};
}

std::unique_ptr<Arena> Session::acquire() {
  for (auto &place : arenas)
    if (place.load(std::memory_order_relaxed))
      if (Arena *arena = place.exchange(nullptr, std::memory_order_acquire))
        return std::unique_ptr<Arena>(arena);
  Context context(threads, executor.run ? &executor : nullptr);
  return device ? std::make_unique<Arena>(context, program, device->makeStream())
                : std::make_unique<Arena>(context);
}

void Session::release(std::unique_ptr<Arena> arena) {
  for (auto &place : arenas) {
    Arena *none = nullptr;
    if (place.compare_exchange_strong(none, arena.get(), std::memory_order_release,
                                      std::memory_order_relaxed)) {
      arena.release();
      return;
    }
  }
}

namespace {
/// The caller's floating-point environment, with denormals flushed if asked for, until the end.
class FloatScope {
public:
  explicit FloatScope(bool flush) : before(floatControl()), changed(flush) {
    if (changed)
      setFloatControl(flushingDenormals(before));
  }
  ~FloatScope() {
    if (changed)
      setFloatControl(before);
  }

private:
  uint32_t before;
  bool changed;
};
} // namespace

void Session::run(const attune_run_args &args) {
  Binding binding(program, args, copyStrided);
  binding.sizes.threads = threads;
  if (program.target != Target::Cpu)
    std::call_once(deviceOnce, [&] { openDevice(); });
  if (std::optional<attune_device> place = device ? device->place() : std::nullopt) {
    binding.checkDevice(*place);
    if (deviceOutputs)
      binding.resultDevice = device;
  }
  struct Lease {
    Session &session;
    std::unique_ptr<Arena> arena;
    ~Lease() { session.release(std::move(arena)); }
  } lease{*this, acquire()};
  FloatScope floats(flushDenormals);
  Call call(program, functions, artifact.weights(), weights, *lease.arena, binding, args.profile);
  if (threads > 1 && !executor.run) {
    PoolActive active;
    call.run();
  } else {
    call.run();
  }
  binding.deliver();
}

} // namespace attune::rt
