#include "attune/test/ptxemu/driver/State.h"
#include "attune/test/ptxemu/GlobalMemory.h"
#include <algorithm>
#include <cstdio>

namespace attune::ptx {

State &State::get() {
  static auto *state = new State;
  return *state;
}

void reject(rt::cuda::Result result, std::string message) {
  throw CallError{result, std::move(message)};
}

rt::cuda::Result State::fail(const Fault &fault) {
  message = fault.message;
  std::fprintf(stderr, "ptxemu: %s\n", fault.message.c_str());
  switch (fault.kind) {
  case Fault::Unsupported:
  case Fault::Malformed:
    return failed = rt::cuda::InvalidPtx;
  case Fault::BadLaunch:
    return failed = rt::cuda::InvalidValue;
  case Fault::BadAccess:
    return failed = sticky = rt::cuda::IllegalAddress;
  case Fault::Stuck:
    return failed = sticky = rt::cuda::LaunchTimeout;
  case Fault::Misuse:
    break;
  }
  return failed = sticky = rt::cuda::LaunchFailed;
}

void State::reset() {
  std::lock_guard lock(mutex);
  for (rt::cuda::StreamHandle *stream : streams) {
    stream->pending.clear();
    stream->done = stream->enqueued;
  }
  defaultStream.pending.clear();
  defaultStream.done = defaultStream.enqueued;
  sticky = rt::cuda::Success;
}

rt::cuda::StreamHandle &State::resolve(rt::cuda::Stream stream) {
  constexpr uintptr_t perThread = 2; // the handles below are CU_STREAM_LEGACY and the null stream
  if (reinterpret_cast<uintptr_t>(stream) <= perThread)
    return defaultStream;
  if (!streams.contains(stream))
    reject(rt::cuda::InvalidHandle, "not a stream");
  return *stream;
}

void State::enqueue(rt::cuda::Stream handle, std::function<void()> work) {
  rt::cuda::StreamHandle &stream = resolve(handle);
  auto behind = [&](rt::cuda::StreamHandle &other) {
    if (other.done == other.enqueued)
      return;
    ++stream.enqueued;
    stream.pending.push_back([this, &other, position = other.enqueued] {
      if (&other == &defaultStream || streams.contains(&other))
        finish(other, position);
    });
  };
  if (&stream == &defaultStream) {
    for (rt::cuda::StreamHandle *other : streams)
      if (other->blocking)
        behind(*other);
  } else if (stream.blocking) {
    behind(defaultStream);
  }
  ++stream.enqueued;
  stream.pending.push_back(std::move(work));
}

void State::finish(rt::cuda::StreamHandle &stream, uint64_t position) {
  while (stream.done < position && !stream.pending.empty()) {
    auto work = std::move(stream.pending.front());
    stream.pending.pop_front();
    work();
    ++stream.done;
  }
}

void State::finishAll() {
  finish(defaultStream);
  for (rt::cuda::StreamHandle *stream : streams)
    finish(*stream);
}

} // namespace attune::ptx
