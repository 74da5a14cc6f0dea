/* Kernels for the target cuda, as the compiler would make them: host code that launches PTX. */
#include "attune/runtime/kernel_abi.h"

/* Filled in the file once metadata and weights are appended; see runtime/artifact.h. */
__attribute__((section(".note.attune"), used, aligned(4))) static const struct {
  uint32_t nameSize, descSize, type;
  char name[8];
  unsigned char note[72];
} note = {7, 72, 1, "Attune", {0}};

#define EXPORT __attribute__((visibility("default")))

static const char kPtx[] =
    ".version 7.0\n.target sm_80\n.address_size 64\n"
    /* out[i][j] = in[i][j] * weight[j] + 1, one element per thread. */
    ".visible .entry scale(.param .u64 in, .param .u64 weight, .param .u64 out, .param .u64 rows,\n"
    "                      .param .u64 columns)\n"
    "{\n"
    "  .reg .pred %p;\n  .reg .b32 %r<4>;\n  .reg .f32 %f<3>;\n  .reg .b64 %d<12>;\n"
    "  mov.u32 %r0, %ctaid.x;\n  mov.u32 %r1, %ntid.x;\n  mov.u32 %r2, %tid.x;\n"
    "  mad.lo.u32 %r3, %r0, %r1, %r2;\n  cvt.u64.u32 %d0, %r3;\n"
    "  ld.param.u64 %d1, [rows];\n  ld.param.u64 %d2, [columns];\n  mul.lo.u64 %d3, %d1, %d2;\n"
    "  setp.ge.u64 %p, %d0, %d3;\n  @%p bra done;\n"
    "  ld.param.u64 %d4, [in];\n  ld.param.u64 %d5, [weight];\n  ld.param.u64 %d6, [out];\n"
    "  rem.u64 %d7, %d0, %d2;\n  shl.b64 %d7, %d7, 2;\n  shl.b64 %d8, %d0, 2;\n"
    "  add.u64 %d9, %d4, %d8;\n  add.u64 %d10, %d5, %d7;\n  add.u64 %d11, %d6, %d8;\n"
    "  ld.global.f32 %f0, [%d9];\n  ld.global.f32 %f1, [%d10];\n"
    "  mul.rn.f32 %f2, %f0, %f1;\n  add.rn.f32 %f2, %f2, 0f3F800000;\n"
    "  st.global.f32 [%d11], %f2;\ndone:\n  ret;\n}\n"
    /* out[i] = sum of row i, one row per thread. */
    ".visible .entry sum_rows(.param .u64 in, .param .u64 out, .param .u64 rows,\n"
    "                         .param .u64 columns)\n"
    "{\n"
    "  .reg .pred %p;\n  .reg .b32 %r<4>;\n  .reg .f32 %f<2>;\n  .reg .b64 %d<10>;\n"
    "  mov.u32 %r0, %ctaid.x;\n  mov.u32 %r1, %ntid.x;\n  mov.u32 %r2, %tid.x;\n"
    "  mad.lo.u32 %r3, %r0, %r1, %r2;\n  cvt.u64.u32 %d0, %r3;\n"
    "  ld.param.u64 %d1, [rows];\n  ld.param.u64 %d2, [columns];\n"
    "  setp.ge.u64 %p, %d0, %d1;\n  @%p bra done;\n"
    "  ld.param.u64 %d3, [in];\n  ld.param.u64 %d4, [out];\n"
    "  mul.lo.u64 %d5, %d0, %d2;\n  shl.b64 %d5, %d5, 2;\n  add.u64 %d3, %d3, %d5;\n"
    "  shl.b64 %d6, %d0, 2;\n  add.u64 %d4, %d4, %d6;\n"
    "  mov.f32 %f0, 0f00000000;\n  mov.u64 %d7, 0;\nnext:\n"
    "  ld.global.f32 %f1, [%d3];\n  add.rn.f32 %f0, %f0, %f1;\n"
    "  add.u64 %d3, %d3, 4;\n  add.u64 %d7, %d7, 1;\n  setp.lt.u64 %p, %d7, %d2;\n  @%p bra next;\n"
    "  st.global.f32 [%d4], %f0;\ndone:\n  ret;\n}\n";

static int32_t launch(attune_ctx *ctx, const char *entry, int64_t threads, void *const *args,
                      const uint64_t *sizes, const uint8_t *handles) {
  int32_t range[7] = {(int32_t)((threads + 127) / 128), 1, 1, 128, 1, 1, 0};
  return ctx->device->launch(ctx, kPtx, sizeof kPtx, entry, range, sizes, args, handles);
}

/* dims: rows, columns. */
EXPORT int32_t scale(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const void *args[] = {&buffers[0], &buffers[1], &buffers[2], &dims[0], &dims[1]};
  const uint64_t sizes[] = {8, 8, 8, 8, 8, 0};
  const uint8_t handles[] = {1, 1, 1, 0, 0};
  return launch(ctx, "scale", dims[0] * dims[1], (void *const *)args, sizes, handles);
}

/* dims: rows, columns; the sums go through a temporary of the device. */
EXPORT int32_t sumRows(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  void *twice = ctx->device->allocate(ctx, (uint64_t)dims[0] * 4);
  if (!twice)
    return 0;
  const uint64_t sizes[] = {8, 8, 8, 8, 0};
  const uint8_t handles[] = {1, 1, 0, 0};
  const void *first[] = {&buffers[0], &twice, &dims[0], &dims[1]};
  launch(ctx, "sum_rows", dims[0], (void *const *)first, sizes, handles);
  const int64_t one = 1;
  const void *second[] = {&twice, &buffers[1], &dims[0], &one};
  int32_t code = launch(ctx, "sum_rows", dims[0], (void *const *)second, sizes, handles);
  ctx->device->release(ctx, twice);
  return code;
}

/* Reads past the end of its input; what that is called depends on the driver. */
EXPORT int32_t gather(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const int64_t rows = dims[0], columns = 1 << 20;
  const void *args[] = {&buffers[0], &buffers[1], &rows, &columns};
  const uint64_t sizes[] = {8, 8, 8, 8, 0};
  const uint8_t handles[] = {1, 1, 0, 0};
  return launch(ctx, "sum_rows", dims[0], (void *const *)args, sizes, handles);
}

/* There is no such kernel. */
EXPORT int32_t product(attune_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const void *args[] = {&buffers[0]};
  const uint64_t sizes[] = {8, 0};
  const uint8_t handles[] = {1};
  return launch(ctx, "no_such_kernel", 1, (void *const *)args, sizes, handles);
}
