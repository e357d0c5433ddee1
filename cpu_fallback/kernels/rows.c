/* Assigning sparse rows to clusters and summing them, for the CPU: see cpu_fallback/compiled.py.
 *
 * The functions stand in rows_of.h, once for float and once for double. On x86-64 under Linux the
 * compiler makes each of them for AVX-512, AVX2 and the oldest processors, and the loader takes
 * the best that the machine has. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2,fma", "default")))
#else
#define EACH_PROCESSOR
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define LOOPS_AS_VECTORS __attribute__((optimize("O3")))
#else
#define LOOPS_AS_VECTORS
#endif

#define VECTOR_BYTES 64
/* Vectors of running products that a row keeps: half of AVX-512's registers. Fewer make more
 * passes over the non-zeros, more do not fit. */
#define MOST_VECTORS 16
/* Non-zeros between the one that is multiplied and the one whose sums are called for. */
#define AHEAD 4
/* Likewise of rare features, whose lists are shorter. */
#define FAR_AHEAD 8

#define UNROLLED _Pragma("GCC unroll 16")

#define JOINED(name, suffix) name##_##suffix
#define WITH(name, suffix) JOINED(name, suffix)
#define NAMED(name) WITH(name, SUFFIX)

#define REAL float
#define LARGEST FLT_MAX
#define WHOLE int32_t
#define SUFFIX float32
#include "rows_of.h"
#undef REAL
#undef LARGEST
#undef WHOLE
#undef SUFFIX

#define REAL double
#define LARGEST DBL_MAX
#define WHOLE int64_t
#define SUFFIX float64
#include "rows_of.h"
