//===- DeviceStream.h - What streams of all devices do for kernels ----------------------------===//
#ifndef ATTUNE_RUNTIME_DEVICESTREAM_H
#define ATTUNE_RUNTIME_DEVICESTREAM_H

#include "attune/runtime/Device.h"
#include "attune/runtime/Error.h"
#include <map>
#include <new>

namespace attune::rt {

/// Temporaries, and errors that cannot be thrown through them.
class DeviceStream : public Stream {
public:
  std::optional<std::string> takeFailure() override {
    std::optional<std::string> taken;
    std::swap(taken, failure);
    return taken;
  }

  /// New, or what was given back and is at most twice as large (the stream runs in order).
  Handle borrow(uint64_t bytes) override {
    auto found = spare.lower_bound(bytes);
    if (found == spare.end() || found->first > 2 * bytes) {
      Handle memory = allocate(bytes);
      lent[memory] = bytes;
      return memory;
    }
    Handle memory = found->second;
    lent[memory] = found->first;
    spare.erase(found);
    return memory;
  }

  /// Null, as a failed `borrow` left it, is nothing.
  void giveBack(Handle memory) noexcept override {
    auto found = lent.find(memory);
    if (found == lent.end())
      return;
    try {
      spare.emplace(found->second, memory);
      lent.erase(found);
    } catch (const std::bad_alloc &) {
      // It stays lent, which `releaseTemporaries` ends.
    }
  }

protected:
  /// For destructors.
  void releaseTemporaries() {
    for (const auto &[bytes, memory] : spare)
      release(memory);
    for (const auto &[memory, bytes] : lent)
      release(memory);
  }

  /// The first error is kept; after it nothing is done. Nothing may be thrown through kernels.
  template <class Do> bool guard(Do action) noexcept {
    if (failure)
      return false;
    try {
      action();
    } catch (const Error &error) {
      failure = error.message;
    } catch (const std::exception &error) {
      failure = error.what();
    }
    return !failure;
  }

private:
  std::multimap<uint64_t, Handle> spare;
  std::map<Handle, uint64_t> lent;
  std::optional<std::string> failure;
};

} // namespace attune::rt
#endif
