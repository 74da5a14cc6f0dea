#include "attune/runtime/DeviceStream.h"

#include "attune/runtime/Error.h"
#include "attune/runtime/Parallel.h"
#include "attune/runtime/opencl/Library.h"
#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

namespace attune::rt {
namespace opencl {
namespace {

/// Log text of a driver that is shown.
constexpr size_t kMostLog = 4000;

void check(cl_int code, const char *what) {
  if (code)
    fail(ATTUNE_ERROR_SYSTEM, "OpenCL: ", what, " failed: ", codeText(code));
}

template <class Get> std::string textOf(Get get) {
  size_t size = 0;
  if (get(0, nullptr, &size) || !size)
    return "";
  std::string value(size, 0);
  if (get(size, value.data(), nullptr))
    return "";
  return value.c_str();
}

class OpenClDevice final : public Device {
public:
  OpenClDevice(cl_device_id device, std::string name) : device(device), name(std::move(name)) {
    cl_int code = 0;
    context = cl.clCreateContext(nullptr, 1, &device, nullptr, nullptr, &code);
    if (!context)
      fail(ATTUNE_ERROR_SYSTEM, "OpenCL: device `", this->name,
           "` cannot be used: ", codeText(code));
  }
  ~OpenClDevice() override {
    for (const auto &entry : programs)
      cl.clReleaseProgram(entry.second);
    cl.clReleaseContext(context);
  }
  std::unique_ptr<Stream> makeStream() override;
  void release(Handle handle) const noexcept override {
    cl.clReleaseMemObject(static_cast<cl_mem>(handle));
  }

  /// Builds the program of that source the first time.
  cl_program program(const char *source, uint64_t length);

  const Library &cl = library();
  const cl_device_id device;
  const std::string name;
  cl_context context = nullptr;

private:
  std::mutex building;
  std::map<const char *, cl_program> programs; ///< by the place of the source in the artifact
};

cl_program OpenClDevice::program(const char *source, uint64_t length) {
  std::lock_guard lock(building);
  auto [place, fresh] = programs.try_emplace(source, nullptr);
  if (place->second)
    return place->second;
  cl_int code = 0;
  // Halide counts the zero at the end.
  size_t size = length && !source[length - 1] ? length - 1 : length;
  cl_program built = cl.clCreateProgramWithSource(context, 1, &source, &size, &code);
  check(code, "reading a program");
  code = cl.clBuildProgram(built, 1, &device, "", nullptr, nullptr);
  if (code) {
    std::string log = textOf([&](size_t size, void *value, size_t *needed) {
      return cl.clGetProgramBuildInfo(built, device, kProgramBuildLog, size, value, needed);
    });
    cl.clReleaseProgram(built);
    if (log.size() > kMostLog)
      log = log.substr(0, kMostLog) + " ...";
    fail(ATTUNE_ERROR_SYSTEM, "`", name, "` does not compile it: ", codeText(code),
         log.empty() ? "" : "\n", log);
  }
  return place->second = built;
}

class OpenClStream final : public DeviceStream {
public:
  explicit OpenClStream(OpenClDevice &device) : device(device) {
    cl_int code = 0;
    queue = cl.clCreateCommandQueue(device.context, device.device, 0, &code);
    check(code, "making a queue");
  }
  ~OpenClStream() override {
    cl.clFinish(queue);
    for (const auto &entry : kernels)
      cl.clReleaseKernel(entry.second);
    releaseTemporaries();
    cl.clReleaseCommandQueue(queue);
  }

  const attune_kernel_device &kernelInterface() const override { return kInterface; }

  Handle allocate(uint64_t bytes) override {
    cl_int code = 0;
    cl_mem memory = cl.clCreateBuffer(device.context, kMemReadWrite, std::max<uint64_t>(bytes, 1),
                                      nullptr, &code);
    if (!memory)
      fail(ATTUNE_ERROR_SYSTEM, "`", device.name, "` has no room for a tensor of ", bytes,
           " bytes: ", codeText(code));
    return memory;
  }
  void release(Handle handle) override { device.release(handle); }

  void write(Handle to, const void *from, uint64_t bytes) override {
    if (bytes)
      check(cl.clEnqueueWriteBuffer(queue, static_cast<cl_mem>(to), kTrue, 0, bytes, from, 0,
                                    nullptr, nullptr),
            "writing to the device");
  }
  void read(void *to, Handle from, uint64_t offset, uint64_t bytes) override {
    if (bytes)
      check(cl.clEnqueueReadBuffer(queue, static_cast<cl_mem>(from), kTrue, offset, bytes, to, 0,
                                   nullptr, nullptr),
            "reading from the device");
  }
  void copy(Handle to, Handle from, uint64_t bytes) override {
    if (bytes)
      check(cl.clEnqueueCopyBuffer(queue, static_cast<cl_mem>(from), static_cast<cl_mem>(to), 0, 0,
                                   bytes, 0, nullptr, nullptr),
            "copying on the device");
  }
  std::optional<StepFailure> finish() override {
    check(cl.clFinish(queue), "running kernels");
    return std::nullopt;
  }

private:
  using SetSizes = const uint64_t *;

  OpenClDevice &device;
  const Library &cl = library();
  cl_command_queue queue = nullptr;
  /// Kernels have state (their arguments), so that each stream has its own.
  std::map<std::pair<cl_program, std::string>, cl_kernel> kernels;

  cl_kernel kernel(const char *source, uint64_t length, const char *entry) {
    cl_program program = device.program(source, length);
    cl_kernel &found = kernels[{program, entry}];
    cl_int code = 0;
    if (!found)
      found = cl.clCreateKernel(program, entry, &code);
    check(code, "finding a kernel");
    return found;
  }

