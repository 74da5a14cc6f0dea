//===- Api.h - The part of the CUDA driver API that is used -----------------------------------===//
//
// Own declarations of NVIDIA's documented interface: no CUDA header or library is needed to build.
// The names and values are those of cuda.h. Used by Driver.h, which loads the functions, and by the
// PTX interpreter of the tests, which implements them.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_CUDA_API_H
#define ATTUNE_RUNTIME_CUDA_API_H

#include <cstddef>
#include <cstdint>

namespace attune::rt::cuda {

enum Result : int {
  Success = 0,
  InvalidValue = 1,
  OutOfMemory = 2,
  NotInitialized = 3,
  NoDevice = 100,
  InvalidDevice = 101,
  InvalidContext = 201,
  NoBinaryForGpu = 209,
  InvalidPtx = 218,
  InvalidHandle = 400,
  NotFound = 500,
  NotReady = 600,
  IllegalAddress = 700,
  LaunchTimeout = 702,
  LaunchFailed = 719,
  NotSupported = 801
};

using Device = int;
using DevicePointer = unsigned long long;
using Context = struct ContextHandle *;
using Module = struct ModuleHandle *;
using Function = struct FunctionHandle *;
using Stream = struct StreamHandle *;
using Event = struct EventHandle *;

enum StreamFlags : unsigned { StreamDefault = 0, StreamNonBlocking = 1 };
enum EventFlags : unsigned { EventDefault = 0, EventDisableTiming = 2 };

enum DeviceAttribute : int {
  MaxThreadsPerBlock = 1,
  MaxBlockDimX = 2,
  MaxBlockDimY = 3,
  MaxBlockDimZ = 4,
  MaxGridDimX = 5,
  MaxGridDimY = 6,
  MaxGridDimZ = 7,
  MaxSharedMemoryPerBlock = 8,
  WarpSize = 10,
  MaxRegistersPerBlock = 12,
  ClockRate = 13,
  MultiprocessorCount = 16,
  CanMapHostMemory = 19,
  MemoryClockRate = 36,
  GlobalMemoryBusWidth = 37,
  L2CacheSize = 38,
  MaxThreadsPerMultiprocessor = 39,
  UnifiedAddressing = 41,
  ComputeCapabilityMajor = 75,
  ComputeCapabilityMinor = 76,
  MaxSharedMemoryPerMultiprocessor = 81,
  MaxRegistersPerMultiprocessor = 82,
  MaxSharedMemoryPerBlockOptin = 97,
  MaxBlocksPerMultiprocessor = 106,
  ReservedSharedMemoryPerBlock = 111,
  MemoryPoolsSupported = 115,
  ClusterLaunch = 120,
  TensorMapAccessSupported = 127
};

enum FunctionAttribute : int {
  FunctionMaxThreadsPerBlock = 0,
  FunctionSharedBytes = 1,
  FunctionLocalBytes = 3,
  FunctionRegisters = 4,
  FunctionMaxDynamicSharedBytes = 8
};

enum JitOption : int { JitErrorLogBuffer = 5, JitErrorLogBufferBytes = 6 };

enum LaunchAttributeId : int { LaunchIgnore = 0, LaunchClusterDimension = 4 };
struct LaunchAttribute {
  LaunchAttributeId id;
  char padding[4];
  union {
    char bytes[64];
    unsigned clusterDimension[3];
  } value;
};
struct LaunchConfig {
  unsigned grid[3], block[3], sharedBytes;
  Stream stream;
  LaunchAttribute *attributes;
  unsigned attributeCount;
};

struct alignas(64) TensorMapObject {
  uint64_t opaque[16];
};
enum TensorMapType : int {
  TensorUint8,
  TensorUint16,
  TensorUint32,
  TensorInt32,
  TensorUint64,
  TensorInt64,
  TensorFloat16,
  TensorFloat32,
  TensorFloat64,
  TensorBfloat16,
  TensorFloat32Ftz,
  TensorTfloat32,
  TensorTfloat32Ftz
};
enum TensorMapSwizzle : int { SwizzleNone, Swizzle32, Swizzle64, Swizzle128 };

/// X(member, symbol, parameters)
#define ATTUNE_CUDA_FUNCTIONS(X)                                                                   \
  X(init, cuInit, (unsigned flags))                                                                \
  X(driverGetVersion, cuDriverGetVersion, (int *version))                                          \
  X(getErrorName, cuGetErrorName, (Result error, const char **name))                               \
  X(getErrorString, cuGetErrorString, (Result error, const char **text))                           \
  X(deviceGetCount, cuDeviceGetCount, (int *count))                                                \
  X(deviceGet, cuDeviceGet, (Device * device, int ordinal))                                        \
  X(deviceGetName, cuDeviceGetName, (char *name, int bytes, Device device))                        \
  X(deviceTotalMem, cuDeviceTotalMem_v2, (size_t *bytes, Device device))                           \
  X(deviceGetAttribute, cuDeviceGetAttribute,                                                      \
    (int *value, DeviceAttribute attribute, Device device))                                        \
  X(primaryRetain, cuDevicePrimaryCtxRetain, (Context * context, Device device))                   \
  X(primaryRelease, cuDevicePrimaryCtxRelease_v2, (Device device))                                 \
  X(primaryReset, cuDevicePrimaryCtxReset_v2, (Device device))                                     \
  X(setCurrent, cuCtxSetCurrent, (Context context))                                                \
  X(getCurrent, cuCtxGetCurrent, (Context * context))                                              \
  X(synchronize, cuCtxSynchronize, ())                                                             \
  X(memGetInfo, cuMemGetInfo_v2, (size_t *free, size_t *total))                                    \
  X(memAlloc, cuMemAlloc_v2, (DevicePointer * memory, size_t bytes))                               \
  X(memFree, cuMemFree_v2, (DevicePointer memory))                                                 \
  X(memAllocAsync, cuMemAllocAsync, (DevicePointer * memory, size_t bytes, Stream stream))         \
  X(memFreeAsync, cuMemFreeAsync, (DevicePointer memory, Stream stream))                           \
  X(memHostAlloc, cuMemHostAlloc, (void **memory, size_t bytes, unsigned flags))                   \
  X(memFreeHost, cuMemFreeHost, (void *memory))                                                    \
  X(copyToDevice, cuMemcpyHtoD_v2, (DevicePointer to, const void *from, size_t bytes))             \
  X(copyToHost, cuMemcpyDtoH_v2, (void *to, DevicePointer from, size_t bytes))                     \
  X(copyOnDevice, cuMemcpyDtoD_v2, (DevicePointer to, DevicePointer from, size_t bytes))           \
  X(copyToDeviceAsync, cuMemcpyHtoDAsync_v2,                                                       \
    (DevicePointer to, const void *from, size_t bytes, Stream stream))                             \
  X(copyToHostAsync, cuMemcpyDtoHAsync_v2,                                                         \
    (void *to, DevicePointer from, size_t bytes, Stream stream))                                   \
  X(copyOnDeviceAsync, cuMemcpyDtoDAsync_v2,                                                       \
    (DevicePointer to, DevicePointer from, size_t bytes, Stream stream))                           \
  X(fill8, cuMemsetD8_v2, (DevicePointer to, unsigned char value, size_t count))                   \
  X(fill8Async, cuMemsetD8Async,                                                                   \
    (DevicePointer to, unsigned char value, size_t count, Stream stream))                          \
  X(fill32Async, cuMemsetD32Async,                                                                 \
    (DevicePointer to, unsigned value, size_t count, Stream stream))                               \
  X(streamCreate, cuStreamCreate, (Stream * stream, unsigned flags))                               \
  X(streamDestroy, cuStreamDestroy_v2, (Stream stream))                                            \
  X(streamSynchronize, cuStreamSynchronize, (Stream stream))                                       \
  X(streamQuery, cuStreamQuery, (Stream stream))                                                   \
  X(streamWaitEvent, cuStreamWaitEvent, (Stream stream, Event event, unsigned flags))              \
  X(eventCreate, cuEventCreate, (Event * event, unsigned flags))                                   \
  X(eventDestroy, cuEventDestroy_v2, (Event event))                                                \
  X(eventRecord, cuEventRecord, (Event event, Stream stream))                                      \
  X(eventSynchronize, cuEventSynchronize, (Event event))                                           \
  X(eventQuery, cuEventQuery, (Event event))                                                       \
  X(eventElapsedTime, cuEventElapsedTime, (float *milliseconds, Event start, Event end))           \
  X(moduleLoadDataEx, cuModuleLoadDataEx,                                                          \
    (Module * module, const void *image, unsigned count, JitOption *options, void **values))       \
  X(moduleUnload, cuModuleUnload, (Module module))                                                 \
  X(moduleGetFunction, cuModuleGetFunction,                                                        \
    (Function * function, Module module, const char *name))                                        \
  X(moduleGetGlobal, cuModuleGetGlobal_v2,                                                         \
    (DevicePointer * memory, size_t *bytes, Module module, const char *name))                      \
  X(functionGetAttribute, cuFuncGetAttribute,                                                      \
    (int *value, FunctionAttribute attribute, Function function))                                  \
  X(functionSetAttribute, cuFuncSetAttribute,                                                      \
    (Function function, FunctionAttribute attribute, int value))                                   \
  X(launch, cuLaunchKernel,                                                                        \
    (Function function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,           \
     unsigned blockY, unsigned blockZ, unsigned sharedBytes, Stream stream, void **parameters,     \
     void **extra))                                                                                \
  X(launchEx, cuLaunchKernelEx,                                                                    \
    (const LaunchConfig *config, Function function, void **parameters, void **extra))              \
  X(tensorMapEncodeTiled, cuTensorMapEncodeTiled,                                                  \
    (TensorMapObject * map, TensorMapType type, uint32_t rank, void *address,                      \
     const uint64_t *extents, const uint64_t *strides, const uint32_t *box,                        \
     const uint32_t *elementStrides, int interleave, TensorMapSwizzle swizzle, int l2Promotion,    \
     int outOfBoundsFill))

} // namespace attune::rt::cuda
#endif
