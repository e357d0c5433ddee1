/* Included by rows_by_width.h for each REAL; WHOLE is the integer of its size.
 *
 * A row's products with the sums of rare features are added up first, then those with frequent
 * ones, each in the order of the row's non-zeros: neither how rows are shared out among threads
 * nor which other clusters there are makes a difference to a cost. */

typedef REAL NAMED(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef WHOLE NAMED(wholes) __attribute__((vector_size(VECTOR_BYTES)));
typedef double NAMED(double) __attribute__((vector_size(VECTOR_BYTES)));

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define LINE (64 / sizeof(REAL))
#define SIGN (8 * sizeof(REAL) - 1)
#define VECTOR NAMED(vector)
#define WHOLES NAMED(wholes)
#define DOUBLE NAMED(double)
#define ENTRY NAMED(entry)
#define SUMS NAMED(sums)
#define SEARCH NAMED(search)
#define BEST NAMED(best)
#define CHOOSING NAMED(choosing)
#define CENTROIDS NAMED(centroids)
#define SPREADING NAMED(spreading)
#define MEASURING NAMED(measuring)
#define TURNING NAMED(turning)
#define SHIFT NAMED(shifting)
#define DENSE_SUMMING NAMED(dense_summing)
#define DENSE NAMED(dense)
#define SUMMING NAMED(summing)

/* What a cluster sums up of a rare feature. */
typedef struct {
    int32_t cluster;
    REAL value;
} ENTRY;

#define SPAN NAMED(span)

/* Where a rare feature's list stands. */
typedef struct {
    int32_t start, length;
} SPAN;

/* The sums of k clusters of `whole`: see Sums in compiled/sums.py. How a sum or a product is formed
 * depends on how many clusters there are in all, and not on which of them are here. */
typedef struct {
    int64_t k, n_vectors, width, lists, whole;
    const int32_t* place;
    REAL* runs;
    SPAN* spans;
    ENTRY* entries;
    int32_t* members;
    double *exact, *exact_entries; /* before they were rounded; or null */
    REAL* rare_runs;               /* in the place of lists, a span's start its place; or null */
} SUMS;

/* Rows to be assigned, and what is said of them and of the clusters: see `nearest`. */
typedef struct {
    int64_t n, step;
    const int32_t *indptr, *places;
    const REAL* values;
    const int32_t *rare_indptr, *rare;
    const REAL* rare_values;
    const SUMS* sums;
    const REAL *q, *scale;
    const int32_t* labels;
    const REAL *weight, *wx2;
    REAL* room;
    int32_t* nearest;
    double *cost, *second, *own;
} SEARCH;

/* Part the rows' non-zeros into those of frequent features, with the place of each, and those of
 * rare ones. */
void NAMED(part)(
    int64_t n, const int32_t* indptr, const int32_t* indices, const REAL* values,
    const int32_t* place, int32_t* restrict frequent_indptr, int32_t* restrict places,
    REAL* restrict frequent_values, int32_t* restrict rare_indptr, int32_t* restrict rare,
    REAL* restrict rare_values)
{
    int32_t frequent = 0, rares = 0;
    frequent_indptr[0] = rare_indptr[0] = 0;
    for (int64_t row = 0; row < n; ++row) {
        for (int64_t j = indptr[row]; j < indptr[row + 1]; ++j) {
            /* Written to both, and kept in one: nothing to guess. */
            const int32_t at = place[indices[j]], is_rare = at < 0;
            places[frequent] = at;
            frequent_values[frequent] = values[j];
            frequent += !is_rare;
            rare[rares] = indices[j];
            rare_values[rares] = values[j];
            rares += is_rare;
        }
        frequent_indptr[row + 1] = frequent;
        rare_indptr[row + 1] = rares;
    }
}

/* Rows to be measured: see `square` and `distances`. */
typedef struct {
    int64_t n, n_features;
    const int32_t *indptr, *indices;
    const REAL *values, *centroids;
    const int32_t* labels;
    double* out;
} MEASURING;

static void NAMED(square_rows)(const void* about, int64_t task, int who)
{
    (void)who;
    const MEASURING* all = about;
    const int64_t first = task * ROWS_OF_A_TASK, left = all->n - first;
    const int64_t last = first + (left < ROWS_OF_A_TASK ? left : ROWS_OF_A_TASK);
    for (int64_t row = first; row < last; ++row) {
        double square = 0;
        for (int32_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j)
            square += (double)all->values[j] * all->values[j];
        all->out[row] = square;
    }
}

/* The squared norm of each row, in double. */
void NAMED(square)(
    int64_t threads, int64_t n, const int32_t* indptr, const REAL* values, double* out)
{
    const MEASURING all = {.n = n, .indptr = indptr, .values = values, .out = out};
    share_out(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, NAMED(square_rows), &all);
}

static void NAMED(multiply_rows)(const void* about, int64_t task, int who)
{
    (void)who;
    const MEASURING* all = about;
    const int64_t first = task * ROWS_OF_A_TASK, left = all->n - first;
    const int64_t last = first + (left < ROWS_OF_A_TASK ? left : ROWS_OF_A_TASK);
    for (int64_t row = first; row < last; ++row) {
        const REAL* centroid = all->centroids + all->labels[row] * all->n_features;
        double product = 0;
        for (int32_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j)
            product += (double)all->values[j] * centroid[all->indices[j]];
        all->out[row] = product;
    }
}

/* The product of each row with the centroid of its label, in double. */
void NAMED(multiply)(
    int64_t threads, int64_t n, int64_t n_features, const int32_t* indptr, const int32_t* indices,
    const REAL* values, const REAL* centroids, const int32_t* labels, double* out)
{
    const MEASURING all = {n, n_features, indptr, indices, values, centroids, labels, out};
    share_out(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, NAMED(multiply_rows), &all);
}

/* Rows to be turned into columns: see `turn`. */
typedef struct {
    int64_t n;
    const int64_t* cuts;
    const int32_t *indptr, *indices;
    const REAL* values;
    const int32_t* column;
    int32_t *next, *rows;
    REAL* turned;
} TURNING;

static void NAMED(turn_band)(const void* about, int64_t band, int who)
{
    (void)who;
    const TURNING* all = about;
    const int64_t first = all->cuts[band], last = all->cuts[band + 1];
    for (int64_t row = 0; row < all->n; ++row)
        for (int32_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j) {
            const int32_t column = all->column[all->indices[j]];
            if (column < first || column >= last) continue;
            const int32_t at = all->next[column]++;
            all->rows[at] = (int32_t)row;
            all->turned[at] = all->values[j];
        }
}

/* Turn rows into columns, in bands of columns that `cuts` parts; `column` says which is a feature's,
 * and `next` where each begins: afterwards it is where each ends. */
void NAMED(turn)(
    int64_t threads, int64_t n, int64_t n_bands, const int64_t* cuts, const int32_t* indptr,
    const int32_t* indices, const REAL* values, const int32_t* column, int32_t* next,
    int32_t* rows, REAL* turned)
{
    const TURNING all = {n, cuts, indptr, indices, values, column, next, rows, turned};
    share_out(threads, n_bands, NAMED(turn_band), &all);
}

/* Add a row's products with rare features to its scores. */
INLINED void NAMED(add_lists)(const SEARCH* search, int64_t row, REAL* scores)
{
    const SUMS* sums = search->sums;
    const int32_t end = search->rare_indptr[row + 1], last = search->rare_indptr[search->n];
    if (sums->rare_runs) {
        for (int32_t j = search->rare_indptr[row]; j < end; ++j) {
            if (j + FAR_AHEAD < last) {
                const SPAN span = sums->spans[search->rare[j + FAR_AHEAD]];
                __builtin_prefetch(sums->rare_runs + span.start * sums->width);
            }
            const SPAN span = sums->spans[search->rare[j]];
            const VECTOR* run = (const VECTOR*)(sums->rare_runs + span.start * sums->width);
            for (int64_t v = 0; v < sums->n_vectors; ++v)
                ((VECTOR*)scores)[v] += search->rare_values[j] * run[v];
        }
        return;
    }
    for (int32_t j = search->rare_indptr[row]; j < end; ++j) {
        if (j + FAR_AHEAD < last)
            __builtin_prefetch(sums->entries + sums->spans[search->rare[j + FAR_AHEAD]].start);
        const SPAN span = sums->spans[search->rare[j]];
        const REAL value = search->rare_values[j];
        const ENTRY* entry = sums->entries + span.start;
        for (const ENTRY* stop = entry + span.length; entry < stop; ++entry)
            scores[entry->cluster] += value * entry->value;
    }
}

/* Each number of `yes` where the sign of `which` is set, else of `no`. Compilers that take a
 * comparison of vectors apart, element by element, leave this whole. */
INLINED WHOLES NAMED(either)(
    const WHOLES which, const WHOLES yes, const WHOLES no)
{
    const WHOLES set = which >> SIGN;
    return (yes & set) | (no & ~set);
}

/* The cheapest of the clusters that each lane of vectors has seen of a row, and what the next best
 * costs. */
typedef struct {
    VECTOR cost, second;
    WHOLES cluster;
} BEST;

/* The lesser number of each lane. */
INLINED VECTOR NAMED(lesser)(const VECTOR one, const VECTOR other)
{
    return (VECTOR)NAMED(either)((WHOLES)(one - other), (WHOLES)one, (WHOLES)other);
}

/* Turn a row's products with the clusters from `begin` on into costs, and keep the least of each
 * lane, the first of equal ones, and the next one where it is asked for. The row's own cluster is
 * left out, and the product with it kept.
 * Costs are (q - 2 P - wx2) / (scale + weight), or without a weight (q - 2 P - wx2) * scale: where
 * all rows weigh the same, nothing need be divided. */
INLINED void NAMED(settle)(
    const int n_vectors, const SEARCH* search, int64_t row, int64_t begin, VECTOR* scored,
    BEST* best)
{
    const VECTOR *q = (const VECTOR*)(search->q + begin);
    const VECTOR *scale = (const VECTOR*)(search->scale + begin);
    const REAL taken = search->wx2 ? search->wx2[row] : 0;
    const int64_t label = search->labels ? search->labels[row] - begin : -1;
    const int is_here = label >= 0 && label < n_vectors * LANES;
    if (is_here) search->own[row] = ((REAL*)scored)[label];
    if (search->weight)
        for (int v = 0; v < n_vectors; ++v)
            scored[v] = (q[v] - 2 * scored[v] - taken) / (scale[v] + search->weight[row]);
    else
        for (int v = 0; v < n_vectors; ++v) scored[v] = (q[v] - 2 * scored[v] - taken) * scale[v];
    if (is_here) ((REAL*)scored)[label] = INFINITY;
    WHOLES lanes;
    for (int i = 0; i < LANES; ++i) lanes[i] = i;
    for (int v = 0; v < n_vectors; ++v) {
        const WHOLES less = (WHOLES)(scored[v] - best->cost);
        if (search->second) {
            const WHOLES worse = NAMED(either)(less, (WHOLES)best->cost, (WHOLES)scored[v]);
            best->second = NAMED(lesser)((VECTOR)worse, best->second);
        }
        best->cost = (VECTOR)NAMED(either)(less, (WHOLES)scored[v], (WHOLES)best->cost);
        best->cluster =
            NAMED(either)(less, lanes + (WHOLE)(begin + v * LANES), best->cluster);
    }
}

INLINED void NAMED(nothing_yet)(int64_t count, BEST* best)
{
    for (int64_t i = 0; i < count; ++i) {
        /* Not infinite, so that no difference is that of two infinities. */
        best[i].cost = best[i].second = (VECTOR){0} + LARGEST;
        best[i].cluster = (WHOLES){0};
    }
}

/* The cheapest cluster of each of `count` rows, at most LANES, the lowest of equal ones. Lanes of
 * two rows are compared with their neighbours at once, and so on until each row has one: LANES rows
 * take little longer than one row alone. */
static inline void NAMED(conclude)(
    const SEARCH* search, int64_t first, int64_t count, BEST* best)
{
    UNROLLED
    for (int rows = LANES / 2; rows > 0; rows /= 2)
        UNROLLED
        for (int i = 0; i < rows; ++i) {
            VECTOR even, odd;
            WHOLES there, here;
            EVERY_OTHER(even, best[2 * i].cost, best[2 * i + 1].cost, 0);
            EVERY_OTHER(odd, best[2 * i].cost, best[2 * i + 1].cost, 1);
            EVERY_OTHER(here, best[2 * i].cluster, best[2 * i + 1].cluster, 0);
            EVERY_OTHER(there, best[2 * i].cluster, best[2 * i + 1].cluster, 1);
            const WHOLES less = (WHOLES)(odd - even);
            const WHOLES take = less | (~(less | -less) & (there - here));
            if (search->second) {
                VECTOR seconds, others;
                EVERY_OTHER(seconds, best[2 * i].second, best[2 * i + 1].second, 0);
                EVERY_OTHER(others, best[2 * i].second, best[2 * i + 1].second, 1);
                const VECTOR worse =
                    (VECTOR)NAMED(either)(take, (WHOLES)even, (WHOLES)odd);
                best[i].second = NAMED(lesser)(worse, NAMED(lesser)(seconds, others));
            }
            best[i].cost = (VECTOR)NAMED(either)(take, (WHOLES)odd, (WHOLES)even);
            best[i].cluster = NAMED(either)(take, there, here);
        }
    for (int64_t i = 0; i < count; ++i) {
        search->cost[first + i] = best->cost[i] < LARGEST ? best->cost[i] : INFINITY;
        search->nearest[first + i] = (int32_t)best->cluster[i];
    }
    if (search->second)
        for (int64_t i = 0; i < count; ++i)
            search->second[first + i] = best->second[i] < LARGEST ? best->second[i] : INFINITY;
}

/* Add a row's products with the frequent features' sums of the clusters from `begin` on. */
INLINED void NAMED(add_runs)(
    const int n_vectors, const SEARCH* search, int64_t row, int64_t begin, VECTOR* product)
{
    const int64_t width = search->sums->width;
    const REAL* runs = search->sums->runs + begin;
    const int32_t* places = search->places;
    const int32_t end = search->indptr[row + 1], last = search->indptr[search->n];
    int32_t j = search->indptr[row];
    if (n_vectors == 1 && search->sums->whole <= LANES) {
        VECTOR more[3] = {{0}};
        for (; j + 4 <= end; j += 4) {
            product[0] += search->values[j] * *(const VECTOR*)(runs + places[j] * width);
            UNROLLED
            for (int i = 1; i < 4; ++i) more[i-1] += search->values[j+i] * *(const VECTOR*)(runs + places[j+i] * width);
        }
        product[0] += more[0] + (more[1] + more[2]);
    }
    for (; j < end; ++j) {
        if (n_vectors >= CALLED_FOR && j + AHEAD < last) {
            const REAL* next = runs + places[j + AHEAD] * width;
            UNROLLED
            for (int v = 0; v < n_vectors; ++v) __builtin_prefetch(next + v * LANES);
        }
        const VECTOR* run = (const VECTOR*)(runs + places[j] * width);
        const REAL factor = search->values[j];
        UNROLLED
        for (int v = 0; v < n_vectors; ++v) product[v] += factor * run[v];
    }
}

/* Some rows whose products with all clusters stay in registers. */
#define IN_REGISTERS(n_vectors)                                                                   \
    case n_vectors:                                                                               \
        for (int64_t i = 0; i < count; ++i) {                                                     \
            VECTOR scored[n_vectors] = {{0}}, product[n_vectors];                                 \
            if (search->rare) NAMED(add_lists)(search, first + i, (REAL*)scored);                 \
            UNROLLED                                                                              \
            for (int v = 0; v < n_vectors; ++v) product[v] = scored[v];                           \
            NAMED(add_runs)(n_vectors, search, first + i, 0, product);                            \
            UNROLLED                                                                              \
            for (int v = 0; v < n_vectors; ++v) scored[v] = product[v];                           \
            NAMED(settle)(n_vectors, search, first + i, 0, scored, best + i);                     \
        }                                                                                         \
        break;

/* Some rows with the clusters of a tile; scores are so far the products with lists. */
#define IN_A_TILE(n_vectors)                                                                      \
    case n_vectors:                                                                               \
        for (int64_t i = 0; i < count; ++i) {                                                     \
            VECTOR* scored = (VECTOR*)(scores + i * sums->width + begin);                         \
            VECTOR product[n_vectors];                                                            \
            UNROLLED                                                                              \
            for (int v = 0; v < n_vectors; ++v) product[v] = scored[v];                           \
            NAMED(add_runs)(n_vectors, search, first + i, begin, product);                        \
            UNROLLED                                                                              \
            for (int v = 0; v < n_vectors; ++v) scored[v] = product[v];                           \
            NAMED(settle)(n_vectors, search, first + i, begin, scored, best + i);                 \
        }                                                                                         \
        break;

static void NAMED(search_rows)(const void* about, int64_t task, int who)
{
    const SEARCH* search = about;
    const SUMS* sums = search->sums;
    int64_t first = task * search->step;
    const int64_t left = search->n - first, bottom = first + (left < search->step ? left : search->step);
    const int64_t tiles = (sums->n_vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    if (tiles == 1) {
        BEST best[LANES];
        for (; first < bottom; first += LANES) {
            const int64_t count = bottom - first < LANES ? bottom - first : LANES;
            NAMED(nothing_yet)(LANES, best);
            switch (sums->n_vectors) { EACH_TILE(IN_REGISTERS) }
            NAMED(conclude)(search, first, count, best);
        }
        return;
    }
    const int64_t count = bottom - first, whole = (search->step + LANES - 1) / LANES * LANES;
    BEST* best = (BEST*)(search->room + who * whole * (sums->width + sizeof(BEST) / sizeof(REAL)));
    REAL* scores = (REAL*)(best + whole);
    NAMED(nothing_yet)(whole, best);
    memset(scores, 0, count * sums->width * sizeof(REAL));
    if (search->rare)
        for (int64_t i = 0; i < count; ++i)
            NAMED(add_lists)(search, first + i, scores + i * sums->width);
    /* Tiles on the outside: the runs of frequent features, cut to a tile, stay in the cache. */
    for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t first_vector = tile * sums->n_vectors / tiles, begin = first_vector * LANES;
        switch ((tile + 1) * sums->n_vectors / tiles - first_vector) { EACH_TILE(IN_A_TILE) }
    }
    for (int64_t i = 0; i < count; i += LANES)
        NAMED(conclude)(search, first + i, count - i < LANES ? count - i : LANES, best + i);
}

/* The cheapest cluster of each of n rows, the lowest of equal ones, and its cost; see `settle`.
 * With labels the row's own cluster is left out and the product with its sum kept. `q` is infinite
 * for clusters that are not to be chosen, those beyond k among them. `weight` and `wx2`, what is
 * taken from a row's costs, may be null, and so may the rare features and `second`, the next best's
 * cost. Where there are more clusters
 * than a row keeps in registers, `room` is threads * step * (width + 3 * LANES), the step filled up to whole vectors. */
void NAMED(nearest)(
    int64_t threads, int64_t n, int64_t step, const int32_t* indptr, const int32_t* places,
    const REAL* values, const int32_t* rare_indptr, const int32_t* rare, const REAL* rare_values,
    const SUMS* sums, const REAL* q, const REAL* scale, const int32_t* labels, const REAL* weight,
    const REAL* wx2, REAL* room, int32_t* nearest, double* cost, double* second,
    double* own)
{
    const SEARCH search = {n, step, indptr, places, values, rare_indptr, rare, rare_values, sums,
                           q, scale, labels, weight, wx2, room, nearest, cost, second, own};
    share_out(threads, (n + step - 1) / step, NAMED(search_rows), &search);
}

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
        NAMED(nothing_yet)(MOST_DENSE_ROWS, best);
        for (int64_t vector = 0; vector < dense->n_vectors; vector += DENSE_VECTORS) {
            const int64_t left = dense->n_vectors - vector;
            int64_t row = 0;
            switch (left < DENSE_VECTORS ? left : DENSE_VECTORS) {
                EACH_DENSE_TILE(DENSE_TILES)
            }
        }
        for (int64_t i = 0; i < count; i += LANES)
            NAMED(conclude)(&dense->search, top + i, count - i < LANES ? count - i : LANES,
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
    share_out(threads, (n + step - 1) / step, NAMED(search_dense), &dense);
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
    share_out(threads, n_parts * n_bands, NAMED(sum_part), &all);
}

/* What is to be summed, and where: see `sum_features`. */
typedef struct {
    const int64_t* cuts;
    const int32_t *feature, *colptr, *rows;
    const REAL* values;
    const int32_t* labels;
    const double* weight;
    const SUMS* sums;
    double* exact;
    int32_t* seen;
    double* squares;
} SUMMING;

enum { NAMED(doubles) = VECTOR_BYTES / sizeof(double) };
#define DOUBLES NAMED(doubles)

/* Sum the columns [start, stop) by few clusters, as many as `n_parts` vectors of doubles hold. A
 * row's value is added to all sums at once, times one or nothing. Were it added to one sum in
 * memory, the vector of all of them could not be read until the last of it is written, for each
 * feature anew. */
INLINED void NAMED(sum_few)(
    const int n_parts, const SUMMING* all, int64_t start, int64_t stop, double* squares)
{
    DOUBLE one[LANES][LANES / DOUBLES], square[LANES / DOUBLES];
    for (int c = 0; c < LANES; ++c)
        for (int i = 0; i < LANES; ++i) one[c][i / DOUBLES][i % DOUBLES] = i == c;
    for (int part = 0; part < n_parts; ++part) square[part] = (DOUBLE){0};
    for (int64_t column = start; column < stop; ++column) {
        DOUBLE sum[WAYS][LANES / DOUBLES];
        UNROLLED
        for (int i = 0; i < WAYS * n_parts; ++i) sum[i / n_parts][i % n_parts] = (DOUBLE){0};
        int64_t j = all->colptr[column];
        const int64_t end = all->colptr[column + 1];
#define ADD(way)                                                                                  \
    do {                                                                                          \
        const int32_t row = all->rows[j + way];                                                   \
        const double value = all->weight ? all->weight[row] * all->values[j + way]                \
                                         : all->values[j + way];                                  \
        UNROLLED                                                                                  \
        for (int part = 0; part < n_parts; ++part)                                                \
            sum[way][part] += value * one[all->labels[row]][part];                                \
    } while (0)
        for (; j + WAYS <= end; j += WAYS) {
            ADD(0);
            ADD(1);
            ADD(2);
            ADD(3);
        }
        for (; j < end; ++j) ADD(0);
#undef ADD
        const int64_t place = all->sums->place[all->feature[column]] * all->sums->width;
        UNROLLED
        for (int part = 0; part < n_parts; ++part) {
            const DOUBLE whole = (sum[0][part] + sum[1][part]) + (sum[2][part] + sum[3][part]);
            square[part] += whole * whole;
            UNROLLED
            for (int i = 0; i < DOUBLES; ++i) {
                const int64_t at = place + part * DOUBLES + i;
                all->sums->runs[at] = (REAL)whole[i];
                if (all->sums->exact) all->sums->exact[at] = whole[i];
            }
        }
    }
    for (int c = 0; c < n_parts * DOUBLES; ++c) squares[c] += square[c / DOUBLES][c % DOUBLES];
}

#define FEW(n_parts)                                                                              \
    case n_parts: NAMED(sum_few)(n_parts, all, start, stop, squares); return;

/* A band of `sum_features`. */
LOOPS_AS_VECTORS static void NAMED(sum_band)(const void* about, int64_t band, int who)
{
    const SUMMING* all = about;
    const SUMS* sums = all->sums;
    const int64_t width = sums->n_vectors * LANES;
    const int64_t start = all->cuts[band], stop = all->cuts[band + 1];
    const int32_t *rows = all->rows, *labels = all->labels;
    const REAL* values = all->values;
    const double* weight = all->weight;
    double* restrict squares = all->squares + band * width;
    if (sums->whole <= LANES)
        switch ((sums->k + DOUBLES - 1) / DOUBLES) { EACH_PART(FEW) }
    double* restrict exact = all->exact + who * WAYS * width;
    int32_t* restrict seen = all->seen + who * width;
    for (int64_t column = start; column < stop; ++column) {
        const int64_t f = all->feature[column], begin = all->colptr[column];
        const int64_t end = all->colptr[column + 1];
        int64_t j = begin;
        if (sums->place[f] < 0) {
            ENTRY* entries = sums->entries + sums->spans[f].start;
            int32_t* members = sums->members + sums->spans[f].start;
            int32_t found = 0;
            for (; j < end; ++j) {
                const int32_t c = labels[rows[j]];
                /* Written each time, and kept the first time: nothing to guess. */
                entries[found].cluster = c;
                found += !seen[c];
                ++seen[c];
                exact[c] += weight ? weight[rows[j]] * values[j] : values[j];
            }
            for (int32_t at = 0; at < found; ++at) {
                const int32_t c = entries[at].cluster;
                entries[at].value = (REAL)exact[c];
                if (sums->exact) sums->exact_entries[sums->spans[f].start + at] = exact[c];
                members[at] = seen[c];
                squares[c] += exact[c] * exact[c];
                exact[c] = 0;
                seen[c] = 0;
            }
            sums->spans[f].length = found;
            continue;
        }
        const int many = end - begin > WAYS * sums->whole;
        if (many && !weight)
            for (; j + WAYS <= end; j += WAYS)
                UNROLLED
                for (int way = 0; way < WAYS; ++way)
                    exact[way * width + labels[rows[j + way]]] += values[j + way];
        if (weight)
            for (; j < end; ++j) exact[labels[rows[j]]] += weight[rows[j]] * values[j];
        else
            for (; j < end; ++j) exact[labels[rows[j]]] += values[j];
        if (many)
            for (int way = 1; way < WAYS; ++way)
                for (int64_t c = 0; c < width; ++c) {
                    exact[c] += exact[way * width + c];
                    exact[way * width + c] = 0;
                }
        REAL* restrict run = sums->runs + sums->place[f] * sums->width;
        if (sums->exact)
            memcpy(sums->exact + sums->place[f] * sums->width, exact, width * sizeof(double));
        for (int64_t first = 0; first < width; first += LANES)
            for (int64_t c = first; c < first + LANES; ++c) {
                run[c] = (REAL)exact[c];
                squares[c] += exact[c] * exact[c];
                exact[c] = 0;
            }
    }
}

/* Sum the columns of the rows (CSC) by cluster, in double, in bands of columns that `cuts` parts;
 * `feature` says of which feature each column is. `weight` may be null, for ones. `exact` is
 * threads * WAYS * width zeros and `seen` threads * width; the squares of the sums are added to
 * those of each band in `squares`, n_bands * width.
 *
 * A sum that was written a moment ago is late to be read: of a feature with many rows for each
 * cluster, WAYS sums are formed in turns. */
void NAMED(sum_features)(
    int64_t threads, int64_t n_bands, const int64_t* cuts, const int32_t* feature,
    const int32_t* colptr, const int32_t* rows, const REAL* values, const int32_t* labels,
    const double* weight, const SUMS* sums, double* exact, int32_t* seen, double* squares)
{
    const SUMMING all = {cuts, feature, colptr, rows, values, labels, weight, sums,
                         exact, seen, squares};
    share_out(threads, n_bands, NAMED(sum_band), &all);
}

/* Add to one sum; return by how much its square grew. A list has room for as many clusters as
 * rows have the feature, so one more always fits once those without members are gone. */
static double NAMED(add)(const SUMS* sums, int32_t f, int32_t cluster, double change, int joins)
{
    REAL* sum;
    double* exact = NULL;
    if (sums->place[f] >= 0) {
        const int64_t at = sums->place[f] * sums->width + cluster;
        sum = sums->runs + at;
        if (sums->exact) exact = sums->exact + at;
    } else {
        SPAN* span = sums->spans + f;
        ENTRY* entries = sums->entries + span->start;
        int32_t* members = sums->members + span->start;
        double* exacts = sums->exact ? sums->exact_entries + span->start : NULL;
        int32_t at = 0;
        while (at < span->length && entries[at].cluster != cluster) ++at;
        if (at == span->length) {
            entries[at] = (ENTRY){cluster, 0};
            members[at] = 0;
            if (exacts) exacts[at] = 0;
            ++span->length;
        }
        members[at] += joins ? 1 : -1;
        if (members[at] == 0) { /* nothing but rounding is left of it */
            const double gone = exacts ? exacts[at] : entries[at].value;
            const int32_t last = --span->length;
            entries[at] = entries[last];
            members[at] = members[last];
            if (exacts) exacts[at] = exacts[last];
            return -gone * gone;
        }
        sum = &entries[at].value;
        if (exacts) exact = exacts + at;
    }
    const double before = exact ? *exact : *sum;
    double after = before + change;
    *sum = (REAL)after;
    if (exact)
        *exact = after;
    else
        after = *sum;
    return (after - before) * (after + before);
}

/* Take rows out of their clusters' sums and put them into others'. */
void NAMED(move)(
    int64_t n, const int64_t* which, const int32_t* source, const int32_t* target,
    const double* weight, const int32_t* indptr, const int32_t* indices, const REAL* values,
    const SUMS* sums, double* squared_norms)
{
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = indptr[which[i]]; j < indptr[which[i] + 1]; ++j) {
            const double change = weight[i] * values[j];
            squared_norms[source[i]] += NAMED(add)(sums, indices[j], source[i], -change, 0);
            squared_norms[target[i]] += NAMED(add)(sums, indices[j], target[i], change, 1);
        }
}