  void launch(cl_kernel kernel, const int32_t *range, SetSizes sizes, void *const *args,
              const uint8_t *handles) {
    cl_uint number = 0;
    for (; sizes[number]; ++number) {
      const void *value = args[number]; // of a descriptor the handle comes first
      size_t size = handles[number] ? sizeof(cl_mem) : sizes[number];
      check(cl.clSetKernelArg(kernel, number, size, value), "passing an argument");
    }
    size_t local = size_t(std::max(range[6], 1));
    check(cl.clSetKernelArg(kernel, number, local, nullptr), "passing local memory");
    size_t items[3], groups[3];
    for (int axis = 0; axis < 3; ++axis) {
      if (range[axis] <= 0)
        return;
      items[axis] = size_t(range[3 + axis]);
      groups[axis] = size_t(range[axis]) * items[axis];
    }
    check(cl.clEnqueueNDRangeKernel(queue, kernel, 3, nullptr, groups, items, 0, nullptr, nullptr),
          "starting a kernel");
  }

  static OpenClStream &of(attune_ctx *ctx) {
    return *static_cast<OpenClStream *>(static_cast<Context *>(ctx)->stream);
  }

  static const attune_kernel_device kInterface;
};

const attune_kernel_device OpenClStream::kInterface{
    sizeof(attune_kernel_device),
    [](attune_ctx *ctx, const char *source, uint64_t length, const char *entry,
       const int32_t *range, SetSizes sizes, void *const *args, const uint8_t *handles) -> int32_t {
      OpenClStream &own = of(ctx);
      return !own.guard(
          [&] { own.launch(own.kernel(source, length, entry), range, sizes, args, handles); });
    },
    [](attune_ctx *ctx, uint64_t bytes) -> void * {
      OpenClStream &own = of(ctx);
      Handle memory = nullptr;
      own.guard([&] { memory = own.borrow(bytes); });
      return memory;
    },
    [](attune_ctx *ctx, void *handle) { of(ctx).giveBack(handle); },
    [](attune_ctx *ctx, void *handle) -> int32_t {
      OpenClStream &own = of(ctx);
      int32_t status = 0;
      own.guard([&] { own.read(&status, handle, 0, sizeof status); });
      return status;
    },
    /*failure=*/nullptr,
    /*tensor_map=*/nullptr};

std::unique_ptr<Stream> OpenClDevice::makeStream() { return std::make_unique<OpenClStream>(*this); }

struct Candidate {
  cl_device_id device;
  std::string name; ///< "platform: device"
  bool gpu;
};

std::vector<Candidate> findDevices() {
  const Library &cl = library();
  std::vector<Candidate> found;
  cl_uint count = 0;
  if (cl.clGetPlatformIDs(0, nullptr, &count) || !count)
    return found;
  std::vector<cl_platform_id> platforms(count);
  check(cl.clGetPlatformIDs(count, platforms.data(), nullptr), "listing platforms");
  for (cl_platform_id platform : platforms) {
    std::string maker = textOf([&](size_t size, void *value, size_t *needed) {
      return cl.clGetPlatformInfo(platform, kPlatformName, size, value, needed);
    });
    if (cl.clGetDeviceIDs(platform, kDeviceTypeAll, 0, nullptr, &count) || !count)
      continue;
    std::vector<cl_device_id> devices(count);
    check(cl.clGetDeviceIDs(platform, kDeviceTypeAll, count, devices.data(), nullptr),
          "listing devices");
    for (cl_device_id device : devices) {
      auto info = [&](cl_uint what) {
        return [&, what](size_t size, void *value, size_t *needed) {
          return cl.clGetDeviceInfo(device, what, size, value, needed);
        };
      };
      cl_ulong type = 0;
      check(info(kDeviceType)(sizeof type, &type, nullptr), "asking for a device's type");
      found.push_back(
          {device, maker + ": " + textOf(info(kDeviceName)), (type & kDeviceTypeGpu) != 0});
    }
  }
  return found;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

const Candidate &choose(const std::vector<Candidate> &devices, const std::string &wanted) {
  if (wanted.empty()) {
    auto gpu = std::find_if(devices.begin(), devices.end(),
                            [](const Candidate &candidate) { return candidate.gpu; });
    return gpu != devices.end() ? *gpu : devices.front();
  }
  bool number =
      wanted.size() < 6 &&
      std::all_of(wanted.begin(), wanted.end(), [](unsigned char c) { return std::isdigit(c); });
  for (size_t i = 0; i < devices.size(); ++i)
    if (number ? i == std::stoul(wanted)
               : lower(devices[i].name).find(lower(wanted)) != std::string::npos)
      return devices[i];
  std::string list;
  for (size_t i = 0; i < devices.size(); ++i)
    list += text(i ? ", " : "", i, " `", devices[i].name, "`");
  fail(ATTUNE_ERROR_SYSTEM, "ATTUNE_OPENCL_DEVICE is `", wanted, "`, there are ", list);
}

} // namespace
} // namespace opencl

std::unique_ptr<Device> openOpenClDevice() {
  std::vector<opencl::Candidate> devices = opencl::findDevices();
  if (devices.empty())
    fail(ATTUNE_ERROR_SYSTEM,
         "this model was compiled for OpenCL, and no OpenCL device was found; install the driver "
         "of the device, or PoCL to run on the CPU (Debian: pocl-opencl-icd)");
  const char *wanted = std::getenv("ATTUNE_OPENCL_DEVICE");
  const opencl::Candidate &chosen = opencl::choose(devices, wanted ? wanted : "");
  return std::make_unique<opencl::OpenClDevice>(chosen.device, chosen.name);
}

} // namespace attune::rt
