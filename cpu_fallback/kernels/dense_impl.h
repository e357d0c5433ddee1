/* Included by rows_impl.h: the cheapest clusters of dense rows, and their sums. */

/* Dense rows from `first` on, of which each has its product with a vector of clusters in a
 * register, against the clusters from `begin` on. `sums` has a vector for each feature, and those
 * of the next clusters follow. */
INLINED void NAMED(dense_tile)(
    const int n_rows, const int n_vectors, const SEARCH* search, int64_t n_features, int64_t first,
    int64_t begin, const VECTOR* sums, BEST* best)
{
    const REAL* rows = search->values + first * n_features;
    VECTOR product[DENSE_ROWS * DENSE_VECTORS];
    UNROLLED
    for (int i = 0; i < n_rows * n_vectors; ++i) product[i] = (VECTOR){0};
    for (int64_t f = 0; f < n_features; ++f) {
        if (f % LINE == 0)
            UNROLLED
            for (int r = 0; r < n_rows; ++r)
                __builtin_prefetch(rows + (n_rows + r) * n_features + f);
        UNROLLED
        for (int r = 0; r < n_rows; ++r) {
            const REAL factor = rows[r * n_features + f];
            UNROLLED
            for (int v = 0; v < n_vectors; ++v)
                product[r * n_vectors + v] += factor * sums[v * n_features + f];
        }
    }
    VECTOR scores[DENSE_ROWS * DENSE_VECTORS];
    UNROLLED
    for (int i = 0; i < n_rows * n_vectors; ++i) scores[i] = product[i];
    for (int row = 0; row < n_rows; ++row)
        NAMED(settle)(n_vectors, search, first + row, begin, scores + row * n_vectors, best + row);
}

/* Dense rows, and their clusters' sums by vectors. */
typedef struct {
    SEARCH search;
    int64_t n_features, n_vectors, height;
    const VECTOR* sums;
} DENSE;

#define DENSE_TILE(n_rows, n_vectors)                                                             \
    NAMED(dense_tile)(n_rows, n_vectors, &dense->search, dense->n_features, top + row,            \
                      vector * LANES, dense->sums + vector * dense->n_features, best + row);
#define DENSE_TILES(n_vectors)                                                                    \
    case n_vectors:                                                                               \
        for (; row + DENSE_ROWS <= count; row += DENSE_ROWS) DENSE_TILE(DENSE_ROWS, n_vectors)    \
        for (; row < count; ++row) DENSE_TILE(1, n_vectors)                                       \
        break;

static void NAMED(search_dense)(const void* about, int64_t task, int who)
{
    (void)who;
    const DENSE* dense = about;
    const int64_t n = dense->search.n, start = task * dense->search.step;
    const int64_t stop = n - start < dense->search.step ? n : start + dense->search.step;
    BEST best[MOST_DENSE_ROWS];
    for (int64_t top = start; top < stop; top += dense->height) {
        const int64_t count = stop - top < dense->height ? stop - top : dense->height;
        NAMED(reset_best)(MOST_DENSE_ROWS, best);
        for (int64_t vector = 0; vector < dense->n_vectors; vector += DENSE_VECTORS) {
            const int64_t left = dense->n_vectors - vector;
            int64_t row = 0;
            switch (left < DENSE_VECTORS ? left : DENSE_VECTORS) {
                EACH_DENSE_TILE(DENSE_TILES)
            }
        }
        for (int64_t i = 0; i < count; i += LANES)
            NAMED(reduce_lanes)(&dense->search, top + i, count - i < LANES ? count - i : LANES,
                            best + i);
    }
}

/* The cheapest cluster of each of n dense rows; otherwise as `nearest`. The sums stand vector by
 * vector of clusters, and there feature by feature. All clusters go by `height` rows at a time, as
 * many as stay in the cache and at most MOST_DENSE_ROWS. */
