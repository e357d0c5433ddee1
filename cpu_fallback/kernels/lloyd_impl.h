/* Included by rows_impl.h: Lloyd's iterations over dense rows, from the first to the last.
 *
 * A row is looked at again only where the centroids moved so far that another one may have become the
 * nearest: its distance to its own is bounded above, that to all others below (G. Hamerly, Making
 * k-means even faster, SDM 2010). The rows that are looked at are copied to a tile, feature by
 * feature, so that each lane of a vector has a row: neither few features nor few clusters leave
 * lanes empty. Sums follow the rows that move, in double, part of the rows by part: they do not depend
 * on the number of threads. */

/* Lanes of a tile. */
#define TILE_ROWS (TILE_VECTORS * LANES)

typedef struct {
    int64_t n, n_features, k, height, n_groups;
    const REAL *rows, *norms;
    const double* weight;
    REAL *centers;       /* k x n_features */
    REAL *packed, *q;    /* -2 centers, TILE_CENTERS of them side by side; squared norms */
    REAL *drift, *gap;   /* how far each went; half the distance to the next centroid */
    REAL farthest, runner_up;
    int64_t wanderer;    /* the one that went farthest */
    REAL rounding;       /* of a squared distance, as a share of the norms that it comes from */
    int bounded;         /* whether bounds hold */
    REAL *upper, *lower, *room;
    int32_t* labels;
    double *sums, *totals; /* of each part */
    int64_t* moved;
} LLOYD;

/* The cheapest of some centroids for each row of a tile, and what the next best costs. */
typedef struct {
    VECTOR cost[TILE_VECTORS], second[TILE_VECTORS];
    WHOLES cluster[TILE_VECTORS];
} NEAREST;

INLINED void NAMED(search_tile)(
    const int n_vectors, const LLOYD* all, const VECTOR* tile, NEAREST* best)
{
    const int64_t n_features = all->n_features;
    for (int v = 0; v < n_vectors; ++v) {
        best->cost[v] = best->second[v] = (VECTOR){0} + LARGEST;
        best->cluster[v] = (WHOLES){0};
    }
    for (int64_t group = 0; group < all->n_groups; ++group) {
        const REAL* packed = all->packed + group * n_features * TILE_CENTERS;
        VECTOR cost[TILE_VECTORS * TILE_CENTERS];
        UNROLLED
        for (int c = 0; c < TILE_CENTERS; ++c)
            UNROLLED
            for (int v = 0; v < n_vectors; ++v)
                cost[c * n_vectors + v] = (VECTOR){0} + all->q[group * TILE_CENTERS + c];
        for (int64_t f = 0; f < n_features; ++f, packed += TILE_CENTERS) {
            UNROLLED
            for (int c = 0; c < TILE_CENTERS; ++c)
                UNROLLED
                for (int v = 0; v < n_vectors; ++v)
                    cost[c * n_vectors + v] += packed[c] * tile[f * TILE_VECTORS + v];
        }
        UNROLLED
        for (int c = 0; c < TILE_CENTERS; ++c)
            UNROLLED
            for (int v = 0; v < n_vectors; ++v) {
                const VECTOR one = cost[c * n_vectors + v];
                const WHOLES less = (WHOLES)(one - best->cost[v]);
                const VECTOR worse =
                    (VECTOR)NAMED(either)(less, (WHOLES)best->cost[v], (WHOLES)one);
                best->second[v] = NAMED(lesser)(worse, best->second[v]);
                best->cost[v] = (VECTOR)NAMED(either)(less, (WHOLES)one, (WHOLES)best->cost[v]);
                best->cluster[v] =
                    NAMED(either)(less, (WHOLES){0} + (WHOLE)(group * TILE_CENTERS + c),
                                  best->cluster[v]);
            }
    }
}

/* Distances from squared ones, of which half the rounding is added or taken off. */
LOOPS_OF_ROOTS static void NAMED(roots)(int64_t count, const REAL* squared, REAL* distance)
{
    for (int64_t i = 0; i < count; ++i) distance[i] = ROOT(squared[i] > 0 ? squared[i] : 0);
}

