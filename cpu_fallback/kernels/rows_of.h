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

/* What a cluster sums up of a rare feature. */
typedef struct {
    int32_t cluster;
    REAL value;
} ENTRY;

/* The sums of k clusters: see Sums in compiled/sums.py. */
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

/* Each number of `yes` where the sign of `which` is set, else of `no`. Compilers that take a
 * comparison of vectors apart, element by element, leave this whole. */
INLINED WHOLES NAMED(either)(
    const WHOLES which, const WHOLES yes, const WHOLES no)
{
    const WHOLES set = which >> SIGN;
    return (yes & set) | (no & ~set);
}

/* Turn a row's products with clusters [begin, begin + n_vectors * LANES) into costs; return the
 * least of them and its cluster, the lowest of equal ones. `label` is left out, if it is here.
 * Costs are (q - 2 P - taken) / (scale + weight), or without a weight (q - 2 P - taken) * scale:
 * where all rows weigh the same, nothing need be divided. */
INLINED REAL NAMED(cheapest)(
    const int n_vectors, int64_t begin, VECTOR* scored, const VECTOR* qs, const VECTOR* scales,
    const REAL* weight, const REAL taken, int64_t label, WHOLE* cluster)
{
    WHOLES lanes;
    for (int i = 0; i < LANES; ++i) lanes[i] = i;
    if (weight)
        for (int v = 0; v < n_vectors; ++v)
            scored[v] = (qs[v] - 2 * scored[v] - taken) / (scales[v] + *weight);
    else
        for (int v = 0; v < n_vectors; ++v) scored[v] = (qs[v] - 2 * scored[v] - taken) * scales[v];
    if (label >= 0 && label < n_vectors * LANES) ((REAL*)scored)[label] = INFINITY;
    VECTOR best = (VECTOR){0} + LARGEST; /* so that no difference is that of two infinities */
    WHOLES at = lanes * 0 + (WHOLE)begin;
    for (int v = 0; v < n_vectors; ++v) {
        const WHOLES less = (WHOLES)(scored[v] - best);
        best = (VECTOR)NAMED(either)(less, (WHOLES)scored[v], (WHOLES)best);
        at = NAMED(either)(less, lanes + (WHOLE)(begin + v * LANES), at);
    }
    /* Lanes are compared with those half as far away, and so on: no branch to guess. */
    UNROLLED
    for (int half = LANES / 2; half > 0; half /= 2) {
        VECTOR other;
        WHOLES there;
        EXCHANGE(other, best, lanes, half);
        EXCHANGE(there, at, lanes, half);
        const WHOLES less = (WHOLES)(other - best);
        const WHOLES take = less | (~(less | -less) & (there - at));
        best = (VECTOR)NAMED(either)(take, (WHOLES)other, (WHOLES)best);
        at = NAMED(either)(take, there, at);
    }
    *cluster = at[0];
    return best[0];
}

/* What a row's products with the clusters from `begin` on say of it. */
INLINED void NAMED(settle)(
    const int n_vectors, int64_t begin, VECTOR* scored, const REAL* q, const REAL* scale,
    const int32_t* labels, const REAL* weight, const REAL* wx2, int32_t* nearest, REAL* cost,
    REAL* own)
{
    const int64_t label = labels ? *labels - begin : -1;
    if (label >= 0 && label < n_vectors * LANES) *own = ((REAL*)scored)[label];
    WHOLE cluster;
    const REAL least = NAMED(cheapest)(
        n_vectors, begin, scored, (const VECTOR*)(q + begin), (const VECTOR*)(scale + begin),
        weight, wx2 ? *wx2 : 0, label, &cluster);
    if (begin == 0 || least < *cost) {
        *cost = least < LARGEST ? least : INFINITY;
        *nearest = (int32_t)cluster;
    }
}

#define FROM(array) ((array) ? (array) + row : NULL)
#define SETTLE(n_vectors, begin, scored)                                                          \
    NAMED(settle)(n_vectors, begin, scored, q, scale, FROM(labels), FROM(weight), FROM(wx2),      \
                  nearest + row, cost + row, FROM(own))

