//===- Device.h - Where tensors of a target other than the CPU live ---------------------------===//
//
// A session of such a target has one Device; every arena has a Stream of it, which runs one call at
// a time. Tensors are handles: weights are uploaded once, what kernels hand to each other stays on
// the device, inputs and outputs are copied unless they are there. All functions that can fail
// throw Error.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_DEVICE_H
#define ATTUNE_RUNTIME_DEVICE_H

#include "attune/runtime/attune.h"
#include "attune/runtime/kernel_abi.h"
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace attune::rt {

using Handle = void *;

/// A step of a call whose kernel failed on the device, and how (ATTUNE_KERNEL_*).
struct StepFailure {
  uint32_t step;
  int32_t code;
};

/// What it is told to do happens in order. Handles are its own or the device's.
class Stream {
public:
  virtual ~Stream() = default;

  /// A call of so many steps begins.
  virtual void begin(uint32_t) {}
  /// What is told next comes behind what the device's default stream has been told.
  virtual void followDefault() {}

  /// What kernels call. It refers to this stream by `Context::stream`.
  virtual const attune_kernel_device &kernelInterface() const = 0;
  /// Why what kernels asked for since the last call of this function was not done.
  virtual std::optional<std::string> takeFailure() = 0;

  virtual Handle allocate(uint64_t bytes) = 0;
  virtual void release(Handle handle) = 0;
  /// Memory that what is told next may use, until it is given back: then what is told after that
  /// may get it.
  virtual Handle borrow(uint64_t bytes) = 0;
  virtual void giveBack(Handle handle) noexcept = 0;
  /// `from` has to stay, and `to` is there, when `finish` returns.
  virtual void write(Handle to, const void *from, uint64_t bytes) = 0;
  virtual void read(void *to, Handle from, uint64_t offset, uint64_t bytes) = 0;
  virtual void copy(Handle to, Handle from, uint64_t bytes) = 0;
  /// Waits until all is done; the first step of the call that has failed by then.
  virtual std::optional<StepFailure> finish() = 0;
};

class Device {
public:
  virtual ~Device() = default;
  virtual std::unique_ptr<Stream> makeStream() = 0;
  /// Of what a stream has allocated.
  virtual void release(Handle handle) const noexcept = 0;
  /// How callers name it who have tensors there: handles are addresses then. Empty: they cannot.
  virtual std::optional<attune_device> place() const { return std::nullopt; }
};

/// An address that kernels take as it is, without a copy, is a multiple of it.
inline constexpr uint64_t kDeviceAlign = 256;

/// Memory of a result that the caller keeps, also when the session is closed.
struct DeviceResult {
  std::shared_ptr<const Device> device;
  Handle memory = nullptr;
  std::vector<int64_t> shape;

  DeviceResult(std::shared_ptr<const Device> device, Handle memory, std::vector<int64_t> shape)
      : device(std::move(device)), memory(memory), shape(std::move(shape)) {}
  DeviceResult(const DeviceResult &) = delete;
  ~DeviceResult() { device->release(memory); }
};

/// The one that `ATTUNE_OPENCL_DEVICE` names, else the first GPU, else the first of any kind.
std::unique_ptr<Device> openOpenClDevice();

/// The one whose number `ATTUNE_CUDA_DEVICE` is, else the first.
std::unique_ptr<Device> openCudaDevice();

/// A buffer that grows with what it is asked for.
class Reserved {
public:
  explicit Reserved(Stream &stream) : stream(&stream) {}
  Reserved(Reserved &&other) noexcept : Reserved(*other.stream) {
    std::swap(handle, other.handle);
    std::swap(capacity, other.capacity);
  }
  ~Reserved() { clear(); }

  Handle get(uint64_t bytes) {
    if (!handle || bytes > capacity) {
      clear();
      handle = stream->allocate(bytes);
      capacity = bytes;
    }
    return handle;
  }
  void clear() {
    if (handle)
      stream->release(handle);
    handle = nullptr;
    capacity = 0;
  }
  uint64_t size() const { return capacity; }

private:
  Stream *stream;
  Handle handle = nullptr;
  uint64_t capacity = 0;
};

/// Memory that is borrowed from a stream, at most.
class Borrowed {
public:
  explicit Borrowed(Stream &stream) : stream(&stream) {}
  Borrowed(Borrowed &&other) noexcept : stream(other.stream) { std::swap(handle, other.handle); }
  ~Borrowed() { clear(); }

  Handle get(uint64_t bytes) {
    if (!handle)
      handle = stream->borrow(bytes);
    return handle;
  }
  void clear() {
    if (handle)
      stream->giveBack(handle);
    handle = nullptr;
  }

private:
  Stream *stream;
  Handle handle = nullptr;
};

} // namespace attune::rt
#endif
