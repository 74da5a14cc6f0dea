/*===- kernel_abi.h - What generated kernels and the runtime agree on ---------------------------===
 *
 * Every kernel of an artifact is one C function. The host program (a list of kernel calls in the
 * artifact's metadata, see docs/artifact.md) hands it pointers and sizes; nothing else crosses.
 * A kernel never allocates, never throws, and keeps the caller's floating-point environment.
 *
 *===------------------------------------------------------------------------------------------===*/
#ifndef ATTUNE_RUNTIME_KERNEL_ABI_H
#define ATTUNE_RUNTIME_KERNEL_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct attune_ctx attune_ctx;
typedef struct attune_kernel_device attune_kernel_device;

/* One call computes the whole kernel.
 * buffers: inputs, then outputs, then scratch, as the host program lists them; element-aligned.
 * dims:    the values of the kernel's `dims` operands.
 * Returns 0, or one of ATTUNE_KERNEL_*. */
typedef int32_t (*attune_kernel_fn)(attune_ctx *ctx, void *const *buffers, const int64_t *dims);

/* One piece of a kernel: `task` in [0, n), `worker` in [0, ctx->threads), unique among the tasks
 * that run at the same time: per-worker scratch is indexed by it. */
typedef int32_t (*attune_task_fn)(attune_ctx *ctx, void *const *buffers, const int64_t *dims,
                                  int64_t task, int64_t worker);

/* How the host code of a kernel for a device reaches it; buffers of such kernels are handles. What
 * fails is remembered: later calls of the same kernel do nothing, and the runtime reports it. */
struct attune_kernel_device {
  uint32_t size; /* sizeof(attune_kernel_device) */
  /* Starts `entry` of a program in the device's language. `range`: groups along x, y, z, work items
   * of a group along x, y, z, bytes of memory that a group shares. Argument i has sizes[i] bytes at
   * args[i], or its handle where handles[i] is not 0; a size of 0 ends the list. */
  int32_t (*launch)(attune_ctx *ctx, const char *source, uint64_t length, const char *entry,
                    const int32_t *range, const uint64_t *sizes, void *const *args,
                    const uint8_t *handles);
  /* Memory of the device until `release`, uninitialised; null if that failed. */
  void *(*allocate)(attune_ctx *ctx, uint64_t bytes);
  void (*release)(attune_ctx *ctx, void *handle);
  /* The 32-bit integer that lies there once all that was started is done; null where a device has
   * `failure`. */
  int32_t (*status)(attune_ctx *ctx, void *handle);
  /* A 32-bit integer on the device, 0 when the kernel starts, that is the kernel's result where the
   * device has made it another one: the runtime looks when the call waits for the device anyway.
   * Null if that failed. */
  void *(*failure)(attune_ctx *ctx);
  /* Fills `map`, 128 bytes aligned to 64: a value by which a kernel copies boxes of a tensor to
   * memory that a group shares, rows of 128 bytes with their 16-byte chunks in the order of
   * CUDA's 128-byte swizzle. The first axis is dense; extents, strides and the box in elements. */
  int32_t (*tensor_map)(attune_ctx *ctx, void *map, void *memory, int64_t offset,
                        int32_t element_bytes, int32_t rank, const int64_t *extents,
                        const int64_t *strides, const int64_t *box);
};

/* Generated code reads these fields at these offsets; the order is part of the ABI. */
struct attune_ctx {
  uint32_t size;    /* sizeof(attune_ctx) */
  uint32_t threads; /* workers that may run at once */
  /* Runs fn for every task in [0, n), in any order, and returns when all have finished: 0, or the
   * first non-zero result in task order. */
  int32_t (*parallel_for)(attune_ctx *ctx, int64_t n, attune_task_fn fn, void *const *buffers,
                          const int64_t *dims);
  const attune_kernel_device *device; /* null: buffers are addresses of the host */
};

enum {
  ATTUNE_KERNEL_OK = 0,
  ATTUNE_KERNEL_INDEX_OUT_OF_RANGE = 1, /* Gather and friends: an index outside its axis */
  ATTUNE_KERNEL_DIVISION_BY_ZERO = 2,   /* integer division */
  ATTUNE_KERNEL_BAD_SHAPE = 3,          /* sizes that contradict what the model promised */
  ATTUNE_KERNEL_TOO_LARGE = 4           /* a tensor of more elements than the kernel can address */
};

#ifdef __cplusplus
}
#endif
#endif
