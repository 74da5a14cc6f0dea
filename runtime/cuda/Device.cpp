#include "attune/runtime/DeviceStream.h"

#include "attune/runtime/Parallel.h"
#include "attune/runtime/cuda/Driver.h"
#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

namespace attune::rt {
namespace cuda {
namespace {

/// The oldest devices that kernels are made for: 8.0.
constexpr int kOldestMajor = 8;

DevicePointer pointer(Handle handle) { return reinterpret_cast<uintptr_t>(handle); }

class CudaDevice final : public rt::Device {
public:
  explicit CudaDevice(int ordinal) {
    cu.check(cu.deviceGet(&device, ordinal), "device ", ordinal);
    char text[256] = "";
    cu.check(cu.deviceGetName(text, sizeof text, device), "asking for a device's name");
    name = text;
    int major = 0;
    cu.check(cu.deviceGetAttribute(&major, ComputeCapabilityMajor, device), "asking a device");
    if (major < kOldestMajor)
      fail(ATTUNE_ERROR_UNSUPPORTED, "unsupported: `", name, "` has compute capability ", major,
           ".x, kernels need ", kOldestMajor, ".0");
    cu.check(cu.primaryRetain(&context, device), "`", name, "` cannot be used");
  }
  ~CudaDevice() override {
    cu.setCurrent(context);
    for (const auto &entry : modules)
      cu.moduleUnload(entry.second);
    cu.primaryRelease(device);
  }
  std::unique_ptr<rt::Stream> makeStream() override;

  /// Contexts belong to threads; calls come from any.
  void enter() const { cu.check(cu.setCurrent(context), "`", name, "` cannot be used"); }

  /// Never fails: destructors call it, also when a kernel's error has made the context useless.
  void release(Handle handle) const noexcept override {
    cu.setCurrent(context);
    cu.memFree(pointer(handle));
  }
  std::optional<attune_device> place() const override { return attune_device{ATTUNE_CUDA, device}; }

  /// Loads the module of that PTX the first time.
  Module module(const char *source, uint64_t length);

  const Driver &cu = driver();
  std::string name;
  Context context = nullptr;

private:
  cuda::Device device = 0;
  std::mutex loading;
  std::map<const char *, Module> modules; ///< by the place of the source in the artifact
};

Module CudaDevice::module(const char *source, uint64_t length) {
  std::lock_guard lock(loading);
  Module &loaded = modules[source];
  if (loaded)
    return loaded;
  const std::string ptx(source, length); // with a zero at the end
  std::vector<char> log(4096);
  JitOption options[] = {JitErrorLogBuffer, JitErrorLogBufferBytes};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size())};
  if (Result result = cu.moduleLoadDataEx(&loaded, ptx.c_str(), 2, options, values)) {
    loaded = nullptr;
    fail(ATTUNE_ERROR_SYSTEM, "CUDA: `", name, "` does not compile it: ", cu.describe(result),
         log[0] ? "\n" : "", log.data());
  }
  return loaded;
}

class CudaStream final : public rt::DeviceStream {
public:
  explicit CudaStream(CudaDevice &device) : device(device) {
    device.enter();
    cu.check(cu.streamCreate(&stream, StreamNonBlocking), "making a stream");
  }
  ~CudaStream() override {
    // Results do not matter: where a kernel has failed, all of these do.
    cu.setCurrent(device.context);
    cu.streamSynchronize(stream);
    releaseTemporaries();
    if (failures)
      cu.memFree(failures);
    if (seen)
      cu.memFreeHost(seen);
    if (event)
      cu.eventDestroy(event);
    cu.streamDestroy(stream);
  }

  void begin(uint32_t steps) override {
    device.enter();
    if (steps > capacity) {
      finish();
      makeFailures(steps);
    } else if (mayFail) { // in a call that ended early
      clearFailures();
    }
    mayFail = false;
  }

  const attune_kernel_device &kernelInterface() const override { return kInterface; }

