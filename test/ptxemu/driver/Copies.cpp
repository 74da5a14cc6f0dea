// Memory of the device and of the host: allocation, copies, fills.
#include "attune/test/ptxemu/GlobalMemory.h"
#include "attune/test/ptxemu/driver/State.h"
#include <cstring>

using namespace attune::rt::cuda;
using namespace attune::ptx;

static uint8_t *device(DevicePointer address, size_t bytes) {
  if (uint8_t *host = globalMemory().find(address, bytes))
    return host;
  std::ostringstream where;
  where << "device address 0x" << std::hex << address << std::dec << " + " << bytes
        << " bytes is not inside an allocation";
  reject(InvalidValue, std::move(where).str());
}

static void allocate(DevicePointer *memory, size_t bytes) {
  if (!bytes)
    reject(InvalidValue, "an allocation of 0 bytes");
  *memory = globalMemory().allocate(bytes);
  if (!*memory)
    reject(OutOfMemory, text("no ", bytes, " bytes are left"));
}

static void release(DevicePointer memory) {
  if (!globalMemory().release(memory))
    reject(InvalidValue, "not the begin of an allocation");
}

ATTUNE_PTX_API cuMemAlloc_v2(DevicePointer *memory, size_t bytes) {
  return State::get().call([&] { allocate(memory, bytes); });
}

ATTUNE_PTX_API cuMemFree_v2(DevicePointer memory) {
  return State::get().call([&] {
    State::get().finishAll();
    if (memory)
      release(memory);
  });
}

ATTUNE_PTX_API cuMemAllocAsync(DevicePointer *memory, size_t bytes, Stream stream) {
  return State::get().call([&] {
    State::get().resolve(stream);
    allocate(memory, bytes);
  });
}

ATTUNE_PTX_API cuMemFreeAsync(DevicePointer memory, Stream stream) {
  return State::get().call([&] { State::get().enqueue(stream, [memory] { release(memory); }); });
}

ATTUNE_PTX_API cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  return State::get().call([&] {
    if (!bytes)
      reject(InvalidValue, "an allocation of 0 bytes");
    *memory = globalMemory().allocatePinned(bytes);
    if (!*memory)
      reject(OutOfMemory, text("no ", bytes, " bytes are left"));
  });
}

ATTUNE_PTX_API cuMemFreeHost(void *memory) {
  return State::get().call([&] {
    State::get().finishAll();
    release(uintptr_t(memory));
  });
}

/// Copies as of now fail as of now; the bytes move when the stream gets there.
static void copy(Stream stream, DevicePointer to, DevicePointer from, size_t bytes) {
  device(to, bytes);
  device(from, bytes);
  State::get().enqueue(stream,
                       [=] { std::memmove(device(to, bytes), device(from, bytes), bytes); });
}

/// Pageable memory is read before the call returns, pinned memory when the stream gets there.
static void copyIn(Stream stream, DevicePointer to, const void *from, size_t bytes) {
  device(to, bytes);
  if (globalMemory().isPinned(from, bytes))
    return State::get().enqueue(stream, [=] { std::memcpy(device(to, bytes), from, bytes); });
  auto begin = static_cast<const uint8_t *>(from);
  auto data = std::make_shared<std::vector<uint8_t>>(begin, begin + bytes);
  State::get().enqueue(stream, [=] { std::memcpy(device(to, bytes), data->data(), bytes); });
}

/// Returns whether the call has to wait: the target is pageable.
static bool copyOut(Stream stream, void *to, DevicePointer from, size_t bytes) {
  device(from, bytes);
  State::get().enqueue(stream, [=] { std::memcpy(to, device(from, bytes), bytes); });
  return !globalMemory().isPinned(to, bytes);
}

ATTUNE_PTX_API cuMemcpyHtoD_v2(DevicePointer to, const void *from, size_t bytes) {
  return State::get().call([&] {
    copyIn(nullptr, to, from, bytes);
    State::get().finish(State::get().defaultStream);
  });
}

ATTUNE_PTX_API cuMemcpyDtoH_v2(void *to, DevicePointer from, size_t bytes) {
  return State::get().call([&] {
    copyOut(nullptr, to, from, bytes);
    State::get().finish(State::get().defaultStream);
  });
}

ATTUNE_PTX_API cuMemcpyDtoD_v2(DevicePointer to, DevicePointer from, size_t bytes) {
  return State::get().call([&] { copy(nullptr, to, from, bytes); });
}

ATTUNE_PTX_API cuMemcpyHtoDAsync_v2(DevicePointer to, const void *from, size_t bytes,
                                    Stream stream) {
  return State::get().call([&] { copyIn(stream, to, from, bytes); });
}

ATTUNE_PTX_API cuMemcpyDtoHAsync_v2(void *to, DevicePointer from, size_t bytes, Stream stream) {
  return State::get().call([&] {
    if (copyOut(stream, to, from, bytes))
      State::get().finish(State::get().resolve(stream));
  });
}

ATTUNE_PTX_API cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, size_t bytes,
                                    Stream stream) {
  return State::get().call([&] { copy(stream, to, from, bytes); });
}

template <class T> static void fill(Stream stream, DevicePointer to, T value, size_t count) {
  if (to % sizeof(T))
    reject(InvalidValue, "the address is not a multiple of the element");
  device(to, count * sizeof(T));
  State::get().enqueue(stream, [=] {
    uint8_t *memory = device(to, count * sizeof(T));
    for (size_t i = 0; i < count; ++i)
      std::memcpy(memory + i * sizeof(T), &value, sizeof(T));
  });
}

ATTUNE_PTX_API cuMemsetD8_v2(DevicePointer to, unsigned char value, size_t count) {
  return State::get().call([&] { fill(nullptr, to, value, count); });
}

ATTUNE_PTX_API cuMemsetD8Async(DevicePointer to, unsigned char value, size_t count, Stream stream) {
  return State::get().call([&] { fill(stream, to, value, count); });
}

ATTUNE_PTX_API cuMemsetD32Async(DevicePointer to, unsigned value, size_t count, Stream stream) {
  return State::get().call([&] { fill(stream, to, value, count); });
}
