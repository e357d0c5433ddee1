/* Assigning rows to clusters and summing them, for the CPU: see cpu_fallback/compiled.
 *
 * The functions stand in the files that rows_impl.h includes, and are made for each kind of number and
 * each width of vectors: a compiler takes vectors that are wider than the machine's apart and keeps none of them
 * in a register, which is five times slower. Which width serves is asked at run time. */

#define _GNU_SOURCE /* sched.h has what tells cores apart */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "thread_pool.h"
#include "names.h"

#if defined(__GNUC__) && !defined(__clang__)
#define LOOPS_AS_VECTORS __attribute__((optimize("O3")))
#define LOOPS_OF_ROOTS __attribute__((optimize("O3", "no-math-errno")))
#define EVERY_OTHER(to, one, other, odd)                       \
    do {                                                        \
        WHOLES which;                                           \
        for (int i = 0; i < LANES; ++i) which[i] = 2 * i + odd; \
        to = __builtin_shuffle(one, other, which);              \
    } while (0)
#else
#define LOOPS_AS_VECTORS
#define LOOPS_OF_ROOTS
#define EVERY_OTHER(to, one, other, odd) \
    for (int i = 0; i < LANES; ++i)       \
        to[i] = 2 * i + odd < LANES ? one[2 * i + odd] : other[2 * i + odd - LANES]
#endif

#define INLINED static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 32")

/* Non-zeros between the one that is multiplied and the one whose sums are called for. */
#define AHEAD 4
/* Likewise of rare features, whose lists are shorter, and of dense rows. */
#define FAR_AHEAD 8
#define DENSE_AHEAD 8
/* Dense rows whose best clusters so far are kept at a time, and features of them that are summed at
 * a time. */
#define MOST_DENSE_ROWS 192
#define DENSE_BAND 256
/* Columns whose inner products are summed at a time, and rows of them: they stay in a core's cache. */
#define INNER_BAND 64
#define INNER_ROWS 64
/* How many rows ahead of the one that is assigned one is called for. */
#define ROWS_AHEAD 3
/* Vectors of a run that are worth calling for; fewer, and to ask takes longer. */
#define CALLED_FOR 2

/* Groups of centroids from which on a row's distance to its own one is found first; rows for each
 * centroid at which it pays to know how far centroids are from each other; and products of these that
 * outweigh waking threads. */
#define WORTH_A_DOT 8
#define GAP_WORTH 16
#define GAP_ALONE (1 << 18)

/* Rows of a task that looks once at each of their non-zeros; also in csr.py. */
#define ROWS_OF_A_TASK 2048

/* Groups of clusters whose changes are bounded together, and clusters that are met by themselves;
 * also in gpu_kmeans/clustering/bounds.py. */
#define GROUPS 3
#define SINGLES 2

/* Features whose sums are spread at a time. */
#define SPREAD_BAND 512

/* Vectors of scores that are looked at together; also in neighbors.py. */
#define AT_A_LOOK 4
/* Dense rows, and vectors of those that they are compared with, whose products stay in registers. */
#define ROWS_TOGETHER 4
#define VECTORS_TOGETHER 2

/* Sums of a feature's values that are formed in turns, also in csr.py. */
#define WAYS 4

/* Vectors of running products that a row keeps in registers, with a case for each number of them.
 * Fewer make more passes over the non-zeros, more do not fit. Of dense rows, which are multiplied
 * several at once, fewer vectors each. */
#define EACH_OF_1(CASE) CASE(1)
#define EACH_OF_2(CASE) CASE(1) CASE(2)
#define EACH_OF_4(CASE) EACH_OF_2(CASE) CASE(3) CASE(4)
#define EACH_OF_12(CASE) EACH_OF_4(CASE) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) \
    CASE(11) CASE(12)
#define EACH_OF_16(CASE) EACH_OF_12(CASE) CASE(13) CASE(14) CASE(15) CASE(16)

/* Rows whose features are to be counted: see `count_features`. */
typedef struct {
    int64_t n, n_features, height;
    const int32_t *indptr, *indices;
    int32_t* counts;
} counting;

static void count_block(const void* about, int64_t block, int who)
{
    (void)who;
    const counting* all = about;
    const int64_t first = block * all->height, left = all->n - first;
    const int64_t last = first + (left < all->height ? left : all->height);
    int32_t* counts = all->counts + block * all->n_features;
    for (int64_t j = all->indptr[first]; j < all->indptr[last]; ++j) ++counts[all->indices[j]];
}

/* How many rows of each block of `height` have each feature; counts are zeros before. */
void count_features(
    int64_t threads, int64_t n, int64_t n_features, int64_t height, const int32_t* indptr,
    const int32_t* indices, int32_t* counts)
{
    const counting all = {n, n_features, height, indptr, indices, counts};
    parallel_for(threads, (n + height - 1) / height, count_block, &all);
}

/* Rows whose rare features are to be counted: see `count_rare`. */
typedef struct {
    int64_t n;
    const int32_t *indptr, *indices, *place;
    int32_t* counts;
} counting_rare;

static void count_rare_of(const void* about, int64_t task, int who)
{
    (void)who;
    const counting_rare* all = about;
    const int64_t first = task * ROWS_OF_A_TASK, left = all->n - first;
    const int64_t last = first + (left < ROWS_OF_A_TASK ? left : ROWS_OF_A_TASK);
    int32_t count = 0;
    for (int64_t j = all->indptr[first]; j < all->indptr[last]; ++j)
        count += all->place[all->indices[j]] < 0;
    all->counts[task] = count;
}

/* How many non-zeros of each ROWS_OF_A_TASK rows are of rare features. */
void count_rare(
    int64_t threads, int64_t n, const int32_t* indptr, const int32_t* indices,
    const int32_t* place, int32_t* counts)
{
    const counting_rare all = {n, indptr, indices, place, counts};
    parallel_for(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, count_rare_of, &all);
}

#define VECTOR_BYTES 16
#define MOST_VECTORS 12
#define EACH_TILE EACH_OF_12
#define DENSE_ROWS 6
#define DENSE_VECTORS 2
#define EACH_DENSE_TILE EACH_OF_2
#define TILE_VECTORS 2
#define TILE_CENTERS 4
#include "rows_by_width.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define VECTOR_BYTES 32
#define MOST_VECTORS 12
#define EACH_TILE EACH_OF_12
#define DENSE_ROWS 6
#define DENSE_VECTORS 2
#define EACH_DENSE_TILE EACH_OF_2
#define TILE_VECTORS 2
#define TILE_CENTERS 4
#include "rows_by_width.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,fma")
#define VECTOR_BYTES 64
#define MOST_VECTORS 16
#define EACH_TILE EACH_OF_16
#define DENSE_ROWS 6
#define DENSE_VECTORS 4
#define EACH_DENSE_TILE EACH_OF_4
#define TILE_VECTORS 4
#define TILE_CENTERS 4
#include "rows_by_width.h"
#pragma GCC pop_options

/* Bytes of the widest vectors that there is code for, on this machine. */
int32_t widest_vectors(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 16;
    return __builtin_cpu_supports("avx512f") ? 64 : 32;
}

#else

int32_t widest_vectors(void) { return 16; }

#endif

#ifndef SOURCES
#define SOURCES 0 /* compiled by hand */
#endif

/* The checksum of what this was made of. */
uint32_t sources(void) { return SOURCES; }
