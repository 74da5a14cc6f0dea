/* The example of attune.h, as C. */
#include "attune/runtime/attune.h"
#include <stdio.h>

_Static_assert(sizeof(attune_tensor) == 48, "the layout of a DLTensor");
_Static_assert(offsetof(attune_tensor, ndim) == 16, "");
_Static_assert(offsetof(attune_tensor, dtype) == 20, "");
_Static_assert(offsetof(attune_tensor, byte_offset) == 40, "");
_Static_assert(sizeof(attune_value) == 80, "fixed by version 1");

/* y[0] of kScale for x = {1, 2, 3}; negative after an error. */
double attune_test_header(const char *path) {
  const attune_api *api = attune_get_api(ATTUNE_API_VERSION);
  attune_session *session;
  attune_status *status = api->session_open(path, NULL, &session);
  if (status)
    return -1;
  int64_t shape[2] = {1, 3};
  float x[3] = {1, 2, 3};
  attune_value in = {.size = sizeof in, .kind = ATTUNE_TENSOR};
  in.tensor = (attune_tensor){x, {ATTUNE_CPU, 0}, 2, ATTUNE_F32, shape, NULL, 0};
  attune_value out[2] = {{.size = sizeof out[0]}, {.size = sizeof out[1]}};
  attune_run_args args = {sizeof args, 0, NULL, &in, 1, NULL, out, 2, NULL};
  status = api->session_run(session, &args);
  double result = status ? -2 : ((float *)out[0].tensor.data)[0];
  api->status_free(status);
  api->value_clear(&out[0]);
  api->value_clear(&out[1]);
  api->session_close(session);
  return result;
}
