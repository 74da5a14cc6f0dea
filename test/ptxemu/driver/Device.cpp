// Devices, the primary context, errors.
#include "attune/test/ptxemu/GlobalMemory.h"
#include "attune/test/ptxemu/driver/State.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace attune::rt::cuda;
using namespace attune::ptx;

namespace {
constexpr size_t totalMemory = size_t(8) << 30;

struct ErrorText {
  Result result;
  const char *name, *text;
};
constexpr ErrorText errors[] = {
    {Success, "CUDA_SUCCESS", "no error"},
    {InvalidValue, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NotInitialized, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NoDevice, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {InvalidDevice, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {InvalidContext, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NoBinaryForGpu, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for the device"},
    {InvalidPtx, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {InvalidHandle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NotFound, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NotReady, "CUDA_ERROR_NOT_READY", "device not ready"},
    {IllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LaunchTimeout, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {LaunchFailed, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {NotSupported, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};

const ErrorText *find(Result result) {
  auto found = std::find_if(std::begin(errors), std::end(errors),
                            [&](const ErrorText &error) { return error.result == result; });
  return found == std::end(errors) ? nullptr : found;
}

/// The capability that ATTUNE_PTX_ARCH asks for: 80 or 90.
unsigned capabilityFromEnvironment() {
  const char *value = std::getenv("ATTUNE_PTX_ARCH");
  return value && !std::strcmp(value, "80") ? 80 : 90;
}

int attribute(DeviceAttribute attribute, bool hopper) {
  switch (attribute) {
  case MaxThreadsPerBlock:
  case MaxBlockDimX:
  case MaxBlockDimY:
    return 1024;
  case MaxBlockDimZ:
    return 64;
  case MaxGridDimX:
    return 0x7fffffff;
  case MaxGridDimY:
  case MaxGridDimZ:
    return 65535;
  case MaxSharedMemoryPerBlock:
    return 48 << 10;
  case WarpSize:
    return 32;
  case MaxRegistersPerBlock:
  case MaxRegistersPerMultiprocessor:
    return 65536;
  case ClockRate: // kHz
    return hopper ? 1980000 : 1410000;
  case MultiprocessorCount:
    return hopper ? 132 : 108;
  case MemoryClockRate:
    return hopper ? 2619000 : 1215000;
  case GlobalMemoryBusWidth:
    return 5120;
  case L2CacheSize:
    return (hopper ? 50 : 40) << 20;
  case MaxThreadsPerMultiprocessor:
    return 2048;
  case CanMapHostMemory:
  case UnifiedAddressing:
  case MemoryPoolsSupported:
    return 1;
  case ComputeCapabilityMajor:
    return hopper ? 9 : 8;
  case MaxSharedMemoryPerMultiprocessor:
    return (hopper ? 228 : 164) << 10;
  case MaxSharedMemoryPerBlockOptin:
    return (hopper ? 227 : 163) << 10;
  case MaxBlocksPerMultiprocessor:
    return 32;
  case ReservedSharedMemoryPerBlock:
    return 1 << 10;
  case ClusterLaunch:
  case TensorMapAccessSupported:
    return hopper;
  default:
    return 0;
  }
}
} // namespace

ATTUNE_PTX_API cuInit(unsigned flags) {
  State &state = State::get();
  std::lock_guard lock(state.mutex);
  if (flags)
    return InvalidValue;
  state.initialized = true;
  state.capability = capabilityFromEnvironment();
  return Success;
}

ATTUNE_PTX_API cuDriverGetVersion(int *version) {
  *version = 13000;
  return Success;
}

ATTUNE_PTX_API cuGetErrorName(Result result, const char **name) {
  const ErrorText *found = find(result);
  *name = found ? found->name : nullptr;
  return found ? Success : InvalidValue;
}

/// What is known of the last error of this kind: for a kernel, the instruction and the place.
ATTUNE_PTX_API cuGetErrorString(Result result, const char **text) {
  static thread_local std::string kept;
  State &state = State::get();
  std::lock_guard lock(state.mutex);
  const ErrorText *found = find(result);
  if (found && result != Success && result == state.failed && !state.message.empty()) {
    kept = std::string(found->text) + ": " + state.message;
    *text = kept.c_str();
  } else {
    *text = found ? found->text : nullptr;
  }
  return found ? Success : InvalidValue;
}

ATTUNE_PTX_API cuDeviceGetCount(int *count) {
  return State::get().call([&] { *count = 1; });
}

static void checkDevice(Device device) {
  if (device != 0)
    reject(InvalidDevice, "there is one device, 0");
}

ATTUNE_PTX_API cuDeviceGet(Device *device, int ordinal) {
  return State::get().call([&] {
    checkDevice(ordinal);
    *device = 0;
  });
}

ATTUNE_PTX_API cuDeviceGetName(char *name, int bytes, Device device) {
  return State::get().call([&] {
    checkDevice(device);
    std::snprintf(name, size_t(std::max(bytes, 0)), "PTX interpreter (sm_%u)",
                  State::get().capability);
  });
}

ATTUNE_PTX_API cuDeviceTotalMem_v2(size_t *bytes, Device device) {
  return State::get().call([&] {
    checkDevice(device);
    *bytes = totalMemory;
  });
}

ATTUNE_PTX_API cuDeviceGetAttribute(int *value, DeviceAttribute which, Device device) {
  return State::get().call([&] {
    checkDevice(device);
    *value = attribute(which, State::get().capability >= 90);
  });
}

/// One context, the primary one; every thread sees it once it is retained.
ATTUNE_PTX_API cuDevicePrimaryCtxRetain(Context *context, Device device) {
  return State::get().call([&] {
    checkDevice(device);
    State::get().hasContext = true;
    *context = reinterpret_cast<Context>(&State::get());
  });
}

ATTUNE_PTX_API cuDevicePrimaryCtxRelease_v2(Device) { return Success; }

/// Forgets errors and pending work; memory and modules stay, unlike on a device.
ATTUNE_PTX_API cuDevicePrimaryCtxReset_v2(Device) {
  State::get().reset();
  return Success;
}

ATTUNE_PTX_API cuCtxSetCurrent(Context) {
  return State::get().call([] {});
}

ATTUNE_PTX_API cuCtxGetCurrent(Context *context) {
  return State::get().call([&] {
    *context = State::get().hasContext ? reinterpret_cast<Context>(&State::get()) : nullptr;
  });
}

ATTUNE_PTX_API cuCtxSynchronize() {
  return State::get().call([] { State::get().finishAll(); });
}

ATTUNE_PTX_API cuMemGetInfo_v2(size_t *free, size_t *total) {
  return State::get().call([&] {
    *total = totalMemory;
    *free = totalMemory - std::min(totalMemory, globalMemory().used());
  });
}
