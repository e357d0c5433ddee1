/* Included by rows.c for each REAL; WHOLE is the integer of its size.
 *
 * Sums are stored feature by cluster, (n_features, k): a non-zero of a row touches one run of k
 * neighbouring numbers. Clusters are taken in tiles of up to MOST_VECTORS vectors, whose
 * products stay in registers while a row's non-zeros go by; the scores are never in memory. A row's
 * products are added in the order of its non-zeros, so the result does not depend on how
 * rows are shared out among threads.
 *
 * Vectors that reach beyond k read what follows, the next features' sums: nothing is made of it,
 * as `q` is infinite there. `tail` holds the runs from feature `last` on, with room behind them. */

typedef REAL NAMED(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL NAMED(loose) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL))));
typedef WHOLE NAMED(wholes) __attribute__((vector_size(VECTOR_BYTES)));

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define VECTOR NAMED(vector)
#define WHOLES NAMED(wholes)
#define LOAD(at) ((VECTOR)(*(const NAMED(loose)*)(at)))

/* The rows [start, stop) against the clusters [first, first + n_vectors * LANES): the cheapest
 * cluster at (q - 2 P - w x2) / (size + w), the lowest of equal ones, and its cost. With labels the
 * row's own cluster is left out and the product with its sum kept; without, w is 0. */
static inline __attribute__((always_inline)) void NAMED(tile)(
    const int n_vectors, const int with_labels, int64_t start, int64_t stop, int64_t first,
    int64_t k, int64_t last, const int32_t* indptr, const int32_t* indices,
    const REAL* values, const REAL* sums, const REAL* tail, const REAL* q, const REAL* size,
    const int32_t* labels, const REAL* weight, const REAL* wx2, int32_t* nearest, REAL* cost,
    REAL* own)
{
    WHOLES lanes;
    for (int i = 0; i < LANES; ++i) lanes[i] = i;
    for (int64_t row = start; row < stop; ++row) {
        VECTOR product[MOST_VECTORS];
        UNROLLED
        for (int v = 0; v < n_vectors; ++v) product[v] = (VECTOR){0};
        const int64_t end = indptr[row + 1];
        for (int64_t j = indptr[row]; j < end; ++j) {
            if (j + AHEAD < end) {
                const REAL* next = sums + (int64_t)indices[j + AHEAD] * k + first;
                UNROLLED
                for (int v = 0; v < n_vectors; ++v) __builtin_prefetch(next + v * LANES);
            }
            const int64_t f = indices[j];
            const REAL* run = (f >= last ? tail + (f - last) * k : sums + f * k) + first;
            const REAL value = values[j];
            UNROLLED
            for (int v = 0; v < n_vectors; ++v) product[v] += value * LOAD(run + v * LANES);
        }
        VECTOR scored[MOST_VECTORS]; /* in memory, so that the products need not be */
        UNROLLED
        for (int v = 0; v < n_vectors; ++v) scored[v] = product[v];
        const REAL w = with_labels ? weight[row] : 0;
        const REAL taken = with_labels ? wx2[row] : 0;
        const int64_t label = with_labels ? labels[row] - first : -1;
        const int here = with_labels && label >= 0 && label < n_vectors * LANES;
        if (here) own[row] = ((REAL*)scored)[label];
        for (int v = 0; v < n_vectors; ++v) {
            const int64_t c = first + v * LANES;
            scored[v] = (LOAD(q + c) - 2 * scored[v] - taken) / (LOAD(size + c) + w);
        }
        if (here) ((REAL*)scored)[label] = INFINITY;
        /* Less where the difference has its sign bit set: compilers that take a comparison of
         * vectors apart, element by element, leave this whole. */
        VECTOR best = (VECTOR){0} + LARGEST;
        WHOLES at = lanes * 0 + (WHOLE)first;
        for (int v = 0; v < n_vectors; ++v) {
            const WHOLES less = (WHOLES)(scored[v] - best) >> (8 * sizeof(REAL) - 1);
            best = (VECTOR)(((WHOLES)scored[v] & less) | ((WHOLES)best & ~less));
            at = ((lanes + (WHOLE)(first + v * LANES)) & less) | (at & ~less);
        }
        REAL least = best[0];
        WHOLE cluster = at[0];
        for (int i = 1; i < LANES; ++i)
            if (best[i] < least || (best[i] == least && at[i] < cluster)) {
                least = best[i];
                cluster = at[i];
            }
        if (first == 0 || least < cost[row]) {
            cost[row] = least < LARGEST ? least : INFINITY;
            nearest[row] = (int32_t)cluster;
        }
    }
}

