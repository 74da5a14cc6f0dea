/* Kernels of the artifacts that the runtime's tests make, written by hand. */
#include "attune/runtime/kernel_abi.h"

/* Filled in the file once metadata and weights are appended; see runtime/artifact.h. */
__attribute__((section(".note.attune"), used, aligned(4))) static const struct {
  uint32_t nameSize, descSize, type;
  char name[8];
  unsigned char note[72];
} note = {7, 72, 1, "Attune", {0}};

#define EXPORT __attribute__((visibility("default")))

enum { ROWS_PER_TASK = 4 };

/* out[i][j] = in[i][j] * weight[j] + 1; dims: rows, columns. */
static int32_t scaleTask(attune_ctx *ctx, void *const *buffers, const int64_t *dims, int64_t task,
                         int64_t worker) {
  if (worker < 0 || worker >= ctx->threads)
    return ATTUNE_KERNEL_BAD_SHAPE;
  const float *in = buffers[0], *weight = buffers[1];
  float *out = buffers[2];
  int64_t stop = (task + 1) * ROWS_PER_TASK < dims[0] ? (task + 1) * ROWS_PER_TASK : dims[0];
  for (int64_t i = task * ROWS_PER_TASK; i < stop; ++i)
    for (int64_t j = 0; j < dims[1]; ++j)
      out[i * dims[1] + j] = in[i * dims[1] + j] * weight[j] + 1;
  return 0;
}

EXPORT int32_t scale(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  return ctx->parallel_for(ctx, (dims[0] + ROWS_PER_TASK - 1) / ROWS_PER_TASK, scaleTask, buffers,
                           dims);
}

/* out[i] = sum of row i; dims: rows, columns. */
EXPORT int32_t sumRows(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const float *in = buffers[0];
  float *out = buffers[1];
  for (int64_t i = 0; i < dims[0]; ++i) {
    float sum = 0;
    for (int64_t j = 0; j < dims[1]; ++j)
      sum += in[i * dims[1] + j];
    out[i] = sum;
  }
  return 0;
}

/* out[i] = in[index[i]]; dims: indices, elements. */
EXPORT int32_t gather(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const float *in = buffers[0];
  const int64_t *index = buffers[1];
  float *out = buffers[2];
  for (int64_t i = 0; i < dims[0]; ++i) {
    if (index[i] < 0 || index[i] >= dims[1])
      return ATTUNE_KERNEL_INDEX_OUT_OF_RANGE;
    out[i] = in[index[i]];
  }
  return 0;
}

/* count[0] = number of elements above 0; dims: elements. */
EXPORT int32_t countPositive(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const float *in = buffers[0];
  int64_t *count = buffers[1];
  *count = 0;
  for (int64_t i = 0; i < dims[0]; ++i)
    *count += in[i] > 0;
  return 0;
}

/* Copies the elements above 0; dims: elements. */
EXPORT int32_t compact(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const float *in = buffers[0];
  float *out = buffers[1];
  for (int64_t i = 0; i < dims[0]; ++i)
    if (in[i] > 0)
      *out++ = in[i];
  return 0;
}

/* Appends `add` to `past` along axis 1; dims: outer, extent of past, extent of add, inner,
 * capacity of past, capacity of the result. */
EXPORT int32_t append(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const float *past = buffers[0], *add = buffers[1];
  float *out = buffers[2];
  int64_t old = dims[1] * dims[3], more = dims[2] * dims[3];
  for (int64_t i = 0; i < dims[0]; ++i) {
    float *row = out + i * dims[5] * dims[3];
    const float *from = past + i * dims[4] * dims[3];
    if (row != from)
      for (int64_t j = 0; j < old; ++j)
        row[j] = from[j];
    for (int64_t j = 0; j < more; ++j)
      row[old + j] = add[i * more + j];
  }
  return 0;
}

/* out[0] = the product of in's elements: shows whether denormals are flushed; dims: elements. */
EXPORT int32_t product(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const float *in = buffers[0];
  float *out = buffers[1];
  float value = 1;
  for (int64_t i = 0; i < dims[0]; ++i)
    value *= in[i];
  *out = value;
  return 0;
}