/* Add a non-zero's products with the sums of its feature, and call for those of one further on. */
INLINED void NAMED(add_run)(
    const int n_vectors, const SUMS* sums, int64_t begin, const int32_t* places,
    const REAL* factors, int32_t j, int32_t end, VECTOR* product)
{
    if (n_vectors >= CALLED_FOR && j + AHEAD < end) {
        const REAL* next = sums->runs + places[j + AHEAD] * sums->width + begin;
        UNROLLED
        for (int v = 0; v < n_vectors; ++v) __builtin_prefetch(next + v * LANES);
    }
    const VECTOR* run = (const VECTOR*)(sums->runs + places[j] * sums->width + begin);
    const REAL factor = factors[j];
    UNROLLED
    for (int v = 0; v < n_vectors; ++v) product[v] += factor * run[v];
}

/* One row, or two, against the clusters [begin, begin + n_vectors * LANES). Scores are so far the
 * products with rare features. */
INLINED void NAMED(tile)(
    const int n_rows, const int n_vectors, int64_t begin, const SUMS* sums, const int32_t* first,
    const int32_t* places, const REAL* factors, REAL* scores)
{
    VECTOR product[2 * MOST_VECTORS];
    UNROLLED
    for (int r = 0; r < n_rows; ++r)
        UNROLLED
        for (int v = 0; v < n_vectors; ++v)
            product[r * n_vectors + v] = ((VECTOR*)(scores + r * sums->width))[v];
    int32_t both = n_rows == 1 ? 0 : first[1] - first[0];
    if (n_rows == 2 && first[2] - first[1] < both) both = first[2] - first[1];
    for (int32_t j = 0; j < both; ++j)
        UNROLLED
        for (int r = 0; r < n_rows; ++r)
            NAMED(add_run)(n_vectors, sums, begin, places, factors, first[r] + j, first[r + 1],
                           product + r * n_vectors);
    UNROLLED
    for (int r = 0; r < n_rows; ++r) {
        for (int32_t j = first[r] + both; j < first[r + 1]; ++j)
            NAMED(add_run)(n_vectors, sums, begin, places, factors, j, first[r + 1],
                           product + r * n_vectors);
        UNROLLED
        for (int v = 0; v < n_vectors; ++v)
            ((VECTOR*)(scores + r * sums->width))[v] = product[r * n_vectors + v];
    }
}

/* A sum waits for the one before it: where a row has few vectors, two rows take turns. */
#define TILE(n_vectors)                                                                           \
    case n_vectors: {                                                                             \
        const int n_rows = n_vectors <= IN_TURNS ? 2 : 1;                                         \
        for (int64_t top = 0; top < n; top += n_rows) {                                           \
            REAL* scored = scores + top * sums->width + begin;                                    \
            const int64_t bottom = top + n_rows < n ? top + n_rows : n;                           \
            if (n_rows == 2 && bottom - top == 2)                                                           \
                NAMED(tile)(2, n_vectors, begin, sums, first + top, places, factors, scored);     \
            else                                                                                  \
                NAMED(tile)(1, n_vectors, begin, sums, first + top, places, factors, scored);     \
            for (int64_t row = top; row < bottom; ++row, scored += sums->width)                   \
                SETTLE(n_vectors, begin, (VECTOR*)scored);                                        \
        }                                                                                         \
        break;                                                                                    \
    }

/* The cheapest cluster of each of n rows, the lowest of equal ones, and its cost; see `cheapest`.
 * With labels the row's own cluster is left out and the product with its sum kept. `q` is infinite
 * for clusters that are not to be chosen, those beyond k among them. `weight` and `wx2`, what is
 * taken from a row's costs, may be null. `scores` has room for n * width. With lists, `first` has
 * room for n + 1, `places` and `factors` for as many as the rows have non-zeros; without, they are
 * the rows'. */
void NAMED(nearest)(
    int64_t n, const int32_t* indptr, const int32_t* indices, const REAL* values,
    const SUMS* sums, const REAL* q, const REAL* scale, const int32_t* labels, const REAL* weight,
    const REAL* wx2, REAL* scores, int32_t* first, int32_t* places, REAL* factors,
    int32_t* nearest, REAL* cost, REAL* own)
{
    if (sums->lists)
        NAMED(rare_products)(n, indptr, indices, values, sums, scores, first, places, factors);
    else
        memset(scores, 0, n * sums->width * sizeof(REAL));
    /* Tiles on the outside: the runs of frequent features, cut to a tile, stay in the cache. */
    const int64_t tiles = (sums->n_vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t first_vector = tile * sums->n_vectors / tiles, begin = first_vector * LANES;
        switch ((tile + 1) * sums->n_vectors / tiles - first_vector) {
            EACH_TILE(TILE)
        }
    }
}

