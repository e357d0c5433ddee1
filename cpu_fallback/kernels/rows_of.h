/* Included by rows.c for each REAL; WHOLE is the integer of its size.
 *
 * A row's products with the sums of rare features are added up first, then those with frequent
 * ones, each in the order of the row's non-zeros: neither how rows are shared out among threads
 * nor which other clusters there are makes a difference to a cost. */

typedef REAL NAMED(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef WHOLE NAMED(wholes) __attribute__((vector_size(VECTOR_BYTES)));

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define VECTOR NAMED(vector)
#define WHOLES NAMED(wholes)
#define ENTRY NAMED(entry)
#define SUMS NAMED(sums)

/* What a cluster sums up of a rare feature. */
typedef struct {
    int32_t cluster;
    REAL value;
} ENTRY;

/* The sums of k clusters: see Sums in sums.py. */
typedef struct {
    int64_t k, n_vectors, width, lists;
    const int32_t* place;
    const int32_t* start;
    REAL* runs;
    int32_t* length;
    ENTRY* entries;
    int32_t* members;
} SUMS;

/* Add the rows' products with rare features to their scores, and list what is left of them:
 * the places and values of frequent features, those of a row from first[row] on. */
static void NAMED(rare_products)(
    int64_t n, const int32_t* indptr, const int32_t* indices, const REAL* values,
    const SUMS* sums, REAL* scores, int32_t* first, int32_t* places, REAL* factors)
{
    int32_t listed = 0;
    for (int64_t row = 0; row < n; ++row, scores += sums->width) {
        memset(scores, 0, sums->width * sizeof(REAL));
        first[row] = listed;
        const int64_t end = indptr[row + 1];
        for (int64_t j = indptr[row]; j < end; ++j) {
            if (j + FAR_AHEAD < end && sums->place[indices[j + FAR_AHEAD]] < 0)
                __builtin_prefetch(sums->entries + sums->start[indices[j + FAR_AHEAD]]);
            const int32_t f = indices[j], place = sums->place[f];
            const REAL value = values[j];
            if (place >= 0) {
                places[listed] = place;
                factors[listed++] = value;
                continue;
            }
            const ENTRY* entry = sums->entries + sums->start[f];
            for (const ENTRY* last = entry + sums->length[f]; entry < last; ++entry)
                scores[entry->cluster] += value * entry->value;
        }
    }
    first[n] = listed;
}

/* Turn a row's products with clusters [begin, begin + n_vectors * LANES) into costs; return the
 * least of them and its cluster, the lowest of equal ones. `label` is left out, if it is here. */
static inline __attribute__((always_inline)) REAL NAMED(cheapest)(
    const int n_vectors, int64_t begin, VECTOR* scored, const VECTOR* qs, const VECTOR* sizes,
    const REAL w, const REAL taken, int64_t label, WHOLE* cluster)
{
    WHOLES lanes;
    for (int i = 0; i < LANES; ++i) lanes[i] = i;
    for (int v = 0; v < n_vectors; ++v)
        scored[v] = (qs[v] - 2 * scored[v] - taken) / (sizes[v] + w);
    if (label >= 0 && label < n_vectors * LANES) ((REAL*)scored)[label] = INFINITY;
    /* Less where the difference has its sign bit set: compilers that take a comparison of
     * vectors apart, element by element, leave this whole. */
    VECTOR best = (VECTOR){0} + LARGEST;
    WHOLES at = lanes * 0 + (WHOLE)begin;
    for (int v = 0; v < n_vectors; ++v) {
        const WHOLES less = (WHOLES)(scored[v] - best) >> (8 * sizeof(REAL) - 1);
        best = (VECTOR)(((WHOLES)scored[v] & less) | ((WHOLES)best & ~less));
        at = ((lanes + (WHOLE)(begin + v * LANES)) & less) | (at & ~less);
    }
    REAL least = best[0];
    *cluster = at[0];
    for (int i = 1; i < LANES; ++i)
        if (best[i] < least || (best[i] == least && at[i] < *cluster)) {
            least = best[i];
            *cluster = at[i];
        }
    return least;
}

/* The rows against the clusters [begin, begin + n_vectors * LANES). Their scores, so far the
 * products with rare features, become costs. */
static inline __attribute__((always_inline)) void NAMED(tile)(
    const int n_vectors, int64_t n, int64_t begin, const SUMS* sums, const int32_t* first,
    const int32_t* places, const REAL* factors, const REAL* q, const REAL* size,
    const int32_t* labels, const REAL* weight, const REAL* wx2, REAL* scores, int32_t* nearest,
    REAL* cost, REAL* own)
{
    const VECTOR* qs = (const VECTOR*)(q + begin);
    const VECTOR* sizes = (const VECTOR*)(size + begin);
    for (int64_t row = 0; row < n; ++row) {
        VECTOR* scored = (VECTOR*)(scores + row * sums->width + begin);
        VECTOR product[MOST_VECTORS];
        UNROLLED
        for (int v = 0; v < n_vectors; ++v) product[v] = scored[v];
        for (int32_t j = first[row]; j < first[row + 1]; ++j) {
            if (j + AHEAD < first[row + 1]) {
                const REAL* next = sums->runs + places[j + AHEAD] * sums->width + begin;
                UNROLLED
                for (int v = 0; v < n_vectors; ++v) __builtin_prefetch(next + v * LANES);
            }
            const VECTOR* run = (const VECTOR*)(sums->runs + places[j] * sums->width + begin);
            const REAL factor = factors[j];
            UNROLLED
            for (int v = 0; v < n_vectors; ++v) product[v] += factor * run[v];
        }
        UNROLLED
        for (int v = 0; v < n_vectors; ++v) scored[v] = product[v];
        const REAL w = labels ? weight[row] : 0, taken = labels ? wx2[row] : 0;
        const int64_t label = labels ? labels[row] - begin : -1;
        if (label >= 0 && label < n_vectors * LANES) own[row] = ((REAL*)scored)[label];
        WHOLE cluster;
        const REAL least =
            NAMED(cheapest)(n_vectors, begin, scored, qs, sizes, w, taken, label, &cluster);
        if (begin == 0 || least < cost[row]) {
            cost[row] = least < LARGEST ? least : INFINITY;
            nearest[row] = (int32_t)cluster;
        }
    }
}

#define TILE(n_vectors)                                                                           \
    NAMED(tile)(n_vectors, n, begin, sums, first, places, factors, q, size, labels, weight, wx2,  \
                scores, nearest, cost, own);

/* The cheapest cluster of each of n rows at (q - 2 P - w x2) / (size + w), the lowest of equal
 * ones, and its cost. With labels the row's own cluster is left out and the product with its sum
 * kept; without, w is 0. `q` is infinite for clusters that are not to be chosen, those beyond k
 * among them. `scores` has room for n * width. With lists, `first` has room for n + 1,
 * `places` and `factors` for as many as the rows have non-zeros; without, they are the rows'. */
EACH_PROCESSOR void NAMED(nearest)(
    int64_t n, const int32_t* indptr, const int32_t* indices, const REAL* values,
    const SUMS* sums, const REAL* q, const REAL* size, const int32_t* labels, const REAL* weight,
    const REAL* wx2, REAL* scores, int32_t* first, int32_t* places, REAL* factors,
    int32_t* nearest, REAL* cost, REAL* own)
{
    if (sums->lists)
        NAMED(rare_products)(n, indptr, indices, values, sums, scores, first, places, factors);
    else
        memset(scores, 0, n * sums->width * sizeof(REAL));
    /* Tiles on the outside: the runs of frequent features, cut to a tile, stay in the cache. The
     * widths are those of TILES in sums.py: each has its code. */
    for (int64_t done = 0; done < sums->n_vectors; done += MOST_VECTORS) {
        const int64_t begin = done * LANES;
        switch (sums->n_vectors - done) {
            case 1: TILE(1) break;
            case 2: TILE(2) break;
            case 4: TILE(4) break;
            case 6: TILE(6) break;
            case 8: TILE(8) break;
            case 12: TILE(12) break;
            default: TILE(16)
        }
    }
}

/* The cheapest cluster of each of n dense rows, whose products with all sums are in `scores`, of
 * n_vectors a row; otherwise as `nearest`. The scores become costs. */
EACH_PROCESSOR void NAMED(least)(
    int64_t n, int64_t n_vectors, REAL* scores, const REAL* q, const REAL* size,
    const int32_t* labels, const REAL* weight, const REAL* wx2, int32_t* nearest, REAL* cost,
    REAL* own)
{
    const VECTOR *qs = (const VECTOR*)q, *sizes = (const VECTOR*)size;
    const int vectors = (int)n_vectors;
    for (int64_t row = 0; row < n; ++row, scores += n_vectors * LANES) {
        const REAL w = labels ? weight[row] : 0, taken = labels ? wx2[row] : 0;
        const int64_t label = labels ? labels[row] : -1;
        if (label >= 0) own[row] = scores[label];
        WHOLE cluster;
        const REAL least = NAMED(cheapest)(
            vectors, 0, (VECTOR*)scores, qs, sizes, w, taken, label, &cluster);
        cost[row] = least < LARGEST ? least : INFINITY;
        nearest[row] = (int32_t)cluster;
    }
}

/* Sum the features [start, stop) of n dense rows by cluster, in double: `sums` is k rows of as
 * many features as the rows have. `weight` may be null, for ones. */
EACH_PROCESSOR LOOPS_AS_VECTORS void NAMED(sum_dense)(
    int64_t n, int64_t n_features, int64_t start, int64_t stop, const REAL* restrict rows,
    const int32_t* labels, const double* weight, double* restrict sums)
{
    for (int64_t i = 0; i < n; ++i) {
        const REAL* restrict row = rows + i * n_features;
        double* restrict sum = sums + labels[i] * n_features;
        const double w = weight ? weight[i] : 1;
        for (int64_t f = start; f < stop; ++f) sum[f] += w * row[f];
    }
}

/* Sum the features [start, stop) of the rows by cluster, from the columns (CSC), in double.
 * `weight` may be null, for ones. `exact` and `seen` are k zeros each, and are so again
 * afterwards; the squares of the sums are added to `squares`. */
EACH_PROCESSOR LOOPS_AS_VECTORS void NAMED(sum_features)(
    int64_t start, int64_t stop, const int32_t* colptr, const int32_t* rows, const REAL* values,
    const int32_t* labels, const double* weight, const SUMS* sums, double* restrict exact,
    int32_t* restrict seen, double* restrict squares)
{
    for (int64_t f = start; f < stop; ++f) {
        const int64_t begin = colptr[f], end = colptr[f + 1];
        if (weight)
            for (int64_t j = begin; j < end; ++j)
                exact[labels[rows[j]]] += weight[rows[j]] * values[j];
        else
            for (int64_t j = begin; j < end; ++j) exact[labels[rows[j]]] += values[j];
        if (sums->place[f] < 0) {
            for (int64_t j = begin; j < end; ++j) ++seen[labels[rows[j]]];
            int32_t at = sums->start[f];
            for (int64_t j = begin; j < end; ++j) {
                const int32_t c = labels[rows[j]];
                if (!seen[c]) continue; /* a second member */
                sums->entries[at] = (ENTRY){c, (REAL)exact[c]};
                sums->members[at++] = seen[c];
                squares[c] += exact[c] * exact[c];
                exact[c] = 0;
                seen[c] = 0;
            }
            sums->length[f] = at - sums->start[f];
        } else {
            REAL* restrict run = sums->runs + sums->place[f] * sums->width;
            const int64_t k = sums->k;
            for (int64_t c = 0; c < k; ++c) {
                run[c] = (REAL)exact[c];
                squares[c] += exact[c] * exact[c];
                exact[c] = 0;
            }
        }
    }
}

/* Add to one sum; return by how much its square grew. A list has room for as many clusters as
 * rows have the feature, so one more always fits once those without members are gone. */
static double NAMED(add)(const SUMS* sums, int32_t f, int32_t cluster, double change, int joins)
{
    REAL* sum;
    double before;
    if (sums->place[f] >= 0) {
        sum = sums->runs + sums->place[f] * sums->width + cluster;
        before = *sum;
    } else {
        ENTRY* entries = sums->entries + sums->start[f];
        int32_t* members = sums->members + sums->start[f];
        int32_t at = 0;
        while (at < sums->length[f] && entries[at].cluster != cluster) ++at;
        if (at == sums->length[f]) {
            entries[at] = (ENTRY){cluster, 0};
            members[at] = 0;
            ++sums->length[f];
        }
        sum = &entries[at].value;
        before = *sum;
        members[at] += joins ? 1 : -1;
        if (members[at] == 0) { /* nothing but rounding is left of it */
            const int32_t last = --sums->length[f];
            entries[at] = entries[last];
            members[at] = members[last];
            return -before * before;
        }
    }
    *sum = (REAL)(before + change);
    return (*sum - before) * (*sum + before);
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
        const ENTRY* entry = sums->entries + sums->start[f];
        for (const ENTRY* last = entry + sums->length[f]; entry < last; ++entry)
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
        const ENTRY* entry = sums->entries + sums->start[f];
        for (const ENTRY* last = entry + sums->length[f]; entry < last; ++entry) {
            squares[entry->cluster] += from[entry->cluster] * from[entry->cluster];
            from[entry->cluster] = 0;
        }
    }
}

/* By how much the features [start, stop) of sums, each cluster's times its number in `scale`, and
 * of others come to together: the squares are added to those of each cluster. `room` is k zeros,
 * and is so again afterwards. */
EACH_PROCESSOR LOOPS_AS_VECTORS void NAMED(shift)(
    int64_t start, int64_t stop, const SUMS* old, const double* old_scale, const SUMS* new,
    const double* new_scale, double* restrict room, double* restrict squares)
{
    const int64_t k = old->k;
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

#undef LANES
#undef VECTOR
#undef WHOLES
#undef ENTRY
#undef SUMS
#undef TILE
