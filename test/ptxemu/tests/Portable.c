/* Compiled for the host and, by LLVM, to PTX: both must compute the same bits. */
#include "attune/test/ptxemu/tests/Portable.h"

static uint32_t hash(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ x >> 16;
}

/* Every width, sign and operator of integers. */
static uint64_t integers(uint32_t i) {
  uint32_t a = hash(i), b = hash(a) | 1;
  int32_t s = (int32_t)a, t = (int32_t)(b & 0xffff) + 3;
  int64_t wide = (int64_t)s * t - (s >> 7) + (int64_t)a % t;
  uint64_t r = (uint64_t)wide / ((b & 0xfff) | 1) ^ (uint64_t)a << (b & 31);
  int16_t narrow = (int16_t)(s * 3);
  int8_t byte = (int8_t)(a >> 3);
  r += (uint64_t)(narrow / (byte | 1)) + (uint64_t)(uint8_t)(byte + 100) * 7;
  r ^= (uint64_t)__builtin_clz(b) << 40 | (uint64_t)__builtin_popcountll(r) << 20 |
       (uint64_t)__builtin_ctz(b | 16);
  r += s < t ? (uint64_t)(s & -t) : a > b ? r >> 5 : r << 3 | r >> 61;
  return r + __builtin_bswap32(a) + (uint64_t)(((unsigned __int128)r * b) >> 64) +
         __builtin_bitreverse32(b);
}

/* Exactly rounded operators, conversions, comparisons. */
static uint64_t floats(uint32_t i) {
  float x = (float)(int32_t)hash(i) * 0x1p-20f, y = (float)(hash(i + 1) >> 8) * 0x1p-10f + 0.5f;
  double d = (double)x * y + 0.1;
  float q = x / y + __builtin_sqrtf(y) - __builtin_fabsf(x) * 3.0f;
  _Float16 h = (_Float16)(x * 0x1p-8f);
  h = h * (_Float16)1.5f; /* statement by statement: the host may keep more bits in an expression */
  h = h + (_Float16)y;
  int32_t n = x > -1e4f && x < 1e4f ? (int32_t)x : -7;
  q = q < y ? __builtin_fminf(q, x) : __builtin_fmaxf(q, -y);
  q += __builtin_floorf(x) + __builtin_ceilf(y) + __builtin_truncf(q) + __builtin_copysignf(y, x);
  uint32_t bits;
  uint64_t wide;
  d = d / (y + 1.0) + n + (double)h;
  __builtin_memcpy(&bits, &q, 4);
  __builtin_memcpy(&wide, &d, 8);
  return wide ^ (uint64_t)bits << 13;
}

/* Loops of different lengths, early exits, a jump table, an array that is indexed. */
static uint64_t control(uint32_t i) {
  uint32_t state[8], steps = hash(i) % 23;
  for (uint32_t k = 0; k < 8; ++k)
    state[k] = hash(i * 8 + k);
  uint64_t sum = 0;
  for (uint32_t k = 0; k < steps; ++k) {
    uint32_t *cell = &state[state[k & 7] & 7];
    switch (*cell % 9) {
    case 0:
      sum += *cell;
      break;
    case 1:
      *cell += k;
      continue;
    case 2:
      sum ^= (uint64_t)*cell << 7;
      /* fall through */
    case 3:
      *cell = *cell >> 1 | 1u << 31;
      break;
    case 5:
      for (uint32_t j = *cell & 7; j; --j)
        sum = sum * 31 + state[j];
      break;
    case 6:
      if (sum & 64)
        return sum ^ 0x5555;
      *cell *= 5;
      break;
    case 8:
      sum -= k;
      break;
    default:
      *cell ^= (uint32_t)sum;
    }
    if ((sum & 1023) == 77)
      break;
  }
  return sum + state[3];
}

uint64_t portable(uint32_t i) { return integers(i) ^ floats(i) ^ control(i); }

#ifdef __NVPTX__
__attribute__((nvptx_kernel)) void run_portable(uint64_t *out, uint32_t n) {
  uint32_t i =
      __nvvm_read_ptx_sreg_ctaid_x() * __nvvm_read_ptx_sreg_ntid_x() + __nvvm_read_ptx_sreg_tid_x();
  if (i < n)
    out[i] = portable(i);
}

__attribute__((address_space(3))) static float partial[8];

/* Sums of rows: shuffles in a warp, shared memory between warps. */
__attribute__((nvptx_kernel)) void sum_rows(const float *in, float *out, uint32_t columns) {
  uint32_t thread = __nvvm_read_ptx_sreg_tid_x(), row = __nvvm_read_ptx_sreg_ctaid_x();
  float sum = 0;
  for (uint32_t k = thread; k < columns; k += 256)
    sum += in[row * columns + k];
  for (uint32_t distance = 16; distance; distance /= 2)
    sum += __nvvm_shfl_sync_bfly_f32(~0u, sum, distance, 31);
  if (thread % 32 == 0)
    partial[thread / 32] = sum;
  __syncthreads();
  if (thread == 0) {
    for (uint32_t w = 1; w < 8; ++w)
      sum += partial[w];
    out[row] = sum;
  }
}
#endif
