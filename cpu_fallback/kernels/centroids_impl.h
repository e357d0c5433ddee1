/* Included by rows_impl.h: centroids that are mostly zeros, and back. */

/* Centroids that are mostly zeros: see `find`, `gather` and `spread`. */
typedef struct {
    int64_t k, n_features;
    const REAL* centroids;
    const int64_t* offsets;
    int64_t* counts;
    double* squares;
    int32_t* features;
    REAL* values;
} CENTROIDS;

LOOPS_AS_VECTORS static void NAMED(find_one)(const void* about, int64_t c, int who)
{
    (void)who;
    const CENTROIDS* all = about;
    const REAL* centroid = all->centroids + c * all->n_features;
    int64_t count = 0;
    for (int64_t f = 0; f < all->n_features; ++f) count += centroid[f] != 0;
    double square[8] = {0};
    int64_t f = 0;
    for (; f + 8 <= all->n_features; f += 8)
        for (int i = 0; i < 8; ++i) square[i] += (double)centroid[f + i] * centroid[f + i];
    for (; f < all->n_features; ++f) square[0] += (double)centroid[f] * centroid[f];
    all->counts[c] = count;
    all->squares[c] = ((square[0] + square[1]) + (square[2] + square[3])) +
                      ((square[4] + square[5]) + (square[6] + square[7]));
}

/* How many numbers of each of k centroids are not zero, and the centroid's squared norm. */
void NAMED(find)(
    int64_t threads, int64_t k, int64_t n_features, const REAL* centroids, int64_t* counts,
    double* squares)
{
    const CENTROIDS all = {
        .n_features = n_features, .centroids = centroids, .counts = counts, .squares = squares};
    parallel_for(threads, k, NAMED(find_one), &all);
}

static void NAMED(gather_one)(const void* about, int64_t c, int who)
{
    (void)who;
    const CENTROIDS* all = about;
    const REAL* centroid = all->centroids + c * all->n_features;
    int64_t at = all->offsets[c];
    for (int64_t f = 0; f < all->n_features; ++f)
        if (centroid[f] != 0) {
            all->features[at] = (int32_t)f;
            all->values[at++] = centroid[f];
        }
}

/* Those numbers and their features, one centroid after the other. */
void NAMED(gather)(
    int64_t threads, int64_t k, int64_t n_features, const REAL* centroids, const int64_t* offsets,
    int32_t* features, REAL* values)
{
    const CENTROIDS all = {.n_features = n_features, .centroids = centroids, .offsets = offsets,
                           .features = features, .values = values};
    parallel_for(threads, k, NAMED(gather_one), &all);
}

/* Sums to be made centroids of: see `spread`. */
typedef struct {
    int64_t n_features;
    const SUMS* sums;
    const REAL* scale;
    REAL* centroids;
} SPREADING;

static void NAMED(spread_band)(const void* about, int64_t band, int who)
{
    (void)who;
    const SPREADING* all = about;
    const SUMS* sums = all->sums;
    const int64_t n_features = all->n_features, first = band * SPREAD_BAND;
    const int64_t last = n_features - first < SPREAD_BAND ? n_features : first + SPREAD_BAND;
    for (int64_t f = first; f < last; ++f) {
        if (sums->place[f] >= 0) continue;
        const ENTRY* entry = sums->entries + sums->spans[f].start;
        for (const ENTRY* end = entry + sums->spans[f].length; entry < end; ++entry)
            all->centroids[entry->cluster * n_features + f] =
                entry->value * all->scale[entry->cluster];
    }
    /* A cluster's numbers of neighbouring features stand together. */
    for (int64_t c = 0; c < sums->k; ++c)
        for (int64_t f = first; f < last; ++f)
            if (sums->place[f] >= 0)
                all->centroids[c * n_features + f] =
                    sums->runs[sums->place[f] * sums->width + c] * all->scale[c];
}

/* Sums, each cluster's times a number, as k rows of features; zeros before. */
void NAMED(spread)(
    int64_t threads, int64_t n_features, const SUMS* sums, const REAL* scale, REAL* centroids)
{
    const SPREADING all = {n_features, sums, scale, centroids};
    parallel_for(threads, (n_features + SPREAD_BAND - 1) / SPREAD_BAND, NAMED(spread_band), &all);
}