  void followDefault() override {
    device.enter();
    if (!event)
      cu.check(cu.eventCreate(&event, EventDisableTiming), "making an event");
    cu.check(cu.eventRecord(event, nullptr), "asking the default stream");
    cu.check(cu.streamWaitEvent(stream, event, 0), "waiting for the default stream");
  }

  Handle allocate(uint64_t bytes) override {
    device.enter();
    DevicePointer memory = 0;
    cu.check(cu.memAlloc(&memory, std::max<uint64_t>(bytes, 1)), "`", device.name,
             "` has no room for a tensor of ", bytes, " bytes");
    return reinterpret_cast<Handle>(uintptr_t(memory));
  }
  void release(Handle handle) override { device.release(handle); }

  void write(Handle to, const void *from, uint64_t bytes) override {
    device.enter();
    if (bytes)
      cu.check(cu.copyToDeviceAsync(pointer(to), from, bytes, stream), "writing to the device");
  }
  void read(void *to, Handle from, uint64_t offset, uint64_t bytes) override {
    device.enter();
    if (bytes)
      cu.check(cu.copyToHostAsync(to, pointer(from) + offset, bytes, stream),
               "reading from the device");
  }
  void copy(Handle to, Handle from, uint64_t bytes) override {
    device.enter();
    if (bytes)
      cu.check(cu.copyOnDeviceAsync(pointer(to), pointer(from), bytes, stream),
               "copying on the device");
  }
  std::optional<StepFailure> finish() override {
    device.enter();
    if (mayFail)
      cu.check(cu.copyToHostAsync(seen, failures, capacity * sizeof *seen, stream),
               "reading from the device");
    cu.check(cu.streamSynchronize(stream), "running kernels");
    if (!mayFail)
      return std::nullopt;
    const int32_t *first = std::find_if(seen, seen + capacity, [](int32_t code) { return code; });
    if (first != seen + capacity)
      return StepFailure{uint32_t(first - seen), *first};
    mayFail = false;
    return std::nullopt;
  }

private:
  /// A kernel, and the shared memory that it may ask for so far.
  struct Kernel {
    Function function = nullptr;
    int32_t sharedBytes = 48 << 10;
  };

  CudaDevice &device;
  const Driver &cu = device.cu;
  cuda::Stream stream = nullptr;
  Event event = nullptr;
  std::map<std::pair<const char *, std::string>, Kernel> kernels;

  /// A 32-bit integer per step of a call, where its kernel says that it fails, and what the host
  /// has seen of them. All are 0, unless kernels that may write to them were started since.
  DevicePointer failures = 0;
  int32_t *seen = nullptr;
  uint32_t capacity = 0;
  bool mayFail = false;

  void makeFailures(uint32_t steps) {
    if (failures)
      cu.memFree(failures);
    if (seen)
      cu.memFreeHost(seen);
    failures = 0, seen = nullptr, capacity = 0;
    uint64_t bytes = steps * sizeof *seen;
    cu.check(cu.memAlloc(&failures, bytes), "`", device.name, "` has no room for ", bytes,
             " bytes");
    void *host = nullptr;
    cu.check(cu.memHostAlloc(&host, bytes, 0), "no pinned memory");
    seen = static_cast<int32_t *>(host);
    capacity = steps;
    clearFailures();
  }

  void clearFailures() {
    cu.check(cu.fill32Async(failures, 0, capacity, stream), "writing to the device");
  }

  void launch(const char *source, uint64_t length, const char *entry, const int32_t *range,
              void *const *args) {
    device.enter();
    Kernel &kernel = kernels[{source, entry}];
    if (!kernel.function)
      cu.check(cu.moduleGetFunction(&kernel.function, device.module(source, length), entry),
               "finding kernel `", entry, "`");
    if (range[6] > kernel.sharedBytes) {
      cu.check(cu.functionSetAttribute(kernel.function, FunctionMaxDynamicSharedBytes, range[6]),
               range[6], " bytes of shared memory");
      kernel.sharedBytes = range[6];
    }
    if (range[0] <= 0 || range[1] <= 0 || range[2] <= 0)
      return;
    auto size = [&](int axis) { return unsigned(range[axis]); };
    cu.check(cu.launch(kernel.function, size(0), size(1), size(2), size(3), size(4), size(5),
                       size(6), stream, const_cast<void **>(args), nullptr),
             "starting kernel `", entry, "`");
  }