#define TILE(n)                                                                                   \
    NAMED(tile)(n, with_labels, start, stop, done * LANES, k, last, indptr, indices, values,      \
                sums, tail, q, size, labels, weight, wx2, nearest, cost, own);

/* Tiles on the outside: the runs of frequent features, cut to a tile, stay in the cache. Seven
 * widths, of which the next wider one takes what is left: more of them compile for minutes. */
#define ALL_TILES                                                                                 \
    const int64_t n_vectors = (k + LANES - 1) / LANES;                                            \
    for (int64_t done = 0; done < n_vectors; done += MOST_VECTORS) {                              \
        const int64_t left = n_vectors - done;                                                    \
        if (left <= 1) TILE(1)                                                                    \
        else if (left <= 2) TILE(2)                                                               \
        else if (left <= 4) TILE(4)                                                               \
        else if (left <= 6) TILE(6)                                                               \
        else if (left <= 8) TILE(8)                                                               \
        else if (left <= 12) TILE(12)                                                             \
        else TILE(16)                                                                             \
    }

EACH_PROCESSOR void NAMED(nearest)(
    int64_t start, int64_t stop, int64_t k, int64_t last, const int32_t* indptr,
    const int32_t* indices, const REAL* values, const REAL* sums, const REAL* tail, const REAL* q,
    const REAL* size, int32_t* nearest, REAL* cost)
{
    enum { with_labels = 0 };
    const int32_t* labels = 0;
    const REAL *weight = 0, *wx2 = 0;
    REAL* own = 0;
    ALL_TILES
}

EACH_PROCESSOR void NAMED(nearest_other)(
    int64_t start, int64_t stop, int64_t k, int64_t last, const int32_t* indptr,
    const int32_t* indices, const REAL* values, const REAL* sums, const REAL* tail, const REAL* q,
    const REAL* size, const int32_t* labels, const REAL* weight, const REAL* wx2, int32_t* nearest,
    REAL* cost, REAL* own)
{
    enum { with_labels = 1 };
    ALL_TILES
}

/* Sum the features [start, stop) of the rows by cluster, from the columns (CSC): adding up is in
 * double, each feature's run is written once, zeros included. `exact` is k zeros, and is so
 * again afterwards; the squares of the sums are added to `squares`. */
void NAMED(sum_features)(
    int64_t start, int64_t stop, int64_t k, const int32_t* colptr, const int32_t* members,
    const REAL* values, const int32_t* labels, const double* weight, double* exact, REAL* sums,
    double* squares)
{
    for (int64_t f = start; f < stop; ++f) {
        const int64_t begin = colptr[f], end = colptr[f + 1];
        REAL* run = sums + f * k;
        for (int64_t j = begin; j < end; ++j)
            exact[labels[members[j]]] += weight[members[j]] * values[j];
        if (8 * (end - begin) < k) {
            memset(run, 0, k * sizeof(REAL));
            for (int64_t j = begin; j < end; ++j) {
                const int32_t c = labels[members[j]];
                run[c] += (REAL)exact[c]; /* a second member finds 0 */
                squares[c] += exact[c] * exact[c];
                exact[c] = 0;
            }
        } else {
            for (int64_t c = 0; c < k; ++c) {
                run[c] = (REAL)exact[c];
                squares[c] += exact[c] * exact[c];
                exact[c] = 0;
            }
        }
    }
}

#undef LANES
#undef VECTOR
#undef WHOLES
#undef LOAD
#undef TILE
#undef ALL_TILES
