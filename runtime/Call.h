//===- Call.h - One run of a program ----------------------------------------------------------===//
//
// Sizes, addresses, then the steps in order. One thread runs a Call; its kernels may use more.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_CALL_H
#define ATTUNE_RUNTIME_CALL_H

#include "attune/runtime/Binding.h"
#include "attune/runtime/Session.h"
#include <chrono>

namespace attune::rt {

class Call {
public:
  /// `deviceWeights`: handles by value, on a device.
  Call(const Program &program, const std::vector<attune_kernel_fn> &functions, const char *weights,
       const std::vector<Handle> &deviceWeights, Arena &arena, Binding &binding,
       attune_profile *profile)
      : program(program), functions(functions), weights(weights), deviceWeights(deviceWeights),
        arena(arena), binding(binding), profile(profile) {}

  /// Throws Error; then outputs have no defined content.
  void run();

private:
  void prepareSizes();
  void layOut();
  void prepareOutputs(Phase phase);
  void uploadInputs();
  void uploadInput(size_t i);
  void downloadOutputs();
  void allocateDynamic(size_t step);
  void freeDynamic(size_t step);
  void runSteps();
  void runKernel(const Step &step);
  void runLoad(const Step &step, Phase phase);
  void runCopy(const Step &step);
  void record(const Step &step, uint64_t start);
  /// For the device, where the call's kernels may have failed.
  void wait();
  [[noreturn]] void failKernel(const Kernel &kernel, int32_t code) const;
  /// "ONNX nodes `a`, `b` (kernel `k`)".
  static std::string nameOf(const Kernel &kernel);
  uint64_t bytesOf(const Value &value) const;
  uint64_t now() const;

  const Program &program;
  const std::vector<attune_kernel_fn> &functions;
  const char *weights;
  const std::vector<Handle> &deviceWeights;
  Arena &arena;
  Binding &binding;
  attune_profile *profile;
  std::chrono::steady_clock::time_point begin;
  // Per value, if the program has any of unknown size.
  std::vector<Memory> dynamic;
  std::vector<Borrowed> deviceDynamic;
};

} // namespace attune::rt
#endif
