//===- State.h - The one device, its context, streams and errors ------------------------------===//
//
// Behind the exported functions (Device.cpp, Copies.cpp, Modules.cpp, Streams.cpp). Work in streams
// is done as late as the API allows: when something waits for it. A program that reads a result
// without waiting finds what was there before. As on a device, an error of a kernel stays: every
// later call on the context returns it, until the context is reset.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_DRIVER_STATE_H
#define ATTUNE_TEST_PTXEMU_DRIVER_STATE_H

#include "attune/runtime/cuda/Api.h"
#include "attune/test/ptxemu/Report.h"
#include "attune/test/ptxemu/Types.h"
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace attune::rt::cuda {

struct StreamHandle {
  bool blocking = true; ///< waits for the default stream, and lets it wait
  std::deque<std::function<void()>> pending;
  uint64_t enqueued = 0, done = 0;
};

struct EventHandle {
  StreamHandle *stream = nullptr; ///< of the last record; null: never recorded
  uint64_t position = 0;
  std::shared_ptr<std::chrono::steady_clock::time_point> time;
};

} // namespace attune::rt::cuda

namespace attune::ptx {

/// The result of a call that fails without a fault of a kernel.
struct CallError {
  rt::cuda::Result result;
  std::string message;
};

class State {
public:
  static State &get();

  /// Runs f with the lock, for the function of the API that calls it; what it throws becomes the
  /// result.
  template <class F> rt::cuda::Result call(F f, const char *caller = __builtin_FUNCTION()) {
    std::lock_guard lock(mutex);
    countCall(caller);
    if (!initialized)
      return rt::cuda::NotInitialized;
    if (sticky != rt::cuda::Success)
      return sticky;
    return guard(f);
  }
  template <class F> rt::cuda::Result guard(F f) {
    try {
      f();
      return rt::cuda::Success;
    } catch (const CallError &error) {
      message = error.message;
      return failed = error.result;
    } catch (const Fault &fault) {
      return fail(fault);
    } catch (const std::bad_alloc &) {
      return rt::cuda::OutOfMemory;
    }
  }
  void reset();

  /// Puts work at the end of a stream, behind what the rules of the default stream make it wait
  /// for.
  void enqueue(rt::cuda::Stream stream, std::function<void()> work);
  void finish(rt::cuda::StreamHandle &stream, uint64_t position);
  void finish(rt::cuda::StreamHandle &stream) { finish(stream, stream.enqueued); }
  void finishAll();
  rt::cuda::StreamHandle &resolve(rt::cuda::Stream stream);

  std::recursive_mutex mutex;
  bool initialized = false, hasContext = false;
  rt::cuda::Result sticky = rt::cuda::Success;
  rt::cuda::Result failed = rt::cuda::Success; ///< that `message` belongs to
  std::string message;
  std::set<rt::cuda::StreamHandle *> streams;
  rt::cuda::StreamHandle defaultStream;
  unsigned capability = 90;

private:
  rt::cuda::Result fail(const Fault &fault);
};

[[noreturn]] void reject(rt::cuda::Result result, std::string message);

} // namespace attune::ptx

/// Begins the definition of a function of the API.
#define ATTUNE_PTX_API extern "C" __attribute__((visibility("default"))) attune::rt::cuda::Result

#endif
