/* What this machine can do right now: multiply-add peak, rate of a matrix micro-kernel whose data
 * stay in the first-level cache, and read bandwidth from memory. Prints one JSON object.
 * Usage: roof THREADS. Built for the machine it runs on (-march=native). */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 14, VECTORS = 2 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 6, VECTORS = 2 };
#else
enum { LANES = 4, ROWS = 4, VECTORS = 2 };
#endif
enum { DEPTH = 96, REPEAT = 5 };
typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float uvec __attribute__((vector_size(LANES * 4), aligned(4)));

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Independent chains of multiply-adds in registers. */
static double fma_work(void *unused, int64_t n) {
  (void)unused;
  vec acc[12], x = {0}, y = {0};
  for (int i = 0; i < LANES; ++i)
    x[i] = 0.999f, y[i] = 1e-3f;
  for (int i = 0; i < 12; ++i)
    acc[i] = x * (float)i;
  for (int64_t r = 0; r < n; ++r) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; ++i)
      acc[i] = acc[i] * x + y;
  }
  for (int i = 1; i < 12; ++i)
    acc[0] += acc[i];
  volatile float sink = acc[0][0];
  (void)sink;
  return 2.0 * 12 * LANES * (double)n;
}

/* C[ROWS][VECTORS] += A[DEPTH][ROWS] * B[DEPTH][VECTORS]: 13 KB, resident in any L1. */
static double kernel_work(void *data, int64_t n) {
  float *a = data, *b = a + DEPTH * ROWS, *c = b + DEPTH * VECTORS * LANES;
  for (int64_t r = 0; r < n; ++r) {
    vec acc[ROWS][VECTORS];
    for (int i = 0; i < ROWS; ++i)
      for (int j = 0; j < VECTORS; ++j)
        acc[i][j] = *(uvec *)(c + (i * VECTORS + j) * LANES);
    for (int k = 0; k < DEPTH; ++k) {
      vec bk[VECTORS];
      for (int j = 0; j < VECTORS; ++j)
        bk[j] = *(uvec *)(b + (k * VECTORS + j) * LANES);
#pragma clang loop unroll(full)
      for (int i = 0; i < ROWS; ++i)
#pragma clang loop unroll(full)
        for (int j = 0; j < VECTORS; ++j)
          acc[i][j] += bk[j] * a[k * ROWS + i];
    }
    for (int i = 0; i < ROWS; ++i)
      for (int j = 0; j < VECTORS; ++j)
        *(uvec *)(c + (i * VECTORS + j) * LANES) = acc[i][j];
    __asm__ volatile("" ::: "memory");
  }
  return 2.0 * ROWS * VECTORS * LANES * DEPTH * (double)n;
}

enum { READ_BYTES = 256 << 20 };

static double read_work(void *data, int64_t n) {
  const vec *p = data;
  vec sum[8] = {{0}};
  for (int64_t r = 0; r < n; ++r)
    for (int64_t i = 0; i + 8 <= READ_BYTES / (int64_t)sizeof(vec); i += 8)
      for (int j = 0; j < 8; ++j)
        sum[j] += p[i + j];
  for (int j = 1; j < 8; ++j)
    sum[0] += sum[j];
  volatile float sink = sum[0][0];
  (void)sink;
  return (double)READ_BYTES * (double)n;
}

struct job {
  double (*work)(void *, int64_t);
  void *data;
  int64_t n;
  double done;
};

static void *run_job(void *p) {
  struct job *job = p;
  job->done = job->work(job->data, job->n);
  return NULL;
}

/* Best of REPEAT of about 30 ms each, all threads together, in units of 1e9 per second. */
static double rate(double (*work)(void *, int64_t), void **data, int threads) {
  int64_t n = 1;
  double start = now();
  while (now() - start < 0.01) {
    start = now();
    work(data[0], n *= 2);
  }
  n = n * 0.03 / (now() - start) + 1;
  double best = 0;
  for (int r = 0; r < REPEAT; ++r) {
    struct job jobs[64];
    pthread_t ids[64];
    start = now();
    for (int t = 0; t < threads; ++t) {
      jobs[t] = (struct job){work, data[t], n, 0};
      pthread_create(&ids[t], NULL, run_job, &jobs[t]);
    }
    double done = 0;
    for (int t = 0; t < threads; ++t) {
      pthread_join(ids[t], NULL);
      done += jobs[t].done;
    }
    double got = done / (now() - start) * 1e-9;
    best = got > best ? got : best;
  }
  return best;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  if (threads < 1 || threads > 64)
    return 2;
  void *small[64], *large[64];
  for (int t = 0; t < threads; ++t) {
    large[t] = aligned_alloc(4096, READ_BYTES);
    memset(large[t], 0, READ_BYTES);
    small[t] = aligned_alloc(4096, 65536);
    for (int i = 0; i < 65536 / 4; ++i)
      ((float *)small[t])[i] = 1e-3f;
  }
  printf("{\"threads\": %d, \"fma_gflops\": %.1f, \"kernel_gflops\": %.1f, \"read_gbs\": %.1f}\n",
         threads, rate(fma_work, small, threads), rate(kernel_work, small, threads),
         rate(read_work, large, threads));
  return 0;
}
