/* Included by rows_impl.h: the cheapest clusters of sparse rows.
 *
 * A row's products with the sums of rare features are added up first, then those with frequent
 * ones, each in the order of the row's non-zeros: neither how rows are shared out among threads
 * nor which other rows are asked for makes a difference to a cost. */

/* Rows to be assigned, and what is said of them and of the clusters: see `nearest`. */
typedef struct {
    int64_t n, n_asked, step;
    const int64_t* which;
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

/* Call for the first sums of a row that is assigned next. */
INLINED void NAMED(prefetch_row)(const SEARCH* search, int64_t row)
{
    const SUMS* sums = search->sums;
    const int32_t begin = search->indptr[row], left = search->indptr[row + 1] - begin;
    for (int32_t j = begin; j < begin + (left < AHEAD ? left : AHEAD); ++j)
        for (int64_t v = 0; v < sums->n_vectors; ++v)
            __builtin_prefetch(sums->runs + search->places[j] * sums->width + v * LANES);
}

/* The row that stands at a place among those asked for. Those that are asked for next are called
 * for, as nobody guesses which rows are left out. */
INLINED int64_t NAMED(row_at)(const SEARCH* search, int64_t at)
{
    if (!search->which) return at;
    if (at + 1 < search->n_asked && search->sums->n_vectors <= MOST_VECTORS)
        NAMED(prefetch_row)(search, search->which[at + 1]);
    if (at + ROWS_AHEAD < search->n_asked) {
        const int64_t soon = search->which[at + ROWS_AHEAD];
        const int32_t begin = search->indptr[soon], end = search->indptr[soon + 1];
        for (int32_t j = begin; j < end; j += (int32_t)LINE) {
            __builtin_prefetch(search->places + j);
            __builtin_prefetch(search->values + j);
        }
        if (search->rare) {
            __builtin_prefetch(search->rare + search->rare_indptr[soon]);
            __builtin_prefetch(search->rare_values + search->rare_indptr[soon]);
        }
    }
    return search->which[at];
}

/* Add a row's products with rare features to its scores. */
INLINED void NAMED(add_lists)(const SEARCH* search, int64_t row, REAL* scores)
{
    const SUMS* sums = search->sums;
    const int32_t end = search->rare_indptr[row + 1], last = search->rare_indptr[search->n];
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

INLINED void NAMED(reset_best)(int64_t count, BEST* best)
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
static inline void NAMED(reduce_lanes)(
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
    if (n_vectors == 1 && search->sums->k <= LANES) {
        VECTOR more[3] = {{0}};
        for (; j + 4 <= end; j += 4) {
            product[0] += search->values[j] * *(const VECTOR*)(runs + places[j] * width);
            UNROLLED
            for (int i = 1; i < 4; ++i)
                more[i - 1] +=
                    search->values[j + i] * *(const VECTOR*)(runs + places[j + i] * width);
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
            const int64_t row = NAMED(row_at)(search, first + i);                                 \
            if (search->rare) NAMED(add_lists)(search, row, (REAL*)scored);                       \
            UNROLLED                                                                              \
            for (int v = 0; v < n_vectors; ++v) product[v] = scored[v];                           \
            NAMED(add_runs)(n_vectors, search, row, 0, product);                                  \
            UNROLLED                                                                              \
            for (int v = 0; v < n_vectors; ++v) scored[v] = product[v];                           \
            NAMED(settle)(n_vectors, search, row, 0, scored, best + i);                           \
        }                                                                                         \
        break;

/* Some rows with the clusters of a tile; scores are so far the products with lists. */
#define IN_A_TILE(n_vectors)                                                                      \
    case n_vectors:                                                                               \
        for (int64_t i = 0; i < count; ++i) {                                                     \
            const int64_t row = NAMED(row_at)(search, first + i);                                 \
            VECTOR* scored = (VECTOR*)(scores + i * sums->width + begin);                         \
            VECTOR product[n_vectors];                                                            \
            UNROLLED                                                                              \
            for (int v = 0; v < n_vectors; ++v) product[v] = scored[v];                           \
            NAMED(add_runs)(n_vectors, search, row, begin, product);                              \
            UNROLLED                                                                              \
            for (int v = 0; v < n_vectors; ++v) scored[v] = product[v];                           \
            NAMED(settle)(n_vectors, search, row, begin, scored, best + i);                       \
        }                                                                                         \
        break;

static void NAMED(search_rows)(const void* about, int64_t task, int who)
{
    const SEARCH* search = about;
    const SUMS* sums = search->sums;
    int64_t first = task * search->step;
    const int64_t left = search->n_asked - first;
    const int64_t bottom = first + (left < search->step ? left : search->step);
    const int64_t tiles = (sums->n_vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    if (tiles == 1) {
        BEST best[LANES];
        for (; first < bottom; first += LANES) {
            const int64_t count = bottom - first < LANES ? bottom - first : LANES;
            NAMED(reset_best)(LANES, best);
            switch (sums->n_vectors) { EACH_TILE(IN_REGISTERS) }
            NAMED(reduce_lanes)(search, first, count, best);
        }
        return;
    }
    const int64_t count = bottom - first, whole = (search->step + LANES - 1) / LANES * LANES;
    BEST* best = (BEST*)(search->room + who * whole * (sums->width + sizeof(BEST) / sizeof(REAL)));
    REAL* scores = (REAL*)(best + whole);
    NAMED(reset_best)(whole, best);
    memset(scores, 0, count * sums->width * sizeof(REAL));
    if (search->rare)
        for (int64_t i = 0; i < count; ++i)
            NAMED(add_lists)(
                search, NAMED(row_at)(search, first + i), scores + i * sums->width);
    /* Tiles on the outside: the runs of frequent features, cut to a tile, stay in the cache. */
    for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t first_vector = tile * sums->n_vectors / tiles, begin = first_vector * LANES;
        switch ((tile + 1) * sums->n_vectors / tiles - first_vector) { EACH_TILE(IN_A_TILE) }
    }
    for (int64_t i = 0; i < count; i += LANES)
        NAMED(reduce_lanes)(search, first + i, count - i < LANES ? count - i : LANES, best + i);
}

/* The cheapest cluster of each of n rows, or without labels of those of `which`, the lowest of
 * equal ones, and its cost; see `settle`. With labels the row's own cluster is left out and the
 * product with its sum kept. `q` is infinite for clusters that are not to be chosen, those beyond k
 * among them. `weight` and `wx2`, what is taken from a row's costs, may be null, and so may the rare
 * features and `second`, the next best's cost. Where there are more clusters than a row keeps in
 * registers, `room` is threads * step * (width + 3 * LANES), the step filled up to whole vectors. */
void NAMED(nearest)(
    int64_t threads, int64_t n, int64_t n_asked, int64_t step, const int64_t* which,
    const int32_t* indptr, const int32_t* places, const REAL* values, const int32_t* rare_indptr,
    const int32_t* rare, const REAL* rare_values, const SUMS* sums, const REAL* q,
    const REAL* scale, const int32_t* labels, const REAL* weight, const REAL* wx2, REAL* room,
    int32_t* nearest, double* cost, double* second, double* own)
{
    const SEARCH search = {n, n_asked, step, which, indptr, places, values, rare_indptr, rare,
                           rare_values, sums, q, scale, labels, weight, wx2, room, nearest, cost,
                           second, own};
    parallel_for(threads, (n_asked + step - 1) / step, NAMED(search_rows), &search);
}