void NAMED(nearest_dense)(
    int64_t threads, int64_t n, int64_t step, int64_t n_features, int64_t n_vectors,
    int64_t height, const REAL* rows, const VECTOR* sums, const REAL* q, const REAL* scale,
    const int32_t* labels, const REAL* weight, const REAL* wx2, int32_t* nearest, double* cost,
    double* second, double* own)
{
    const SEARCH search = {.n = n, .step = step, .values = rows, .q = q, .scale = scale,
                           .labels = labels, .weight = weight, .wx2 = wx2, .nearest = nearest,
                           .cost = cost, .second = second, .own = own};
    const DENSE dense = {search, n_features, n_vectors, height, sums};
    parallel_for(threads, (n + step - 1) / step, NAMED(search_dense), &dense);
}

/* Dense rows to be summed: see `sum_dense`. */
typedef struct {
    int64_t n, n_features, height, n_bands, k;
    const REAL* rows;
    const int32_t* labels;
    const double* weight;
    double* sums;
} DENSE_SUMMING;

LOOPS_AS_VECTORS static void NAMED(sum_part)(const void* about, int64_t task, int who)
{
    (void)who;
    const DENSE_SUMMING* all = about;
    const int64_t n_features = all->n_features, part = task / all->n_bands;
    const int64_t first = part * all->height, left = all->n - first;
    const int64_t last = first + (left < all->height ? left : all->height);
    const int64_t start = task % all->n_bands * DENSE_BAND;
    const int64_t stop = n_features - start < DENSE_BAND ? n_features : start + DENSE_BAND;
    double* sums = all->sums + part * all->k * n_features;
    for (int64_t i = first; i < last; ++i) {
        const REAL* restrict row = all->rows + i * n_features;
        double* restrict sum = sums + all->labels[i] * n_features;
        const double w = all->weight ? all->weight[i] : 1;
        for (int64_t f = start; f < stop; f += LINE)
            __builtin_prefetch(row + DENSE_AHEAD * n_features + f);
        for (int64_t f = start; f < stop; ++f) sum[f] += w * row[f];
    }
}

/* Sum n dense rows by cluster, in double, in parts of `height` rows: `sums` is, for each part, k rows
 * of as many features as the rows have, zeros before. `weight` may be null, for ones. */
void NAMED(sum_dense)(
    int64_t threads, int64_t n, int64_t n_features, int64_t height, int64_t k, const REAL* rows,
    const int32_t* labels, const double* weight, double* sums)
{
    const int64_t n_parts = (n + height - 1) / height;
    const int64_t n_bands = (n_features + DENSE_BAND - 1) / DENSE_BAND;
    const DENSE_SUMMING all = {n, n_features, height, n_bands, k, rows, labels, weight, sums};
    parallel_for(threads, n_parts * n_bands, NAMED(sum_part), &all);
}

/* Dense rows to be measured: see `measure_dense`. */
typedef struct {
    int64_t n, n_features;
    const REAL* rows;
    const double* centers;
    const int32_t* labels;
    double* out;
} DENSE_MEASURING;

static void NAMED(measure_rows)(const void* about, int64_t task, int who)
{
    (void)who;
    const DENSE_MEASURING* all = about;
    const int64_t first = task * ROWS_OF_A_TASK, left = all->n - first, d = all->n_features;
    const int64_t last = first + (left < ROWS_OF_A_TASK ? left : ROWS_OF_A_TASK);
    for (int64_t i = first; i < last; ++i) {
        const REAL* row = all->rows + i * d;
        const double* center = all->centers + (all->labels ? all->labels[i] * d : 0);
        double squared[4] = {0};
        int64_t f = 0;
        for (; f + 4 <= d; f += 4)
            UNROLLED
            for (int c = 0; c < 4; ++c) {
                const double difference = row[f + c] - center[f + c];
                squared[c] += difference * difference;
            }
        for (; f < d; ++f) squared[0] += (row[f] - center[f]) * (row[f] - center[f]);
        all->out[i] = (squared[0] + squared[1]) + (squared[2] + squared[3]);
    }
}

/* The squared distance of each of n dense rows to the centroid of its label, or to the first one where
 * labels are null, in double. */
void NAMED(measure_dense)(
    int64_t threads, int64_t n, int64_t n_features, const REAL* rows, const double* centers,
    const int32_t* labels, double* out)
{
    const DENSE_MEASURING all = {n, n_features, rows, centers, labels, out};
    parallel_for(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, NAMED(measure_rows), &all);
}
