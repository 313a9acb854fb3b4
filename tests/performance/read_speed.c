/* Reads an array once with so many threads, as STREAM reads: a library, so that Python and C read the
   same pages. Returns seconds. */
#include <pthread.h>
#include <stddef.h>
#include <time.h>

enum { WIDE = 64, MOST = 256 };
static const float *data;
static size_t each;
static volatile float sink;

static void *read_part(void *number) {
  const float *a = data + (size_t)number * each;
  float part[WIDE] = {0}, sum = 0;
  for (size_t i = 0; i + WIDE <= each; i += WIDE)
    for (int j = 0; j < WIDE; j++) part[j] += a[i + j];
  for (int j = 0; j < WIDE; j++) sum += part[j];
  sink += sum;
  return 0;
}

double read_once(const float *array, size_t length, int threads) {
  struct timespec a, b;
  pthread_t all[MOST];
  data = array;
  each = length / threads;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (long t = 0; t < threads; t++) pthread_create(&all[t], 0, read_part, (void *)t);
  for (int t = 0; t < threads; t++) pthread_join(all[t], 0);
  clock_gettime(CLOCK_MONOTONIC, &b);
  return b.tv_sec - a.tv_sec + 1e-9 * (b.tv_nsec - a.tv_nsec);
}
