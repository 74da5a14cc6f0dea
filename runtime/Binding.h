//===- Binding.h - The caller's tensors of one call -------------------------------------------===//
//
// Matches the values of attune_run_args with the signature and refuses, with one message that says
// what was found and what is accepted, whatever a kernel could trip over.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_BINDING_H
#define ATTUNE_RUNTIME_BINDING_H

#include "attune/runtime/Device.h"
#include "attune/runtime/Evaluation.h"
#include "attune/runtime/Program.h"
#include <cstdlib>
#include <memory>

namespace attune::rt {

struct Free {
  void operator()(void *memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<char, Free>;

/// At least one byte, 64-byte aligned; throws Error.
Memory allocate(uint64_t bytes);

struct Bound {
  char *data = nullptr;
  uint64_t span = 0; ///< bytes from `data` that belong to the tensor
  attune_device device{ATTUNE_CPU, 0};
  bool spread = false; ///< an output on the host that is dense, in `storage`, until it is delivered
  bool setAside = false; ///< on a device: an output gets the memory, so that a copy is to be read
  Memory storage;        ///< ours: a dense copy of an input, or an allocated output
  std::unique_ptr<DeviceResult> result; ///< an allocated output on a device
  attune_value *out = nullptr;          ///< the caller's place; null for an output nobody asked for

  bool onDevice() const { return device.type != ATTUNE_CPU; }
};

class Binding {
public:
  Binding(const Program &program, const attune_run_args &args, bool copyStrided);

  /// Whether the caller has tensors on the device.
  bool usesDevice() const;
  /// Refuses tensors on another device than this one.
  void checkDevice(const attune_device &accepted) const;

  /// Part of the call's sizes: input extents and capacities.
  CallSizes sizes;
  std::vector<Bound> inputs, outputs;

  /// Where outputs are allocated; the host if it is empty.
  std::shared_ptr<const Device> resultDevice;

  /// Output `i` has this shape: checks the caller's tensor or allocates one, by `stream` if there
  /// is a `resultDevice`.
  void shapeOutput(size_t i, const std::vector<int64_t> &shape, Stream *stream);
  /// Refuses outputs that share memory with inputs or each other, alias pairs aside; an input that
  /// is the very same memory is set aside.
  void checkOverlap(size_t output);
  /// Hands allocated outputs to the caller; cannot fail.
  void deliver();

private:
  void bindInput(size_t i, const attune_value &value, bool copyStrided);
  void packFront(Bound &bound, const attune_tensor &tensor, size_t i, int axis, uint64_t elements);
  void bindOutput(size_t i, attune_value &value);
  void checkSymbols() const;
  std::vector<uint32_t> order(const std::vector<Port> &ports, const char *const *names,
                              uint64_t count, const char *what) const;

  const Program &program;
  std::vector<std::vector<int64_t>> outputShapes;
};

} // namespace attune::rt
#endif
