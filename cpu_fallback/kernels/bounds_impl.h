/* Included by rows_impl.h: how far rows that moved took clusters with them, as other rows see it. */

/* Vectors of a feature's rises and falls, GROUPS of each, and of what it is in SINGLES means. */
#define DRIFTS ((2 * GROUPS + SINGLES + LANES - 1) / LANES)

/* Changes that are to be summed up: see `sum_changes`. */
typedef struct {
    int64_t n_features;
    const int64_t *begins, *which, *room;
    const double *weight, *scale;
    const int32_t *indptr, *indices;
    const REAL* values;
    double* sums;
    int64_t* found;
    int32_t* features;
    REAL* by;
    double* squares;
} CHANGES;

static void NAMED(sum_changes_of)(const void* about, int64_t c, int who)
{
    const CHANGES* all = about;
    double* sum = all->sums + who * all->n_features;
    int32_t* features = all->features + all->room[c];
    REAL* by = all->by + all->room[c];
    int64_t found = 0;
    for (int64_t i = all->begins[c]; i < all->begins[c + 1]; ++i) {
        const int64_t row = all->which[i];
        for (int64_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j) {
            double* at = sum + all->indices[j];
            features[found] = all->indices[j];
            found += *at == 0;
            *at += all->weight[i] * all->values[j];
        }
    }
    double square = 0;
    for (int64_t at = 0; at < found; ++at) {
        const double change = sum[features[at]] * all->scale[c];
        sum[features[at]] = 0;
        square += change * change;
        by[at] = (REAL)change;
    }
    all->found[c] = found;
    all->squares[c] = square;
}

/* By how much the mean of each of n clusters changed, and the square of that. Its changes are
 * those from begins[c] to begins[c + 1], of which each added `weight` times a row of `which` to its
 * sum, and `scale` times that to its mean. Found are, from room[c] on, so many features, some maybe
 * more than once, and `by` how much each changed; there is room for as many as non-zeros. `sums`
 * is a zero for each thread and feature, and so again afterwards. */
void NAMED(sum_changes)(
    int64_t threads, int64_t n, int64_t n_features, const int64_t* begins, const int64_t* which,
    const int64_t* room, const double* weight, const double* scale, const int32_t* indptr,
    const int32_t* indices, const REAL* values, double* sums, int64_t* found, int32_t* features,
    REAL* by, double* squares)
{
    const CHANGES all = {n_features, begins, which, room, weight, scale, indptr, indices,
                         values, sums, found, features, by, squares};
    parallel_for(threads, n, NAMED(sum_changes_of), &all);
}

/* For each feature, by how much its mean rose at most in a cluster of each group, by how much it
 * fell, and what it is in single means: a row of DRIFTS vectors in `table`, of zeros before. Of
 * what `sum_changes` found for n clusters, each of the first has a group, and the n_single last are
 * means. */
void NAMED(spread_changes)(
    int64_t n, int64_t n_single, const int64_t* room, const int64_t* found,
    const int32_t* features, const REAL* by, const int32_t* group, REAL* table)
{
    for (int64_t c = 0; c < n; ++c)
        for (int64_t at = room[c]; at < room[c] + found[c]; ++at) {
            REAL* to = table + (int64_t)features[at] * DRIFTS * LANES;
            if (c >= n - n_single)
                to[2 * GROUPS + c - (n - n_single)] += by[at];
            else if (by[at] > to[group[c]])
                to[group[c]] = by[at];
            else if (-by[at] > to[group[c] + GROUPS])
                to[group[c] + GROUPS] = -by[at];
        }
}

/* Leave nothing of that but zeros. */
void NAMED(clear_changes)(
    int64_t n, const int64_t* room, const int64_t* found, const int32_t* features, REAL* table)
{
    for (int64_t c = 0; c < n; ++c)
        for (int64_t at = room[c]; at < room[c] + found[c]; ++at)
            memset(table + (int64_t)features[at] * DRIFTS * LANES, 0, DRIFTS * VECTOR_BYTES);
}

/* Rows, their bounds, and what became of the clusters: see `update_bounds`. */
typedef struct {
    int64_t n, n_segments, is_signed;
    const int32_t *indptr, *indices;
    const REAL *values, *table;
    const int32_t *labels, *group;
    const double *offset, *factor, *range, *line_offset, *line_factor;
    const int32_t* single;
    const double *single_cost, *rounding_error, *cost, *second;
    double *most, *least;
    uint8_t* meets;
} LOOSENING;

