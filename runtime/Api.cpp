#include "attune/runtime/DType.h"
#include "attune/runtime/Error.h"
#include "attune/runtime/Session.h"
#include <cstring>
#include <new>

struct attune_status {
  attune_code code;
  std::string message;
};

struct attune_session {
  attune::rt::Session session;
};

namespace attune::rt {
namespace {

/// What is left to say when there is no memory for a message; never freed.
const attune_status &outOfMemory() {
  static const attune_status status{ATTUNE_ERROR_SYSTEM, "out of memory"};
  return status;
}

attune_status *makeStatus(attune_code code, std::string message) noexcept {
  if (auto *status = new (std::nothrow) attune_status{code, std::move(message)})
    return status;
  return const_cast<attune_status *>(&outOfMemory());
}

/// Runs `body`; an exception becomes a status.
template <class Body> attune_status *guarded(Body body) noexcept {
  try {
    try {
      body();
      return nullptr;
    } catch (Error &error) {
      return makeStatus(error.code, std::move(error.message));
    } catch (const std::bad_alloc &) {
    } catch (const std::exception &error) {
      return makeStatus(ATTUNE_ERROR_INTERNAL, text("internal error: ", error.what()));
    }
  } catch (...) {
  }
  return const_cast<attune_status *>(&outOfMemory());
}

/// The caller's struct as this version knows it: missing fields are zero.
template <class Struct> Struct read(const Struct *given, const char *name) {
  Struct known{};
  if (!given)
    return known;
  if (given->size < sizeof(uint32_t) || given->size > 4096)
    fail(ATTUNE_ERROR_ARGUMENT, name, ".size is ", given->size, ", it must be sizeof(", name, ")");
  memcpy(&known, given, std::min<size_t>(given->size, sizeof known));
  return known;
}

attune_status *openSession(const char *path, const attune_session_options *options,
                           attune_session **session) {
  return guarded([&] {
    if (!path || !session)
      fail(ATTUNE_ERROR_ARGUMENT, "session_open: path and session must not be null");
    *session = nullptr;
    *session = new attune_session{Session(path, read(options, "attune_session_options"))};
  });
}

attune_status *runSession(attune_session *session, const attune_run_args *given) {
  return guarded([&] {
    if (!session || !given)
      fail(ATTUNE_ERROR_ARGUMENT, "session_run: session and arguments must not be null");
    attune_run_args args = read(given, "attune_run_args");
    if (!args.profile)
      return session->session.run(args);
    attune_profile profile = read(args.profile, "attune_profile");
    attune_profile *callers = args.profile;
    args.profile = &profile;
    session->session.run(args);
    memcpy(callers, &profile, std::min<size_t>(callers->size, sizeof profile));
  });
}

void clearValue(attune_value *value) {
  if (!value)
    return;
  if (value->owner && value->tensor.device.type != ATTUNE_CPU)
    delete static_cast<DeviceResult *>(value->owner);
  else
    std::free(value->owner);
  *value = attune_value{};
  value->size = sizeof(attune_value);
}

constexpr attune_api kApi = {
    .size = sizeof(attune_api),
    .version = ATTUNE_API_VERSION,
    .version_text = [] { return ATTUNE_VERSION; },
    .status_code = [](const attune_status *status) { return status ? status->code : ATTUNE_OK; },
    .status_message =
        [](const attune_status *status) { return status ? status->message.c_str() : ""; },
    .status_free =
        [](attune_status *status) {
          if (status != &outOfMemory())
            delete status;
        },
    .session_open = openSession,
    .session_close = [](attune_session *session) { delete session; },
    .session_signature =
        [](const attune_session *session) { return &session->session.signature(); },
    .session_run = runSession,
    .value_clear = clearValue,
    .dtype_name = dtypeName,
    .dtype_parse = [](const char *name) { return name ? dtypeParse(name) : 0u; },
    .dtype_bytes = dtypeBytes,
};

} // namespace
} // namespace attune::rt

extern "C" const attune_api *attune_get_api(uint32_t version) {
  return version == ATTUNE_API_VERSION ? &attune::rt::kApi : nullptr;
}