/* Add a feature's sums, times `scale`, to k numbers. */
static inline void NAMED(add_feature)(
    const SUMS* sums, int64_t f, const double* restrict scale, double* restrict to)
{
    if (sums->place[f] >= 0) {
        const REAL* run = sums->runs + sums->place[f] * sums->width;
        for (int64_t c = 0; c < sums->k; ++c) to[c] += scale[c] * run[c];
    } else {
        const ENTRY* entry = sums->entries + sums->spans[f].start;
        for (const ENTRY* last = entry + sums->spans[f].length; entry < last; ++entry)
            to[entry->cluster] += scale[entry->cluster] * entry->value;
    }
}

/* Square the numbers of a feature's clusters, and put zeros in their place. */
static inline void NAMED(take_squares)(
    const SUMS* sums, int64_t f, double* restrict from, double* restrict squares)
{
    if (sums->place[f] >= 0)
        for (int64_t c = 0; c < sums->k; ++c) {
            squares[c] += from[c] * from[c];
            from[c] = 0;
        }
    else {
        const ENTRY* entry = sums->entries + sums->spans[f].start;
        for (const ENTRY* last = entry + sums->spans[f].length; entry < last; ++entry) {
            squares[entry->cluster] += from[entry->cluster] * from[entry->cluster];
            from[entry->cluster] = 0;
        }
    }
}

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
    share_out(threads, k, NAMED(find_one), &all);
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
    share_out(threads, k, NAMED(gather_one), &all);
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
    share_out(threads, (n_features + SPREAD_BAND - 1) / SPREAD_BAND, NAMED(spread_band), &all);
}