INLINED void NAMED(loosen_some)(
    const int is_signed, const LOOSENING* all, int64_t first, int64_t last)
{
    for (int64_t row = first; row < last; ++row) {
        /* From a negative value, what rises takes the cluster away. */
        VECTOR by[DRIFTS] = {{0}}, against[DRIFTS] = {{0}};
        const int32_t begin = all->indptr[row], end = all->indptr[row + 1];
        for (int32_t j = begin; j < end; ++j) {
            const VECTOR* drift = (const VECTOR*)all->table + all->indices[j] * (int64_t)DRIFTS;
            const REAL value = all->values[j], minus = is_signed && value < 0 ? -value : 0;
            UNROLLED
            for (int v = 0; v < DRIFTS; ++v) {
                by[v] += (value + minus) * drift[v];
                if (is_signed) against[v] += minus * drift[v];
            }
        }
        const REAL *forth = (const REAL*)by, *back = (const REAL*)against;
        /* Twice that, and what may have been rounded off. */
        const double times = 2 * (1 + (end - begin + 4) * (double)ROUNDING);
        const double second = all->second[row], rounding_error = all->rounding_error[row];
        int64_t segment = (int64_t)((second - all->range[0]) * all->range[1]);
        if (segment < 0) segment = 0;
        if (segment > all->n_segments - 1) segment = all->n_segments - 1;
        const double* offset = all->line_offset + segment * GROUPS;
        const double* factor = all->line_factor + segment * GROUPS;
        double least = all->range[2] + second;
        for (int g = 0; g < GROUPS; ++g) {
            const double rise = times * (forth[g] + back[g + GROUPS]);
            const double other = offset[g] + factor[g] * second - rise;
            least = other < least ? other : least;
        }
        const int32_t label = all->labels[row];
        const int32_t mine = all->group[label];
        const double fall = mine < 0 ? 0 : times * (forth[mine + GROUPS] + back[mine]);
        double most = all->offset[label] + all->factor[label] * all->cost[row] + fall;
        for (int s = 0; s < SINGLES; ++s) {
            const int at = 2 * GROUPS + s;
            const double exact = all->single_cost[s] - 2 * (double)(forth[at] - back[at]);
            if (label == all->single[s])
                most = exact + rounding_error;
            else
                least = exact - rounding_error < least ? exact - rounding_error : least;
        }
        all->most[row] = most;
        all->least[row] = least;
        all->meets[row] = !(most + 2 * rounding_error < least);
    }
}

static void NAMED(loosen_rows)(const void* about, int64_t task, int who)
{
    (void)who;
    const LOOSENING* all = about;
    const int64_t first = task * ROWS_OF_A_TASK, left = all->n - first;
    const int64_t last = first + (left < ROWS_OF_A_TASK ? left : ROWS_OF_A_TASK);
    if (all->is_signed)
        NAMED(loosen_some)(1, all, first, last);
    else
        NAMED(loosen_some)(0, all, first, last);
}

/* What the cluster of each of n rows costs at most, and any other at least, now that clusters have
 * changed, and whether the one meets the other but for what costs are rounded off by, `rounding_error`: see
 * gpu_kmeans/clustering/bounds.py. `table` is that of `spread_changes`; a cluster that has not changed has no
 * group, -1. `range` holds the lowest cost, the segments of a unit of cost, and what is added for
 * the clusters that have not changed. */
void NAMED(update_bounds)(
    int64_t threads, int64_t n, int64_t n_segments, int64_t is_signed, const int32_t* indptr,
    const int32_t* indices, const REAL* values, const REAL* table, const int32_t* labels,
    const int32_t* group, const double* offset, const double* factor, const double* range,
    const double* line_offset, const double* line_factor, const int32_t* single, const double* single_cost,
    const double* rounding_error, const double* cost, const double* second, double* most, double* least,
    uint8_t* meets)
{
    const LOOSENING all = {
        .n = n, .n_segments = n_segments, .is_signed = is_signed, .indptr = indptr,
        .indices = indices, .values = values, .table = table, .labels = labels, .group = group,
        .offset = offset, .factor = factor, .range = range, .line_offset = line_offset,
        .line_factor = line_factor, .single = single, .single_cost = single_cost,
        .rounding_error = rounding_error, .cost = cost, .second = second, .most = most, .least = least,
        .meets = meets};
    parallel_for(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, NAMED(loosen_rows), &all);
}

#undef DRIFTS