/* Some dense rows, of which each has its product with a vector of clusters in a register, against
 * the clusters [begin, begin + n_vectors * LANES). `sums` has a vector for each feature, and those
 * of the next clusters follow. */
INLINED void NAMED(dense_tile)(
    const int n_rows, const int n_vectors, int64_t n_features, int64_t begin, const REAL* rows,
    const VECTOR* sums, const REAL* q, const REAL* scale, const int32_t* labels,
    const REAL* weight, const REAL* wx2, int32_t* nearest, REAL* cost, REAL* own)
{
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
    for (int64_t row = 0; row < n_rows; ++row)
        SETTLE(n_vectors, begin, scores + row * n_vectors);
}

#define DENSE_TILE(n_rows, n_vectors)                                                             \
    NAMED(dense_tile)(n_rows, n_vectors, n_features, vector * LANES, rows + row * n_features,     \
                      sums + vector * n_features, q, scale, FROM(labels), FROM(weight),           \
                      FROM(wx2), nearest + row, cost + row, FROM(own));
#define DENSE_TILES(n_vectors)                                                                    \
    case n_vectors:                                                                               \
        for (; row + DENSE_ROWS <= bottom; row += DENSE_ROWS) DENSE_TILE(DENSE_ROWS, n_vectors)   \
        for (; row < bottom; ++row) DENSE_TILE(1, n_vectors)                                      \
        break;

/* The cheapest cluster of each of n dense rows; otherwise as `nearest`. The sums stand vector by
 * vector of clusters, and there feature by feature. All clusters go by `height` rows at a time, as
 * many as stay in the cache. */
void NAMED(nearest_dense)(
    int64_t n, int64_t n_features, int64_t n_vectors, int64_t height, const REAL* rows,
    const VECTOR* sums, const REAL* q, const REAL* scale, const int32_t* labels,
    const REAL* weight, const REAL* wx2, int32_t* nearest, REAL* cost, REAL* own)
{
    for (int64_t top = 0; top < n; top += height)
        for (int64_t vector = 0; vector < n_vectors; vector += DENSE_VECTORS) {
            const int64_t bottom = top + height < n ? top + height : n, left = n_vectors - vector;
            int64_t row = top;
            switch (left < DENSE_VECTORS ? left : DENSE_VECTORS) {
                EACH_DENSE_TILE(DENSE_TILES)
            }
        }
}

/* Sum the features [start, stop) of n dense rows by cluster, in double: `sums` is k rows of as
 * many features as the rows have. `weight` may be null, for ones. */
LOOPS_AS_VECTORS void NAMED(sum_dense)(
    int64_t n, int64_t n_features, int64_t start, int64_t stop, const REAL* restrict rows,
    const int32_t* labels, const double* weight, double* restrict sums)
{
    for (int64_t i = 0; i < n; ++i) {
        const REAL* restrict row = rows + i * n_features;
        double* restrict sum = sums + labels[i] * n_features;
        const double w = weight ? weight[i] : 1;
        for (int64_t f = start; f < stop; f += LINE)
            __builtin_prefetch(row + DENSE_AHEAD * n_features + f);
        for (int64_t f = start; f < stop; ++f) sum[f] += w * row[f];
    }
}

/* Sum columns by at most LANES clusters: see `sum_features`. A row's value is added to all sums at
 * once, times one or nothing. Were it added to one sum in memory, the vector of all of them could
 * not be read until the last of it is written, for each feature anew. */
