// The C interface from C++ through the installed header and library.
#include "attune/runtime/attune.h"
#include <cstdio>

int main() {
  const attune_api *api = attune_get_api(ATTUNE_API_VERSION);
  if (!api)
    return 1;
  attune_session *session = nullptr;
  attune_status *status = api->session_open("/nowhere/model.so", nullptr, &session);
  bool refused = api->status_code(status) != ATTUNE_OK && !session;
  std::printf("%s: %s\n", api->version_text(), api->status_message(status));
  api->status_free(status);
  return refused ? 0 : 1;
}