/* Sums of which some clusters are chosen: see `choose`. */
typedef struct {
    int64_t n_places, n_rare, n_bands;
    const int32_t *rare, *chosen, *place;
    const SUMS *from, *to;
} CHOOSING;

static void NAMED(choose_band)(const void* about, int64_t band, int who)
{
    (void)who;
    const CHOOSING* all = about;
    const SUMS *from = all->from, *to = all->to;
    for (int64_t at = band * all->n_places / all->n_bands;
         at < (band + 1) * all->n_places / all->n_bands; ++at) {
        const REAL* run = from->runs + at * from->width;
        for (int64_t c = 0; c < to->k; ++c) to->runs[at * to->width + c] = run[all->chosen[c]];
    }
    const int64_t first = band * all->n_rare / all->n_bands;
    const int64_t last = (band + 1) * all->n_rare / all->n_bands;
    if (to->rare_runs)
        for (int64_t i = first; i < last; ++i) {
            const SPAN span = from->spans[all->rare[i]];
            REAL* run = to->rare_runs + i * to->width;
            memset(run, 0, to->width * sizeof(REAL));
            for (int32_t j = span.start; j < span.start + span.length; ++j) {
                const int32_t c = all->place[from->entries[j].cluster];
                if (c >= 0) run[c] = from->entries[j].value;
            }
            to->spans[all->rare[i]] = (SPAN){(int32_t)i, 0};
        }
    if (first == last || to->rare_runs) return;
    /* The lists stand close together, as nobody is to join them. */
    int32_t written = from->spans[all->rare[first]].start;
    for (int64_t i = first; i < last; ++i) {
        const SPAN span = from->spans[all->rare[i]];
        const int32_t start = written;
        for (int32_t j = span.start; j < span.start + span.length; ++j) {
            const int32_t c = all->place[from->entries[j].cluster];
            to->entries[written] = (ENTRY){c, from->entries[j].value};
            written += c >= 0;
        }
        to->spans[all->rare[i]] = (SPAN){start, written - start};
    }
}

