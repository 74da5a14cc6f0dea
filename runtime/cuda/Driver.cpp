#include "attune/runtime/cuda/Driver.h"
#include <cstdlib>
#include <dlfcn.h>

namespace attune::rt::cuda {

std::string Driver::describe(Result result) const {
  const char *name = nullptr, *words = nullptr;
  getErrorName(result, &name);
  getErrorString(result, &words);
  return text(name ? name : "unknown error", " (", int(result), ")", words ? ": " : "",
              words ? words : "");
}

static Driver load() {
  const char *chosen = std::getenv("ATTUNE_CUDA_DRIVER");
  const char *path = chosen && *chosen ? chosen : "libcuda.so.1";
  Driver driver;
  driver.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!driver.library)
    fail(ATTUNE_ERROR_SYSTEM, "CUDA: no driver: ", dlerror(),
         " (ATTUNE_CUDA_DRIVER names another one)");
#define ATTUNE_CUDA_LOAD(member, symbol, parameters)                                               \
  driver.member = reinterpret_cast<Result(*) parameters>(dlsym(driver.library, #symbol));          \
  if (!driver.member)                                                                              \
    fail(ATTUNE_ERROR_SYSTEM, "CUDA: the driver ", path, " has no ", #symbol);
  ATTUNE_CUDA_FUNCTIONS(ATTUNE_CUDA_LOAD)
#undef ATTUNE_CUDA_LOAD
  driver.check(driver.init(0), "the driver ", path, " does not start");
  return driver;
}

const Driver &driver() {
  static const Driver loaded = load();
  return loaded;
}

} // namespace attune::rt::cuda
