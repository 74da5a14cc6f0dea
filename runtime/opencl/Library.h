//===- Library.h - The OpenCL functions that the runtime calls --------------------------------===//
//
// Declarations of our own, and the library is opened when a device is wanted: nothing links to
// OpenCL, and a machine without it runs artifacts for the CPU. Names and values are those of the
// OpenCL specification, version 1.2.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_OPENCL_LIBRARY_H
#define ATTUNE_RUNTIME_OPENCL_LIBRARY_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace attune::rt::opencl {

using cl_int = int32_t;
using cl_uint = uint32_t;
using cl_ulong = uint64_t;
using cl_platform_id = struct PlatformOpaque *;
using cl_device_id = struct DeviceOpaque *;
using cl_context = struct ContextOpaque *;
using cl_command_queue = struct QueueOpaque *;
using cl_program = struct ProgramOpaque *;
using cl_kernel = struct KernelOpaque *;
using cl_mem = struct MemoryOpaque *;
using cl_event = struct EventOpaque *;
using Notify = void (*)(void);

inline constexpr cl_uint kTrue = 1;
inline constexpr cl_ulong kDeviceTypeGpu = 1 << 2, kDeviceTypeAll = 0xffffffff;
inline constexpr cl_uint kPlatformName = 0x0902, kDeviceType = 0x1000, kDeviceName = 0x102b,
                         kProgramBuildLog = 0x1183;
inline constexpr cl_ulong kMemReadWrite = 1;

/// X(result, name, parameters)
#define ATTUNE_OPENCL_FUNCTIONS(X)                                                                 \
  X(cl_int, clGetPlatformIDs, (cl_uint, cl_platform_id *, cl_uint *))                              \
  X(cl_int, clGetPlatformInfo, (cl_platform_id, cl_uint, size_t, void *, size_t *))                \
  X(cl_int, clGetDeviceIDs, (cl_platform_id, cl_ulong, cl_uint, cl_device_id *, cl_uint *))        \
  X(cl_int, clGetDeviceInfo, (cl_device_id, cl_uint, size_t, void *, size_t *))                    \
  X(cl_context, clCreateContext,                                                                   \
    (const intptr_t *, cl_uint, const cl_device_id *, Notify, void *, cl_int *))                   \
  X(cl_int, clReleaseContext, (cl_context))                                                        \
  X(cl_command_queue, clCreateCommandQueue, (cl_context, cl_device_id, cl_ulong, cl_int *))        \
  X(cl_int, clReleaseCommandQueue, (cl_command_queue))                                             \
  X(cl_program, clCreateProgramWithSource,                                                         \
    (cl_context, cl_uint, const char **, const size_t *, cl_int *))                                \
  X(cl_int, clBuildProgram,                                                                        \
    (cl_program, cl_uint, const cl_device_id *, const char *, Notify, void *))                     \
  X(cl_int, clGetProgramBuildInfo, (cl_program, cl_device_id, cl_uint, size_t, void *, size_t *))  \
  X(cl_int, clReleaseProgram, (cl_program))                                                        \
  X(cl_kernel, clCreateKernel, (cl_program, const char *, cl_int *))                               \
  X(cl_int, clReleaseKernel, (cl_kernel))                                                          \
  X(cl_int, clSetKernelArg, (cl_kernel, cl_uint, size_t, const void *))                            \
  X(cl_mem, clCreateBuffer, (cl_context, cl_ulong, size_t, void *, cl_int *))                      \
  X(cl_int, clReleaseMemObject, (cl_mem))                                                          \
  X(cl_int, clEnqueueReadBuffer,                                                                   \
    (cl_command_queue, cl_mem, cl_uint, size_t, size_t, void *, cl_uint, const cl_event *,         \
     cl_event *))                                                                                  \
  X(cl_int, clEnqueueWriteBuffer,                                                                  \
    (cl_command_queue, cl_mem, cl_uint, size_t, size_t, const void *, cl_uint, const cl_event *,   \
     cl_event *))                                                                                  \
  X(cl_int, clEnqueueCopyBuffer,                                                                   \
    (cl_command_queue, cl_mem, cl_mem, size_t, size_t, size_t, cl_uint, const cl_event *,          \
     cl_event *))                                                                                  \
  X(cl_int, clEnqueueNDRangeKernel,                                                                \
    (cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *,         \
     cl_uint, const cl_event *, cl_event *))                                                       \
  X(cl_int, clFinish, (cl_command_queue))

struct Library {
#define ATTUNE_OPENCL_MEMBER(result, name, parameters) result(*name) parameters;
  ATTUNE_OPENCL_FUNCTIONS(ATTUNE_OPENCL_MEMBER)
#undef ATTUNE_OPENCL_MEMBER
};

/// Opens libOpenCL.so.1 once; throws Error where that fails.
const Library &library();

/// "CL_OUT_OF_RESOURCES (-5)".
std::string codeText(cl_int code);

} // namespace attune::rt::opencl
#endif
