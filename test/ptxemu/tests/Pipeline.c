/* D[64][64] = A[64][depth] * B[depth][64] in f16 with f32 sums, by 128 threads: cp.async into two
 * buffers, swizzled, ldmatrix, mma.sync. Compiled to PTX only; CompiledTest.cpp breaks it in many
 * ways. */
#include <stdint.h>

#define SHARED __attribute__((address_space(3)))
enum { TILE_DEPTH = 32, A_BYTES = 64 * TILE_DEPTH * 2, STAGE_BYTES = 2 * A_BYTES };

static SHARED uint8_t stages[2 * STAGE_BYTES] __attribute__((aligned(128)));

/* Where 16-byte chunk `chunk` of row `row` lies: no two rows of a matrix share a bank. */
static uint32_t placeA(uint32_t row, uint32_t chunk) {
  return row * 64 + (chunk ^ (row >> 1 & 3)) * 16;
}
static uint32_t placeB(uint32_t row, uint32_t chunk) {
  return A_BYTES + row * 128 + (chunk ^ (row & 7)) * 16;
}

static void copy(uint32_t to, const uint16_t *from) {
  __asm__ volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

static void load(uint32_t stage, const uint16_t *a, const uint16_t *b, uint32_t depth,
                 uint32_t tile) {
  uint32_t thread = __nvvm_read_ptx_sreg_tid_x(), first = tile * TILE_DEPTH;
  for (uint32_t i = thread; i < 256; i += 128) {
    copy(stage + placeA(i / 4, i % 4), a + i / 4 * depth + first + i % 4 * 8);
    copy(stage + placeB(i / 8, i % 8), b + (first + i / 8) * 64 + i % 8 * 8);
  }
}

static void multiply(float *sum, const uint32_t *a, uint32_t b0, uint32_t b1) {
  __asm__ volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static void compute(uint32_t stage, float sums[8][4]) {
  uint32_t thread = __nvvm_read_ptx_sreg_tid_x(), lane = thread % 32, warp = thread / 32;
  for (uint32_t step = 0; step < 2; ++step) {
    uint32_t a[4], b[4];
    __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
                     : "r"(stage + placeA(warp * 16 + lane % 16, step * 2 + lane / 16))
                     : "memory");
    for (uint32_t pair = 0; pair < 4; ++pair) {
      __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                       : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                       : "r"(stage + placeB(step * 16 + lane % 16, pair * 2 + lane / 16))
                       : "memory");
      multiply(sums[pair * 2], a, b[0], b[1]);
      multiply(sums[pair * 2 + 1], a, b[2], b[3]);
    }
  }
}

__attribute__((nvptx_kernel)) void pipeline(const uint16_t *a, const uint16_t *b, float *d,
                                            uint32_t depth) {
  uint32_t base = (uint32_t)(uintptr_t)stages, tiles = depth / TILE_DEPTH;
  float sums[8][4] = {{0}};
  load(base, a, b, depth, 0);
  __asm__ volatile("cp.async.commit_group;" ::: "memory");
#pragma clang loop unroll(disable)
  for (uint32_t tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles)
      load(base + (tile + 1) % 2 * STAGE_BYTES, a, b, depth, tile + 1);
    __asm__ volatile("cp.async.commit_group;" ::: "memory");
    __asm__ volatile("cp.async.wait_group 1;" ::: "memory");
    __syncthreads();
    compute(base + tile % 2 * STAGE_BYTES, sums);
    __syncthreads();
  }
  uint32_t thread = __nvvm_read_ptx_sreg_tid_x(), lane = thread % 32, warp = thread / 32;
  for (uint32_t block = 0; block < 8; ++block)
    for (uint32_t i = 0; i < 4; ++i)
      d[(warp * 16 + lane / 4 + i / 2 * 8) * 64 + block * 8 + lane % 4 * 2 + i % 2] =
          sums[block][i];
}
