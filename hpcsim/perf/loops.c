/* Plain loops to measure generated kernels beside: what a careful author writes by hand, no blocking in time.
 * Compile with -O3 -march=native -fopenmp -shared -fPIC.
 * Interior sites start at element 0 of the pointers; sx and sz are the strides of the two outer axes. */
#include <omp.h>
#include <stddef.h>

void use_threads(int threads) { omp_set_num_threads(threads); }

/* One step of explicit Euler for the heat equation per pass, 7-point; source and target change places each step. */
#define HEAT(NAME, REAL)                                                                                               \
  static inline void NAME##_row(REAL *restrict d, const REAL *restrict s, long n, long sx, long sz, REAL c0, REAL c1) { \
    for (long i = 0; i < n; i++)                                                                                       \
      d[i] = c0 * s[i] + c1 * (s[i - sz] + s[i + sz] + s[i - sx] + s[i + sx] + s[i - 1] + s[i + 1]);                   \
  }                                                                                                                    \
  void NAME(REAL *a, REAL *b, long n, long sx, long sz, const REAL *c, long steps) {                                   \
    for (long t = 0; t < steps; t++) {                                                                                 \
      REAL *d = t & 1 ? a : b, *s = t & 1 ? b : a;                                                                     \
      _Pragma("omp parallel for schedule(static)")                                                                     \
      for (long z = 0; z < n; z++)                                                                                     \
        for (long y = 0; y < n; y++) NAME##_row(d + z * sz + y * sx, s + z * sz + y * sx, n, sx, sz, c[0], c[1]);      \
    }                                                                                                                  \
  }

/* Leapfrog for waves with a mass m that varies; the next level overwrites the one before the current. */
#define WAVE(NAME, REAL, R)                                                                                            \
  static inline void NAME##_row(REAL *restrict p, const REAL *restrict u, const REAL *restrict m, long n, long sx,     \
                                long sz, const REAL *restrict c) {                                                     \
    for (long i = 0; i < n; i++) {                                                                                     \
      REAL sum = (c[0] + c[1] * (m[i] * m[i])) * u[i] - p[i];                                                          \
      for (long k = 1; k <= R; k++)                                                                                    \
        sum += c[1 + k] * (u[i - k * sz] + u[i + k * sz] + u[i - k * sx] + u[i + k * sx] + u[i - k] + u[i + k]);       \
      p[i] = sum;                                                                                                      \
    }                                                                                                                  \
  }                                                                                                                    \
  void NAME(REAL *a, REAL *b, const REAL *m, long n, long sx, long sz, const REAL *c, long steps) {                    \
    for (long t = 0; t < steps; t++) {                                                                                 \
      REAL *p = t & 1 ? a : b, *u = t & 1 ? b : a;                                                                     \
      _Pragma("omp parallel for schedule(static)")                                                                     \
      for (long z = 0; z < n; z++)                                                                                     \
        for (long y = 0; y < n; y++) {                                                                                 \
          ptrdiff_t o = z * sz + y * sx;                                                                               \
          NAME##_row(p + o, u + o, m + o, n, sx, sz, c);                                                               \
        }                                                                                                              \
    }                                                                                                                  \
  }

HEAT(heat_float64, double)
HEAT(heat_float32, float)
WAVE(wave2_float64, double, 1)
WAVE(wave4_float64, double, 2)
WAVE(wave6_float64, double, 3)
WAVE(wave8_float64, double, 4)
WAVE(wave2_float32, float, 1)
WAVE(wave4_float32, float, 2)
WAVE(wave6_float32, float, 3)
WAVE(wave8_float32, float, 4)

void triad(double *restrict a, const double *restrict b, const double *restrict c, long n, long passes) {
  for (long t = 0; t < passes; t++) {
    _Pragma("omp parallel for schedule(static)")
    for (long i = 0; i < n; i++) a[i] = b[i] + 3.0 * c[i];
  }
}

void copy(double *restrict a, const double *restrict b, long n, long passes) {
  for (long t = 0; t < passes; t++) {
    _Pragma("omp parallel for schedule(static)")
    for (long i = 0; i < n; i++) a[i] = b[i];
  }
}
