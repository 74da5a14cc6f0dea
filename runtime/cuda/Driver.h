//===- Driver.h - The CUDA driver, loaded when it is asked for --------------------------------===//
//
// `driver()` loads the library that the variable ATTUNE_CUDA_DRIVER names, or libcuda.so.1, looks
// up every function of Api.h and initialises it, once per process. Nothing links to CUDA. Where
// there is no driver, or one without a function, an Error (ATTUNE_ERROR_SYSTEM) says what is
// missing.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_CUDA_DRIVER_H
#define ATTUNE_RUNTIME_CUDA_DRIVER_H

#include "attune/runtime/Error.h"
#include "attune/runtime/cuda/Api.h"
#include <string>

namespace attune::rt::cuda {

struct Driver {
#define ATTUNE_CUDA_MEMBER(member, symbol, parameters) Result(*member) parameters = nullptr;
  ATTUNE_CUDA_FUNCTIONS(ATTUNE_CUDA_MEMBER)
#undef ATTUNE_CUDA_MEMBER
  void *library = nullptr;

  /// What the driver says about an error: its name and description.
  std::string describe(Result result) const;

  /// Fails with `what`, and the driver's words, unless the result is Success.
  template <class... Parts> void check(Result result, const Parts &...what) const {
    if (result != Success)
      fail(result == OutOfMemory ? ATTUNE_ERROR_SYSTEM : ATTUNE_ERROR_KERNEL, "CUDA: ", what...,
           ": ", describe(result));
  }
};

const Driver &driver();

} // namespace attune::rt::cuda
#endif
