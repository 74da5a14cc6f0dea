// Streams and events.
#include "attune/test/ptxemu/driver/State.h"

using namespace attune::rt::cuda;
using namespace attune::ptx;

ATTUNE_PTX_API cuStreamCreate(Stream *stream, unsigned flags) {
  return State::get().call([&] {
    if (flags > StreamNonBlocking)
      reject(InvalidValue, text("stream flags ", flags));
    *stream = new StreamHandle;
    (*stream)->blocking = flags == StreamDefault;
    State::get().streams.insert(*stream);
  });
}

ATTUNE_PTX_API cuStreamDestroy_v2(Stream stream) {
  return State::get().call([&] {
    State &state = State::get();
    if (&state.resolve(stream) == &state.defaultStream)
      reject(InvalidHandle, "the default stream");
    state.finish(*stream);
    state.streams.erase(stream);
    delete stream;
  });
}

ATTUNE_PTX_API cuStreamSynchronize(Stream stream) {
  return State::get().call([&] { State::get().finish(State::get().resolve(stream)); });
}

/// Work never ends by itself, but asking again and again has to end: every question does a piece.
static Result progress(StreamHandle &stream, uint64_t position) {
  Result result = State::get().call([&] {
    if (stream.done < position)
      State::get().finish(stream, stream.done + 1);
  });
  return result != Success ? result : stream.done < position ? NotReady : Success;
}

ATTUNE_PTX_API cuStreamQuery(Stream stream) {
  StreamHandle *found = nullptr;
  Result result = State::get().call([&] { found = &State::get().resolve(stream); });
  return result != Success ? result : progress(*found, found->enqueued);
}

ATTUNE_PTX_API cuEventCreate(Event *event, unsigned) {
  return State::get().call([&] { *event = new EventHandle; });
}

ATTUNE_PTX_API cuEventDestroy_v2(Event event) {
  delete event;
  return Success;
}

ATTUNE_PTX_API cuEventRecord(Event event, Stream stream) {
  return State::get().call([&] {
    StreamHandle &found = State::get().resolve(stream);
    event->time = std::make_shared<std::chrono::steady_clock::time_point>();
    State::get().enqueue(stream,
                         [time = event->time] { *time = std::chrono::steady_clock::now(); });
    event->stream = &found;
    event->position = found.enqueued;
  });
}

static bool alive(Event event) {
  State &state = State::get();
  return event->stream &&
         (event->stream == &state.defaultStream || state.streams.contains(event->stream));
}

ATTUNE_PTX_API cuEventSynchronize(Event event) {
  return State::get().call([&] {
    if (alive(event))
      State::get().finish(*event->stream, event->position);
  });
}

ATTUNE_PTX_API cuEventQuery(Event event) {
  return alive(event) ? progress(*event->stream, event->position) : Success;
}

ATTUNE_PTX_API cuStreamWaitEvent(Stream stream, Event event, unsigned) {
  return State::get().call([&] {
    if (!alive(event))
      return State::get().resolve(stream), void();
    State::get().enqueue(stream, [other = event->stream, position = event->position] {
      State &state = State::get();
      if (other == &state.defaultStream || state.streams.contains(other))
        state.finish(*other, position);
    });
  });
}

ATTUNE_PTX_API cuEventElapsedTime(float *milliseconds, Event start, Event end) {
  Result result = State::get().call([&] {
    for (Event event : {start, end}) {
      if (!event->time)
        reject(InvalidHandle, "the event was not recorded");
      if (alive(event) && event->stream->done < event->position)
        reject(NotReady, "the event has not happened");
    }
    *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *start->time).count();
  });
  return result;
}
