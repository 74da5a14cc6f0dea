//===- Harness.h - Kernels as text, run on the driver under test ------------------------------===//
//
// ATTUNE_CUDA_DRIVER names the interpreter, or the tests run on the driver of a GPU: what they
// expect of values holds there, too. What only the interpreter does (faults, counts) is tested with
// `onInterpreter()`.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_TESTS_HARNESS_H
#define ATTUNE_TEST_PTXEMU_TESTS_HARNESS_H

#include "attune/runtime/cuda/Driver.h"
#include <bit>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace attune::ptx {

inline uint32_t f32(float value) { return std::bit_cast<uint32_t>(value); }
inline uint64_t f64(double value) { return std::bit_cast<uint64_t>(value); }

/// The driver, with the primary context current; clears what an earlier fault left.
const rt::cuda::Driver &device();
bool onInterpreter();
/// A number of the last launch (Report.h); 0 without the interpreter.
uint64_t count(const char *what);

/// Memory of the device with a copy of a vector.
template <class T> class Buffer {
public:
  explicit Buffer(const std::vector<T> &values) : size(values.size()) {
    device().check(device().memAlloc(&address, size * sizeof(T)), "memory");
    device().check(device().copyToDevice(address, values.data(), size * sizeof(T)), "copy");
  }
  explicit Buffer(size_t count) : Buffer(std::vector<T>(count)) {}
  Buffer(const Buffer &) = delete;
  ~Buffer() { device().memFree(address); }

  std::vector<T> values() const {
    std::vector<T> result(size);
    device().check(device().copyToHost(result.data(), address, size * sizeof(T)), "copy");
    return result;
  }
  rt::cuda::DevicePointer address = 0;

private:
  size_t size;
};

/// A module; the error of a failed load is kept.
class Code {
public:
  explicit Code(const std::string &ptx);
  ~Code();
  rt::cuda::Function function(const char *name) const;
  std::string error; ///< empty if the module was loaded
  rt::cuda::Module module = nullptr;
};

struct Shape {
  unsigned grid = 1, block = 32, shared = 0;
};

/// Launches `name` and waits. The parameters are any values: pointers, numbers, tensor maps.
rt::cuda::Result launchRaw(const Code &code, const char *name, Shape shape,
                           std::vector<void *> parameters);
template <class... T>
rt::cuda::Result launch(const Code &code, const char *name, Shape shape, T... parameters) {
  return launchRaw(code, name, shape, {&parameters...});
}
/// What the driver says of a result.
std::string message(rt::cuda::Result result);

/// The head of a module for sm_80 or another target.
std::string head(const char *target = "sm_80", const char *version = "8.0");
/// A kernel `k` with 64-bit parameters p0, p1 and so on, registers of all kinds (%p, %h, %r, %f,
/// %d; 64 of each), %tid.x in %r0 and the parameters as global addresses in %d0, %d1, ….
std::string kernel(unsigned parameters, const std::string &body,
                   const std::string &declarations = "");

/// For kernels with a fault: `text` without the first line that has `part`, or with `part`
/// replaced.
std::string without(std::string text, const std::string &part);
std::string replaced(std::string text, const std::string &part, const std::string &by);

/// One instruction (or a few) with registers d, a, b, c, e of the given bits (1: a predicate; the
/// first is d). Each row is what d must be, and the operands.
struct Vectors {
  const char *instruction;
  std::vector<unsigned> bits;
  std::vector<std::vector<uint64_t>> rows;
};
void check(const std::vector<Vectors> &all, const char *target = "sm_80",
           const char *version = "8.0");

} // namespace attune::ptx
#endif