/* Assign the rows of a tile, and have sums follow those that move; returns how many did. */
static int64_t NAMED(settle_tile)(
    const LLOYD* all, int64_t count, const int64_t* which, const VECTOR* tile, double* sums,
    double* totals)
{
    NEAREST best;
    if (count <= LANES)
        NAMED(search_tile)(1, all, tile, &best);
    else
        NAMED(search_tile)(TILE_VECTORS, all, tile, &best);
    const REAL *cost = (const REAL*)best.cost, *second = (const REAL*)best.second;
    const WHOLE* cluster = (const WHOLE*)best.cluster;
    REAL squared[2 * TILE_ROWS] = {0};
    for (int64_t i = 0; i < count; ++i) {
        const REAL norm = all->norms[which[i]];
        const REAL noise = all->rounding * (norm + all->q[cluster[i]]);
        squared[i] = cost[i] + norm + noise;
        squared[TILE_ROWS + i] = second[i] + norm - noise;
    }
    NAMED(roots)(2 * TILE_ROWS, squared, squared);
    int64_t moved = 0;
    const int64_t n_features = all->n_features;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t row = which[i];
        const int32_t old = all->labels[row], label = (int32_t)cluster[i];
        all->upper[row] = squared[i];
        all->lower[row] = squared[TILE_ROWS + i];
        if (label == old) continue;
        ++moved;
        all->labels[row] = label;
        const double w = all->weight ? all->weight[row] : 1;
        const REAL* values = all->rows + row * n_features;
        double* sum = sums + label * n_features;
        totals[label] += w;
        for (int64_t f = 0; f < n_features; ++f) sum[f] += w * values[f];
        if (old < 0) continue;
        sum = sums + old * n_features;
        totals[old] -= w;
        for (int64_t f = 0; f < n_features; ++f) sum[f] -= w * values[f];
    }
    return moved;
}

