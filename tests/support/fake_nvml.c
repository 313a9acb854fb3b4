/* A libnvidia-ml.so.1 with planted cards; the test sets the variables. Time is the test's own. */
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { ENERGY, POWER, UTIL, MEMORY, TEMP, CLOCK, REASONS, MIG, HANDLE, INIT, LIMIT, PROC, PCIE, CALLS };
#define CARDS 4
long long now_ns, tick_ns, wrap_mj, shift_mj, frozen_ns, users;
double base_w, swing_w, period_s;
int cards, errors[CARDS][CALLS], hang_ms, mig, reasons, null_handle, processes, virtual_mode, one_uuid;
unsigned long long memory_used, process_bytes;
char card_name[64];
static int numbers[CARDS] = {0, 1, 2, 3};

static int of(void *d) { return *(int *)d; }
static int fail(void *d, int call) {
  if (hang_ms) usleep(hang_ms * 1000);
  return errors[of(d)][call];
}
double planted_j(double t) {
  double w = 2 * M_PI / period_s;
  return base_w * t + swing_w * (1 - cos(w * t)) / w;
}
int nvmlInitWithFlags(unsigned f) { if (!errors[0][INIT]) users++; return errors[0][INIT]; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { users--; return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = cards; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) {
  *d = null_handle ? 0 : &numbers[i];
  return errors[i][HANDLE];
}
int nvmlDeviceGetName(void *d, char *out, unsigned n) { strncpy(out, card_name, n); return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj) {
  long long t = frozen_ns ? frozen_ns : now_ns, v;
  v = (long long)(1000 * planted_j((t / tick_ns * tick_ns) / 1e9)) + shift_mj;
  *mj = wrap_mj ? v % wrap_mj : v;
  return fail(d, ENERGY);
}
int nvmlDeviceGetPowerUsage(void *d, unsigned *mw) {
  *mw = 1000 * (base_w + swing_w * sin(2 * M_PI * now_ns / 1e9 / period_s));
  return fail(d, POWER);
}
int nvmlDeviceGetUtilizationRates(void *d, unsigned *u) { u[0] = 87; u[1] = 40; return fail(d, UTIL); }
int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *m) {
  m[0] = 8ULL << 30; m[1] = m[0] - memory_used; m[2] = memory_used;
  return fail(d, MEMORY);
}
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *c) { *c = 71; return fail(d, TEMP); }
int nvmlDeviceGetClockInfo(void *d, int which, unsigned *mhz) {
  *mhz = which == 1 ? 1410 : 9501;
  return fail(d, CLOCK);
}
int nvmlDeviceGetCurrentClocksEventReasons(void *d, unsigned long long *r) {
  *r = reasons;
  return fail(d, REASONS);
}
int nvmlDeviceGetMigMode(void *d, unsigned *now, unsigned *then) { *now = *then = mig; return fail(d, MIG); }
int nvmlDeviceGetEnforcedPowerLimit(void *d, unsigned *mw) { *mw = 300000; return fail(d, LIMIT); }
struct process { unsigned pid; unsigned long long used; unsigned gi, ci; };
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct process *p) {
  int room = *n, all = of(d) ? 0 : processes;
  if (errors[of(d)][PROC]) return errors[of(d)][PROC];
  *n = all;
  if (room < all) return 7; /* INSUFFICIENT_SIZE */
  for (int i = 0; i < all; i++) p[i] = (struct process){100 + i, process_bytes, 0, 0};
  return 0;
}
int nvmlDeviceGetPcieThroughput(void *d, int way, unsigned *kb) { *kb = way ? 2000 : 1000; return fail(d, PCIE); }
int nvmlDeviceGetMemoryBusWidth(void *d, unsigned *bits) { *bits = 384; return fail(d, CLOCK); }
int nvmlDeviceGetMaxClockInfo(void *d, int which, unsigned *mhz) { *mhz = which == 1 ? 1980 : 10501; return fail(d, CLOCK); }
int nvmlDeviceGetUUID(void *d, char *out, unsigned n) {
  strncpy(out, "GPU-0", n);
  out[4] += one_uuid ? 0 : of(d);
  return 0;
}
int nvmlDeviceGetVirtualizationMode(void *d, int *mode) { *mode = virtual_mode; return 0; }
int nvmlSystemGetDriverVersion(char *out, unsigned n) { strncpy(out, "550.54.14", n); return 0; }
const char *nvmlErrorString(int e) { return e == 999 ? "Unknown Error" : e == 3 ? "Not Supported" : "planted error"; }
