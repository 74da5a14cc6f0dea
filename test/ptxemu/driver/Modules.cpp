// Modules, functions, launches, tensor maps.
#include "attune/test/ptxemu/Decoder.h"
#include "attune/test/ptxemu/Machine.h"
#include "attune/test/ptxemu/Report.h"
#include "attune/test/ptxemu/TensorMap.h"
#include "attune/test/ptxemu/driver/State.h"
#include <algorithm>
#include <cstring>

namespace attune::rt::cuda {

struct FunctionHandle {
  std::shared_ptr<const ptx::Program> program;
  int maxDynamicShared = 48 << 10;
};

struct ModuleHandle {
  std::map<std::string, FunctionHandle, std::less<>> functions;
  struct Global {
    DevicePointer address;
    size_t bytes;
  };
  std::map<std::string, Global, std::less<>> globals;
};

} // namespace attune::rt::cuda

using namespace attune::rt::cuda;
using namespace attune::ptx;

namespace {
using PtxModule = attune::ptx::Module;

constexpr size_t largestStaticShared = 48 << 10;

size_t largestShared() { return (State::get().capability >= 90 ? 227 : 163) << 10; }

/// sm_90a runs on 9.0 only, sm_80 on everything from 8.0 on.
void checkTarget(const PtxModule &module) {
  if (!module.target.starts_with("sm_"))
    fail(Fault::Malformed, "target '", module.target, "'");
  unsigned arch = unsigned(std::strtoul(module.target.c_str() + 3, nullptr, 10));
  bool exact = std::isalpha(static_cast<unsigned char>(module.target.back()));
  unsigned capability = State::get().capability;
  if (exact ? arch != capability : arch > capability)
    reject(NoBinaryForGpu, text("a module for ", module.target, " on sm_", capability));
}

void release(ModuleHandle *module) {
  for (const auto &[name, global] : module->globals)
    globalMemory().release(global.address);
  delete module;
}

std::unique_ptr<ModuleHandle, void (*)(ModuleHandle *)> load(const char *image) {
  const PtxModule parsed = parse(image);
  checkTarget(parsed);
  std::unique_ptr<ModuleHandle, void (*)(ModuleHandle *)> module(new ModuleHandle, release);
  Globals addresses;
  for (const auto &[name, variable] : parsed.globals.variables) {
    uint64_t address = globalMemory().allocate(std::max<uint64_t>(variable.bytes, 1));
    if (!address)
      reject(OutOfMemory, "no memory for '" + name + "'");
    module->globals[name] = {address, variable.bytes};
    addresses[name] = address;
    // What has no initial value is zero.
    uint8_t *memory = globalMemory().find(address, variable.bytes);
    std::memset(memory, 0, variable.bytes);
    std::copy(variable.initial.begin(), variable.initial.end(), memory);
  }
  for (const Kernel &kernel : parsed.kernels) {
    auto program = std::make_shared<const Program>(decode(parsed, kernel, addresses));
    if (program->sharedBytes > largestStaticShared)
      fail(Fault::Unsupported, "kernel '", kernel.name, "' has ", program->sharedBytes,
           " bytes of static shared memory, more than ", largestStaticShared);
    module->functions[kernel.name].program = std::move(program);
  }
  return module;
}

template <class... Parts> [[noreturn]] void refuse(const Program &program, const Parts &...parts) {
  fail(Fault::BadLaunch, "launch of '", program.name, "': ", parts...);
}

void checkLaunch(const Launch &launch, int maxDynamicShared) {
  const Program &program = *launch.program;
  const auto &block = launch.block;
  uint64_t threads = uint64_t(block[0]) * block[1] * block[2];
  if (!threads || threads > 1024 || block[2] > 64)
    refuse(program, threads, " threads in a block");
  const auto &most = program.largestBlock, &exact = program.requiredBlock;
  if (exact[0] && block != exact)
    refuse(program, "the block is not that of .reqntid");
  if (most[0] && threads > uint64_t(most[0]) * most[1] * most[2])
    refuse(program, threads, " threads in a block, more than .maxntid");
  if (!launch.grid[0] || !launch.grid[1] || !launch.grid[2] || launch.grid[0] > 0x7fffffff ||
      launch.grid[1] > 65535 || launch.grid[2] > 65535)
    refuse(program, "a grid of ", launch.grid[0], " x ", launch.grid[1], " x ", launch.grid[2]);
  for (unsigned d = 0; d < 3; ++d)
    if (!launch.cluster[d] || launch.grid[d] % launch.cluster[d])
      refuse(program, "the grid is not a multiple of the cluster");
  unsigned blocks = launch.cluster[0] * launch.cluster[1] * launch.cluster[2];
  if (blocks > (State::get().capability >= 90 ? 8u : 1u))
    refuse(program, "clusters of ", blocks, " blocks");
  if (launch.dynamicShared > size_t(maxDynamicShared))
    refuse(program, launch.dynamicShared, " bytes of dynamic shared memory; ", maxDynamicShared,
           " are allowed (cuFuncSetAttribute)");
  if (program.dynamicBase + launch.dynamicShared > largestShared())
    refuse(program, "more than ", largestShared(), " bytes of shared memory");
}

template <class T> T &checked(T *handle) {
  if (!handle)
    reject(InvalidHandle, "a null handle");
  return *handle;
}

void enqueueLaunch(Function function, Launch launch, Stream stream, void **parameters,
                   void **extra) {
  if (extra)
    reject(NotSupported, "parameters in one buffer (extra)");
  auto program = checked(function).program;
  launch.program = program.get();
  if (program->cluster[0]) {
    bool given = launch.cluster != std::array<unsigned, 3>{1, 1, 1};
    if (given && launch.cluster != program->cluster)
      refuse(*program, "the cluster is not that of .reqnctapercluster");
    launch.cluster = program->cluster;
  }
  checkLaunch(launch, function->maxDynamicShared);
  launch.parameters.resize(program->parameterBytes);
  for (size_t i = 0; i < program->parameters.size(); ++i) {
    const Variable &parameter = program->parameters[i];
    if (!parameters || !parameters[i])
      refuse(*program, "parameter ", i, " is missing");
    std::memcpy(&launch.parameters[parameter.offset], parameters[i], parameter.bytes);
  }
  launch.settings = Settings::fromEnvironment();
  State::get().enqueue(stream,
                       [program, launch = std::move(launch)] { report(launch, execute(launch)); });
}

void writeLog(unsigned count, JitOption *options, void **values, const std::string &message) {
  char *buffer = nullptr;
  size_t bytes = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == JitErrorLogBuffer)
      buffer = static_cast<char *>(values[i]);
    if (options[i] == JitErrorLogBufferBytes)
      bytes = reinterpret_cast<uintptr_t>(values[i]);
  }
  if (buffer && bytes)
    buffer[message.copy(buffer, bytes - 1)] = '\0';
}
} // namespace

