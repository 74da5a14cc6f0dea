//===- Compile.h - A region as LLVM bitcode ---------------------------------------------------===//
//
// The door to Halide: what is behind it may throw, nothing comes out but values and errors.
//
// The bitcode defines `int32_t symbol(void *context, halide_buffer_t *in..., int32_t dim...,
// halide_buffer_t *out...)`. It calls `halide_do_par_for`, `halide_free` and
// `attune_halide_scratch` (codegen/cpu/Hooks.h), nothing else of Halide's run time.
//
// For a device the same function only allocates temporaries of the device and launches; the OpenCL
// C of what it launches is a constant of the bitcode.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_COMPILE_H
#define ATTUNE_CODEGEN_HALIDE_COMPILE_H

#include "attune/codegen/halide/Plan.h"

#include <string>
#include <vector>

namespace attune::codegen::halide {

/// A number of bytes as a postfix program over the kernel's dims.
struct SizeStep {
  enum class Op { Constant, Dim, Add, Sub, Mul, Div, Min, Max };
  Op op;
  int64_t value = 0; ///< Constant, or the number of the Dim
};

/// Memory that the code asks for by its number in the list.
struct ScratchBuffer {
  std::vector<SizeStep> bytes;
  bool perWorker = false; ///< one for each worker, one after the other
};

struct Bitcode {
  std::string bytes;
  std::vector<ScratchBuffer> scratch;
};

llvm::Expected<Bitcode> compile(const Region &region, const Plan &plan, llvm::StringRef symbol,
                                const CpuTarget &target);
/// The plan is one of DevicePlan.h.
llvm::Expected<std::string> compileForDevice(const Region &region, const Plan &plan,
                                             llvm::StringRef symbol);

} // namespace attune::codegen::halide
#endif
