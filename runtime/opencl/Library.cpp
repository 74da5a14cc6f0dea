#include "attune/runtime/opencl/Library.h"

#include "attune/runtime/Error.h"
#include <algorithm>
#include <dlfcn.h>

namespace attune::rt::opencl {

static Library open() {
  const char *advice = "; install the OpenCL driver of the device, or PoCL to run on the CPU "
                       "(Debian: ocl-icd-libopencl1, pocl-opencl-icd)";
  void *handle = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char *why = dlerror();
    fail(ATTUNE_ERROR_SYSTEM, "this model was compiled for OpenCL, which cannot be loaded: ",
         why ? why : "unknown reason", advice);
  }
  Library library;
#define ATTUNE_OPENCL_FIND(result, name, parameters)                                               \
  library.name = reinterpret_cast<result(*) parameters>(dlsym(handle, #name));                     \
  if (!library.name)                                                                               \
    fail(ATTUNE_ERROR_SYSTEM, "libOpenCL.so.1 has no function `", #name, "`", advice);
  ATTUNE_OPENCL_FUNCTIONS(ATTUNE_OPENCL_FIND)
#undef ATTUNE_OPENCL_FIND
  return library;
}

const Library &library() {
  static const Library opened = open();
  return opened;
}

std::string codeText(cl_int code) {
  static constexpr struct {
    cl_int code;
    const char *name;
  } kNames[] = {{-1, "CL_DEVICE_NOT_FOUND"},
                {-2, "CL_DEVICE_NOT_AVAILABLE"},
                {-3, "CL_COMPILER_NOT_AVAILABLE"},
                {-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
                {-5, "CL_OUT_OF_RESOURCES"},
                {-6, "CL_OUT_OF_HOST_MEMORY"},
                {-11, "CL_BUILD_PROGRAM_FAILURE"},
                {-46, "CL_INVALID_KERNEL_NAME"},
                {-52, "CL_INVALID_KERNEL_ARGS"},
                {-54, "CL_INVALID_WORK_GROUP_SIZE"},
                {-55, "CL_INVALID_WORK_ITEM_SIZE"},
                {-61, "CL_INVALID_BUFFER_SIZE"},
                {-1001, "no platform"}};
  const auto *found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const auto &entry) { return entry.code == code; });
  return found == std::end(kNames) ? text("OpenCL error ", code)
                                   : text(found->name, " (", code, ")");
}

} // namespace attune::rt::opencl
