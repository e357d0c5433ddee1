/* Included by rows_impl.h: sums of sparse rows by cluster. */

/* What a cluster sums up of a rare feature. */
typedef struct {
    int32_t cluster;
    REAL value;
} ENTRY;

/* Where a rare feature's list stands. */
typedef struct {
    int32_t start, length;
} SPAN;

/* The sums of k clusters: see Sums in compiled/sums.py. */
typedef struct {
    int64_t k, n_vectors, width;
    const int32_t* place;
    REAL* runs;
    SPAN* spans;
    ENTRY* entries;
    int32_t* members;
    double *exact, *exact_entries; /* runs of k and entries before they were rounded; or null */
} SUMS;

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
        const int64_t place = all->sums->place[all->feature[column]];
        UNROLLED
        for (int part = 0; part < n_parts; ++part) {
            const DOUBLE whole = (sum[0][part] + sum[1][part]) + (sum[2][part] + sum[3][part]);
            square[part] += whole * whole;
            UNROLLED
            for (int i = 0; i < DOUBLES; ++i) {
                const int64_t c = part * DOUBLES + i;
                all->sums->runs[place * all->sums->width + c] = (REAL)whole[i];
                if (all->sums->exact && c < all->sums->k)
                    all->sums->exact[place * all->sums->k + c] = whole[i];
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
    if (sums->k <= LANES)
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
        const int many = end - begin > WAYS * sums->k;
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
            memcpy(sums->exact + sums->place[f] * sums->k, exact, sums->k * sizeof(double));
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
    parallel_for(threads, n_bands, NAMED(sum_band), &all);
}

/* Add to one sum; return by how much its square grew. A list has room for as many clusters as
 * rows have the feature, so one more always fits once those without members are gone. */
static double NAMED(add)(const SUMS* sums, int32_t f, int32_t cluster, double change, int joins)
{
    REAL* sum;
    double* exact = NULL;
    if (sums->place[f] >= 0) {
        sum = sums->runs + sums->place[f] * sums->width + cluster;
        if (sums->exact) exact = sums->exact + sums->place[f] * sums->k + cluster;
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

/* Rows that are to be moved: see `move`. */
typedef struct {
    int64_t n, height;
    const int64_t* which;
    const int32_t *source, *target;
    const double* weight;
    const int32_t *indptr, *indices;
    const REAL* values;
    const SUMS* sums;
    double* squares;
} MOVING;

/* Where a moved row's features from `low` on begin. Their sums up to `high` are called for. */
static inline int64_t NAMED(find_moved)(const MOVING* all, int64_t i, int64_t low, int64_t high)
{
    const SUMS* sums = all->sums;
    int64_t begin = all->indptr[all->which[i]];
    const int64_t end = all->indptr[all->which[i] + 1];
    while (begin < end && all->indices[begin] < low) ++begin;
    for (int64_t j = begin; j < end && all->indices[j] < high; ++j) {
        const int64_t place = sums->place[all->indices[j]];
        if (place < 0) {
            __builtin_prefetch(sums->entries + sums->spans[all->indices[j]].start);
            continue;
        }
        __builtin_prefetch(sums->runs + place * sums->width + all->source[i]);
        __builtin_prefetch(sums->runs + place * sums->width + all->target[i]);
        if (!sums->exact) continue;
        __builtin_prefetch(sums->exact + place * sums->k + all->source[i]);
        __builtin_prefetch(sums->exact + place * sums->k + all->target[i]);
    }
    return begin;
}

static void NAMED(move_band)(const void* about, int64_t band, int who)
{
    (void)who;
    const MOVING* all = about;
    const int64_t low = band * all->height, high = low + all->height;
    double* squares = all->squares + band * all->sums->k;
    int64_t next = NAMED(find_moved)(all, 0, low, high);
    for (int64_t i = 0; i < all->n; ++i) {
        int64_t j = next;
        if (i + 1 < all->n) next = NAMED(find_moved)(all, i + 1, low, high);
        const int32_t source = all->source[i], target = all->target[i];
        for (; j < all->indptr[all->which[i] + 1] && all->indices[j] < high; ++j) {
            const double change = all->weight[i] * all->values[j];
            squares[source] += NAMED(add)(all->sums, all->indices[j], source, -change, 0);
            squares[target] += NAMED(add)(all->sums, all->indices[j], target, change, 1);
        }
    }
}

/* Take rows, whose indices are sorted, out of their clusters' sums and put them into others', in
 * bands of `height` features; by how much the squared norms grew is added to those of each band,
 * `squares`. */
void NAMED(move)(
    int64_t threads, int64_t n_bands, int64_t n, int64_t height, const int64_t* which,
    const int32_t* source, const int32_t* target, const double* weight, const int32_t* indptr,
    const int32_t* indices, const REAL* values, const SUMS* sums, double* squares)
{
    const MOVING all = {n, height, which, source, target, weight, indptr, indices,
                        values, sums, squares};
    if (n > 0) parallel_for(threads, n_bands, NAMED(move_band), &all);
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
    parallel_for(threads, (n_features + height - 1) / height, NAMED(shift_band), &all);
}