LOOPS_AS_VECTORS static void NAMED(sum_few)(
    int64_t start, int64_t stop, const int32_t* feature, const int32_t* colptr,
    const int32_t* rows, const REAL* values, const int32_t* labels, const double* weight,
    const SUMS* sums, double* restrict squares)
{
    enum { DOUBLES = VECTOR_BYTES / sizeof(double), PARTS = LANES / DOUBLES };
    DOUBLE one[LANES][PARTS], square[PARTS];
    for (int c = 0; c < LANES; ++c)
        for (int i = 0; i < LANES; ++i) one[c][i / DOUBLES][i % DOUBLES] = i == c;
    for (int part = 0; part < PARTS; ++part) square[part] = (DOUBLE){0};
    for (int64_t column = start; column < stop; ++column) {
        DOUBLE sum[2][PARTS];
        UNROLLED
        for (int part = 0; part < PARTS; ++part) sum[0][part] = sum[1][part] = (DOUBLE){0};
        int64_t j = colptr[column];
        const int64_t end = colptr[column + 1];
        for (; j < end; ++j) {
            const double value = weight ? weight[rows[j]] * values[j] : values[j];
            UNROLLED
            for (int part = 0; part < PARTS; ++part)
                sum[0][part] += value * one[labels[rows[j]]][part];
            if (++j == end) break;
            const double next = weight ? weight[rows[j]] * values[j] : values[j];
            UNROLLED
            for (int part = 0; part < PARTS; ++part)
                sum[1][part] += next * one[labels[rows[j]]][part];
        }
        REAL* run = sums->runs + sums->place[feature[column]] * sums->width;
        UNROLLED
        for (int part = 0; part < PARTS; ++part) {
            sum[0][part] += sum[1][part];
            square[part] += sum[0][part] * sum[0][part];
            UNROLLED
            for (int i = 0; i < DOUBLES; ++i) run[part * DOUBLES + i] = (REAL)sum[0][part][i];
        }
    }
    for (int c = 0; c < LANES; ++c) squares[c] += square[c / DOUBLES][c % DOUBLES];
}

/* Sum the columns [start, stop) of the rows (CSC) by cluster, in double; `feature` says of which
 * feature each is. `weight` may be null, for ones. `exact` is WAYS * width zeros and `seen` k, and they are so again
 * afterwards; the squares of the sums are added to `squares`, which has room for width.
 *
 * A sum that was written a moment ago is late to be read: of a feature with many rows for each
 * cluster, WAYS sums are formed in turns. */
LOOPS_AS_VECTORS void NAMED(sum_features)(
    int64_t start, int64_t stop, const int32_t* feature, const int32_t* colptr,
    const int32_t* rows, const REAL* values, const int32_t* labels, const double* weight,
    const SUMS* sums, double* restrict exact, int32_t* restrict seen, double* restrict squares)
{
    const int64_t width = sums->n_vectors * LANES;
    if (sums->n_vectors == 1 && !sums->lists) {
        NAMED(sum_few)(start, stop, feature, colptr, rows, values, labels, weight, sums, squares);
        return;
    }
    for (int64_t column = start; column < stop; ++column) {
        const int64_t f = feature[column], begin = colptr[column], end = colptr[column + 1];
        const int many = end - begin > WAYS * sums->k;
        int64_t j = begin;
        if (many && !weight)
            for (; j + WAYS <= end; j += WAYS)
                UNROLLED
                for (int way = 0; way < WAYS; ++way)
                    exact[way * width + labels[rows[j + way]]] += values[j + way];
        if (weight)
            for (; j < end; ++j) exact[labels[rows[j]]] += weight[rows[j]] * values[j];
        else
            for (; j < end; ++j) exact[labels[rows[j]]] += values[j];
        if (sums->place[f] < 0) {
            for (j = begin; j < end; ++j) ++seen[labels[rows[j]]];
            int32_t at = sums->start[f];
            for (j = begin; j < end; ++j) {
                const int32_t c = labels[rows[j]];
                if (!seen[c]) continue; /* a second member */
                sums->entries[at] = (ENTRY){c, (REAL)exact[c]};
                sums->members[at++] = seen[c];
                squares[c] += exact[c] * exact[c];
                exact[c] = 0;
                seen[c] = 0;
            }
            sums->length[f] = at - sums->start[f];
            continue;
        }
        if (many)
            for (int way = 1; way < WAYS; ++way)
                for (int64_t c = 0; c < width; ++c) {
                    exact[c] += exact[way * width + c];
                    exact[way * width + c] = 0;
                }
        REAL* restrict run = sums->runs + sums->place[f] * sums->width;
        for (int64_t first = 0; first < width; first += LANES)
            for (int64_t c = first; c < first + LANES; ++c) {
                run[c] = (REAL)exact[c];
                squares[c] += exact[c] * exact[c];
                exact[c] = 0;
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
LOOPS_AS_VECTORS void NAMED(shift)(
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
#undef LINE
#undef SIGN
#undef VECTOR
#undef WHOLES
#undef DOUBLE
#undef ENTRY
#undef SUMS
#undef TILE
#undef FROM
#undef SETTLE
#undef DENSE_TILE
#undef DENSE_TILES