  void encode(void *map, DevicePointer memory, int32_t elementBytes, int32_t rank,
              const int64_t *extents, const int64_t *strides, const int64_t *box) {
    constexpr int kMostAxes = 5, kPromote256 = 3;
    uint64_t sizes[kMostAxes], bytes[kMostAxes];
    uint32_t boxes[kMostAxes], steps[kMostAxes];
    for (int i = 0; i < rank; ++i) {
      // An axis without elements is never copied from, but the driver takes none.
      sizes[i] = uint64_t(std::max<int64_t>(1, extents[i]));
      bytes[i] = uint64_t(std::max<int64_t>(16, strides[i] * elementBytes));
      boxes[i] = uint32_t(box[i]);
      steps[i] = 1;
    }
    TensorMapType type = elementBytes == 2 ? TensorUint16 : TensorUint32;
    device.enter();
    cu.check(cu.tensorMapEncodeTiled(static_cast<TensorMapObject *>(map), type, uint32_t(rank),
                                     reinterpret_cast<void *>(uintptr_t(memory)), sizes, bytes + 1,
                                     boxes, steps, 0, Swizzle128, kPromote256, 0),
             "describing a tensor of ", rank, " axes");
  }

  static CudaStream &of(attune_ctx *ctx) {
    return *static_cast<CudaStream *>(static_cast<rt::Context *>(ctx)->stream);
  }

  static const attune_kernel_device kInterface;
};

/// Every argument is a value of the size that the kernel declares; handles are such values, too.
const attune_kernel_device CudaStream::kInterface{
    sizeof(attune_kernel_device),
    [](attune_ctx *ctx, const char *source, uint64_t length, const char *entry,
       const int32_t *range, const uint64_t *, void *const *args, const uint8_t *) -> int32_t {
      CudaStream &own = of(ctx);
      return !own.guard([&] { own.launch(source, length, entry, range, args); });
    },
    [](attune_ctx *ctx, uint64_t bytes) -> void * {
      CudaStream &own = of(ctx);
      Handle memory = nullptr;
      own.guard([&] { memory = own.borrow(bytes); });
      return memory;
    },
    [](attune_ctx *ctx, void *handle) { of(ctx).giveBack(handle); },
    /*status=*/nullptr,
    [](attune_ctx *ctx) -> void * {
      CudaStream &own = of(ctx);
      uint64_t place = static_cast<rt::Context *>(ctx)->step * sizeof *own.seen;
      own.mayFail = true;
      return reinterpret_cast<void *>(uintptr_t(own.failures + place));
    },
    [](attune_ctx *ctx, void *map, void *memory, int64_t offset, int32_t elementBytes, int32_t rank,
       const int64_t *extents, const int64_t *strides, const int64_t *box) -> int32_t {
      CudaStream &own = of(ctx);
      DevicePointer first = pointer(memory) + uint64_t(offset * elementBytes);
      return !own.guard([&] { own.encode(map, first, elementBytes, rank, extents, strides, box); });
    }};

std::unique_ptr<rt::Stream> CudaDevice::makeStream() { return std::make_unique<CudaStream>(*this); }

} // namespace
} // namespace cuda

std::unique_ptr<Device> openCudaDevice() {
  const cuda::Driver &driver = cuda::driver();
  int count = 0;
  driver.check(driver.deviceGetCount(&count), "counting devices");
  const char *wanted = std::getenv("ATTUNE_CUDA_DEVICE");
  char *end = nullptr;
  long ordinal = wanted && *wanted ? std::strtol(wanted, &end, 10) : 0;
  if ((end && *end) || ordinal < 0 || ordinal >= count)
    fail(ATTUNE_ERROR_SYSTEM, "CUDA: ATTUNE_CUDA_DEVICE is `", wanted ? wanted : "",
         "`, there are ", count, " devices");
  return std::make_unique<cuda::CudaDevice>(int(ordinal));
}

} // namespace attune::rt