ATTUNE_PTX_API cuModuleLoadDataEx(attune::rt::cuda::Module *module, const void *image,
                                  unsigned count, JitOption *options, void **values) {
  State &state = State::get();
  std::lock_guard lock(state.mutex);
  Result result = state.call([&] { *module = load(static_cast<const char *>(image)).release(); });
  writeLog(count, options, values, result == Success ? "" : state.message);
  return result;
}

ATTUNE_PTX_API cuModuleLoadData(attune::rt::cuda::Module *module, const void *image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

ATTUNE_PTX_API cuModuleUnload(attune::rt::cuda::Module module) {
  return State::get().call([&] {
    State::get().finishAll();
    release(&checked(module));
  });
}

ATTUNE_PTX_API cuModuleGetFunction(Function *function, attune::rt::cuda::Module module,
                                   const char *name) {
  return State::get().call([&] {
    auto found = checked(module).functions.find(name);
    if (found == module->functions.end())
      reject(NotFound, text("no kernel '", name, "'"));
    *function = &found->second;
  });
}

ATTUNE_PTX_API cuModuleGetGlobal_v2(DevicePointer *address, size_t *bytes,
                                    attune::rt::cuda::Module module, const char *name) {
  return State::get().call([&] {
    auto found = checked(module).globals.find(name);
    if (found == module->globals.end())
      reject(NotFound, text("no variable '", name, "'"));
    if (address)
      *address = found->second.address;
    if (bytes)
      *bytes = found->second.bytes;
  });
}

ATTUNE_PTX_API cuFuncGetAttribute(int *value, FunctionAttribute attribute, Function function) {
  return State::get().call([&] {
    const Program &program = *checked(function).program;
    const auto &most = program.requiredBlock[0] ? program.requiredBlock : program.largestBlock;
    switch (attribute) {
    case FunctionMaxThreadsPerBlock:
      *value = most[0] ? int(most[0] * most[1] * most[2]) : 1024;
      break;
    case FunctionSharedBytes:
      *value = int(program.sharedBytes);
      break;
    case FunctionLocalBytes:
      *value = int(program.localBytes);
      break;
    case FunctionMaxDynamicSharedBytes:
      *value = function->maxDynamicShared;
      break;
    default: // registers are known to ptxas only
      reject(NotSupported, text("attribute ", int(attribute), " of a function"));
    }
  });
}

ATTUNE_PTX_API cuFuncSetAttribute(Function function, FunctionAttribute attribute, int value) {
  return State::get().call([&] {
    if (attribute != FunctionMaxDynamicSharedBytes)
      reject(NotSupported, text("attribute ", int(attribute), " of a function"));
    if (value < 0 || value + checked(function).program->sharedBytes > largestShared())
      reject(InvalidValue, text(value, " bytes of shared memory"));
    function->maxDynamicShared = value;
  });
}

ATTUNE_PTX_API cuLaunchKernel(Function function, unsigned gridX, unsigned gridY, unsigned gridZ,
                              unsigned blockX, unsigned blockY, unsigned blockZ,
                              unsigned sharedBytes, Stream stream, void **parameters,
                              void **extra) {
  return State::get().call([&] {
    Launch launch{
        nullptr, {gridX, gridY, gridZ}, {blockX, blockY, blockZ}, {1, 1, 1}, sharedBytes, {}, {}};
    enqueueLaunch(function, std::move(launch), stream, parameters, extra);
  });
}

ATTUNE_PTX_API cuLaunchKernelEx(const LaunchConfig *config, Function function, void **parameters,
                                void **extra) {
  return State::get().call([&] {
    Launch launch{};
    std::copy_n(config->grid, 3, launch.grid.begin());
    std::copy_n(config->block, 3, launch.block.begin());
    launch.dynamicShared = config->sharedBytes;
    for (unsigned i = 0; i < config->attributeCount; ++i) {
      const LaunchAttribute &attribute = config->attributes[i];
      if (attribute.id == LaunchClusterDimension)
        std::copy_n(attribute.value.clusterDimension, 3, launch.cluster.begin());
      else if (attribute.id != LaunchIgnore)
        reject(NotSupported, text("launch attribute ", int(attribute.id)));
    }
    enqueueLaunch(function, std::move(launch), config->stream, parameters, extra);
  });
}

ATTUNE_PTX_API cuTensorMapEncodeTiled(TensorMapObject *object, TensorMapType type, uint32_t rank,
                                      void *address, const uint64_t *extents,
                                      const uint64_t *strides, const uint32_t *box,
                                      const uint32_t *elementStrides, int interleave,
                                      TensorMapSwizzle swizzle, int, int fill) {
  return State::get().call([&] {
    static constexpr uint8_t bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
    auto demand = [](bool holds, const char *what) {
      if (!holds)
        reject(InvalidValue, std::string("tensor map: ") + what);
    };
    demand(uintptr_t(object) % 64 == 0, "the object is not at a multiple of 64");
    demand(type >= 0 && unsigned(type) < std::size(bytes), "the type");
    demand(rank >= 1 && rank <= 5, "the rank");
    demand(uintptr_t(address) % 16 == 0, "the address is not a multiple of 16");
    if (interleave || swizzle > Swizzle128)
      reject(NotSupported, "tensor map: interleaved layouts and atoms of 32 bytes");
    TensorMap map{};
    map.magic = TensorMap::valid;
    map.rank = uint8_t(rank);
    map.elementBytes = bytes[type];
    map.swizzle = uint8_t(swizzle);
    map.fillsNan = uint8_t(fill);
    map.base = uintptr_t(address);
    for (uint32_t axis = 0; axis < rank; ++axis) {
      demand(extents[axis] >= 1 && extents[axis] <= uint64_t(1) << 32, "an extent");
      demand(box[axis] >= 1 && box[axis] <= 256, "an extent of the box");
      if (elementStrides[axis] != 1)
        reject(NotSupported, "tensor map: element strides other than 1");
      map.extents[axis] = extents[axis];
      map.box[axis] = box[axis];
      if (axis + 1 < rank) {
        demand(strides[axis] % 16 == 0 && strides[axis] < uint64_t(1) << 40,
               "a stride is not a multiple of 16");
        map.strides[axis] = strides[axis];
      }
    }
    const uint32_t inner = box[0] * map.elementBytes;
    demand(inner % 16 == 0, "a row of the box is not a multiple of 16 bytes");
    demand(!swizzle || inner <= 16u << swizzle,
           "a row of the box is longer than the swizzled pattern");
    std::memset(object, 0, sizeof *object);
    std::memcpy(object, &map, sizeof map);
  });
}