/* Some clusters' sums: those `chosen`, where `place` says of each which it is, or -1. `rare` are the
 * features of lists, as they stand one after the other. */
void NAMED(choose)(
    int64_t threads, int64_t n_bands, int64_t n_places, int64_t n_rare, const int32_t* rare,
    const int32_t* chosen, const int32_t* place, const SUMS* from, const SUMS* to)
{
    const CHOOSING all = {n_places, n_rare, n_bands, rare, chosen, place, from, to};
    share_out(threads, n_bands, NAMED(choose_band), &all);
}

/* Two sums of the same features: see `shift`. */
typedef struct {
    int64_t n_features, height;
    const SUMS *old, *new;
    const double *old_scale, *new_scale;
    double *room, *squares;
} SHIFT;

LOOPS_AS_VECTORS static void NAMED(shift_band)(const void* about, int64_t band, int who)
{
    const SHIFT* all = about;
    const SUMS *old = all->old, *new = all->new;
    const int64_t k = old->k, start = band * all->height, left = all->n_features - start;
    const int64_t stop = start + (left < all->height ? left : all->height);
    const double *old_scale = all->old_scale, *new_scale = all->new_scale;
    double* restrict room = all->room + who * k;
    double* restrict squares = all->squares + band * k;
    for (int64_t f = start; f < stop; ++f) {
        if (old->place[f] >= 0 && new->place[f] >= 0) {
            const REAL* before = old->runs + old->place[f] * old->width;
            const REAL* after = new->runs + new->place[f] * new->width;
            for (int64_t c = 0; c < k; ++c) {
                const double by = old_scale[c] * before[c] + new_scale[c] * after[c];
                squares[c] += by * by;
            }
            continue;
        }
        NAMED(add_feature)(old, f, old_scale, room);
        NAMED(add_feature)(new, f, new_scale, room);
        NAMED(take_squares)(old, f, room, squares);
        NAMED(take_squares)(new, f, room, squares);
    }
}

/* By how much sums, each cluster's times its number in `old_scale`, and others come to together: the
 * squares are added to those of each cluster, in bands of `height` features. `room` is threads * k
 * zeros, and is so again afterwards; `squares` n_bands * k. */
void NAMED(shift)(
    int64_t threads, int64_t n_features, int64_t height, const SUMS* old, const double* old_scale,
    const SUMS* new, const double* new_scale, double* room, double* squares)
{
    const SHIFT all = {n_features, height, old, new, old_scale, new_scale, room, squares};
    share_out(threads, (n_features + height - 1) / height, NAMED(shift_band), &all);
}

#undef LANES
#undef LINE
#undef SIGN
#undef VECTOR
#undef WHOLES
#undef DOUBLE
#undef ENTRY
#undef SPAN
#undef SUMS
#undef SEARCH
#undef BEST
#undef CHOOSING
#undef CENTROIDS
#undef SPREADING
#undef MEASURING
#undef TURNING
#undef SHIFT
#undef DENSE_SUMMING
#undef DENSE
#undef SUMMING
#undef DOUBLES
#undef FEW
#undef IN_REGISTERS
#undef IN_A_TILE
#undef DENSE_TILE
#undef DENSE_TILES