/* The product of a row with a centroid. */
INLINED REAL NAMED(dot)(const REAL* one, const REAL* other, int64_t length)
{
    REAL sum[4] = {0};
    int64_t f = 0;
    for (; f + 4 <= length; f += 4)
        UNROLLED
        for (int i = 0; i < 4; ++i) sum[i] += one[f + i] * other[f + i];
    for (; f < length; ++f) sum[0] += one[f] * other[f];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Whether a row's own centroid is surely the nearest; its bounds are brought up to date. */
INLINED int NAMED(is_settled)(const LLOYD* all, int64_t row)
{
    const int32_t label = all->labels[row];
    const REAL upper = all->upper[row] + all->drift[label];
    REAL lower = all->lower[row] - (label == all->wanderer ? all->runner_up : all->farthest);
    all->upper[row] = upper;
    all->lower[row] = lower;
    if (all->gap[label] > lower) lower = all->gap[label];
    if (upper <= lower) return 1;
    if (all->n_groups < WORTH_A_DOT) return 0;
    const int64_t n_features = all->n_features;
    const REAL norms = all->norms[row] + all->q[label];
    const REAL product = NAMED(dot)(all->rows + row * n_features,
                                    all->centers + label * n_features, n_features);
    const REAL squared = norms - 2 * product + all->rounding * norms;
    const REAL exact = ROOT(squared > 0 ? squared : 0);
    if (exact < upper) all->upper[row] = exact;
    return exact <= lower;
}

static void NAMED(iterate_part)(const void* about, int64_t part, int who)
{
    const LLOYD* all = about;
    const int64_t n_features = all->n_features, first = part * all->height;
    const int64_t left = all->n - first, last = first + (left < all->height ? left : all->height);
    REAL* tile = all->room + who * n_features * TILE_ROWS;
    double *sums = all->sums + part * all->k * n_features, *totals = all->totals + part * all->k;
    int64_t which[TILE_ROWS], count = 0, moved = 0;
    for (int64_t row = first; row < last; ++row) {
        if (all->bounded && NAMED(is_settled)(all, row)) continue;
        const REAL* values = all->rows + row * n_features;
        for (int64_t f = 0; f < n_features; ++f) tile[f * TILE_ROWS + count] = values[f];
        which[count++] = row;
        if (count < TILE_ROWS) continue;
        moved += NAMED(settle_tile)(all, count, which, (const VECTOR*)tile, sums, totals);
        count = 0;
    }
    if (count) moved += NAMED(settle_tile)(all, count, which, (const VECTOR*)tile, sums, totals);
    all->moved[part] = moved;
}

/* Half the distance of a centroid to the nearest other one. */
static void NAMED(measure_gap)(const void* about, int64_t j, int who)
{
    (void)who;
    const LLOYD* all = about;
    const int64_t n_features = all->n_features;
    REAL least = LARGEST;
    for (int64_t i = 0; i < all->k; ++i) {
        if (i == j) continue;
        const REAL norms = all->q[i] + all->q[j];
        const REAL product = NAMED(dot)(all->centers + i * n_features,
                                        all->centers + j * n_features, n_features);
        const REAL squared = norms - 2 * product - all->rounding * norms;
        if (squared < least) least = squared;
    }
    all->gap[j] = least > 0 ? ROOT(least) / 2 : 0;
}

/* Lay the centroids out as tiles meet them. */
static void NAMED(pack_centers)(LLOYD* all)
{
    for (int64_t j = 0; j < all->k; ++j) {
        const REAL* center = all->centers + j * all->n_features;
        REAL* packed = all->packed + j / TILE_CENTERS * TILE_CENTERS * all->n_features;
        double norm = 0;
        for (int64_t f = 0; f < all->n_features; ++f) {
            norm += (double)center[f] * center[f];
            packed[f * TILE_CENTERS + j % TILE_CENTERS] = -2 * center[f];
        }
        all->q[j] = (REAL)norm;
    }
}

/* Put each empty cluster's centroid on the row farthest from its own; returns how many went. */
static int64_t NAMED(fill_empty)(LLOYD* all, const double* totals)
{
    int64_t filled = 0;
    for (int64_t j = 0; j < all->k; ++j) {
        if (totals[j] > 0) continue;
        int64_t far = -1;
        for (int64_t row = 0; row < all->n; ++row)
            if ((!all->weight || all->weight[row] > 0) &&
                (far < 0 || all->upper[row] > all->upper[far]))
                far = row;
        if (far < 0) return filled;
        const REAL noise = all->rounding * (all->norms[far] + all->q[all->labels[far]]);
        if (all->upper[far] * all->upper[far] <= 4 * noise) return filled;
        memcpy(all->centers + j * all->n_features, all->rows + far * all->n_features,
               (size_t)all->n_features * sizeof(REAL));
        all->upper[far] = 0;
        ++filled;
    }
    return filled;
}

/* Means of the parts' sums; returns the sum of the squared shifts. */
static double NAMED(update_centers)(LLOYD* all, int64_t n_parts, double* total, double* mean)
{
    const int64_t n_features = all->n_features, k = all->k;
    double shift = 0;
    all->farthest = all->runner_up = 0;
    all->wanderer = -1;
    for (int64_t j = 0; j < k; ++j) {
        REAL* center = all->centers + j * n_features;
        total[j] = 0;
        for (int64_t part = 0; part < n_parts; ++part) total[j] += all->totals[part * k + j];
        all->drift[j] = 0;
        if (total[j] <= 0) continue;
        for (int64_t f = 0; f < n_features; ++f) mean[f] = 0;
        for (int64_t part = 0; part < n_parts; ++part) {
            const double* sums = all->sums + (part * k + j) * n_features;
            for (int64_t f = 0; f < n_features; ++f) mean[f] += sums[f];
        }
        double squared = 0;
        for (int64_t f = 0; f < n_features; ++f) {
            const REAL value = (REAL)(mean[f] / total[j]);
            const double moved = (double)value - center[f];
            squared += moved * moved;
            center[f] = value;
        }
        shift += squared;
        const REAL drift = (REAL)sqrt(squared) * (1 + 4 * ROUNDING);
        all->drift[j] = drift;
        if (drift > all->farthest) {
            all->runner_up = all->farthest;
            all->farthest = drift;
            all->wanderer = j;
        } else if (drift > all->runner_up)
            all->runner_up = drift;
    }
    return shift;
}

/* Lloyd's iterations over n dense rows, at most `most` of them and until the summed squared shift of
 * the centroids is at most `tolerance`; returns their number in `done`. Centroids are written over;
 * labels are those of the last assignment. `room` has a tile for each thread; `sums` and `totals`
 * are, for each part of `height` rows, zeros before; numbers of clusters are six rows of k filled up
 * to TILE_CENTERS, of which q is the largest number beyond k. */
void NAMED(iterate_dense)(
    int64_t threads, int64_t n, int64_t n_features, int64_t k, int64_t height, int64_t most,
    const REAL* rows, const REAL* norms, const double* weight, REAL* centers, REAL* packed,
    REAL* of_clusters, REAL* bounds, REAL* room, int32_t* labels, double* sums, double* totals,
    int64_t* moved, double* of_means, const double* tolerance, int64_t* done)
{
    const int64_t n_groups = (k + TILE_CENTERS - 1) / TILE_CENTERS, width = n_groups * TILE_CENTERS;
    const int64_t n_parts = (n + height - 1) / height;
    LLOYD all = {.n = n, .n_features = n_features, .k = k, .height = height, .n_groups = n_groups,
                 .rows = rows, .norms = norms, .weight = weight, .centers = centers,
                 .packed = packed, .q = of_clusters, .drift = of_clusters + width,
                 .gap = of_clusters + 2 * width, .wanderer = -1,
                 .rounding = (REAL)(4 + n_features / 8) * ROUNDING, .upper = bounds,
                 .lower = bounds + n, .room = room, .labels = labels, .sums = sums,
                 .totals = totals, .moved = moved};
    for (int64_t row = 0; row < n; ++row) labels[row] = -1;
    for (*done = 0; *done < most;) {
        NAMED(pack_centers)(&all);
        if (all.bounded && k * GAP_WORTH <= n)
            parallel_for(k * k * n_features < GAP_ALONE ? 1 : threads, k, NAMED(measure_gap), &all);
        parallel_for(threads, n_parts, NAMED(iterate_part), &all);
        ++*done;
        int64_t any = 0;
        for (int64_t part = 0; part < n_parts; ++part) any += moved[part];
        if (any == 0) break;
        const double shift = NAMED(update_centers)(&all, n_parts, of_means, of_means + k);
        all.bounded = NAMED(fill_empty)(&all, of_means) == 0;
        if (all.bounded && shift <= *tolerance) break;
    }
}
#undef TILE_ROWS
