/* Included by rows_impl.h: clusters of rows split in two, each as a problem of its own. */

typedef struct {
    int64_t n_features, passes;
    const int32_t *indptr, *indices; /* null of dense rows */
    const REAL* values;
    const double* norms;
    const int64_t *begins, *members, *pairs;
    const uint8_t* coins;
    double noise, *room, *explained;
    int32_t* sides;
} HALVING;

/* Products of a row with both sums, which stand side by side for each feature. */
INLINED void NAMED(dot_with_both)(
    const HALVING* all, int64_t row, const double* sums, double* products)
{
    double first = 0, second = 0;
    if (all->indptr)
        for (int32_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j) {
            const double* both = sums + 2 * (int64_t)all->indices[j];
            first += all->values[j] * both[0];
            second += all->values[j] * both[1];
        }
    else
        for (int64_t f = 0; f < all->n_features; ++f) {
            const double value = all->values[row * all->n_features + f];
            first += value * sums[2 * f];
            second += value * sums[2 * f + 1];
        }
    products[0] = first;
    products[1] = second;
}

/* Add a row to both sums, so many times to each. */
INLINED void NAMED(add_to_both)(
    const HALVING* all, int64_t row, double to_first, double to_second, double* sums)
{
    if (all->indptr)
        for (int32_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j) {
            double* both = sums + 2 * (int64_t)all->indices[j];
            both[0] += to_first * all->values[j];
            both[1] += to_second * all->values[j];
        }
    else
        for (int64_t f = 0; f < all->n_features; ++f) {
            const double value = all->values[row * all->n_features + f];
            sums[2 * f] += to_first * value;
            sums[2 * f + 1] += to_second * value;
        }
}

/* Set both sums to zero, given all rows that were added to them. */
INLINED void NAMED(clear_both)(
    const HALVING* all, const int64_t* members, int64_t count, double* sums)
{
    if (!all->indptr) {
        memset(sums, 0, (size_t)(2 * all->n_features) * sizeof(double));
        return;
    }
    for (int64_t i = 0; i < count; ++i)
        for (int32_t j = all->indptr[members[i]]; j < all->indptr[members[i] + 1]; ++j) {
            double* both = sums + 2 * (int64_t)all->indices[j];
            both[0] = both[1] = 0;
        }
}

/* Rows begin in the half of the nearer of two drawn rows, and then move one by one while that lowers
 * the inertia; see gpu_kmeans/clustering/hartigan.py for the gain of a move. */
static void NAMED(halve_one)(const void* about, int64_t cluster, int who)
{
    const HALVING* all = about;
    const int64_t begin = all->begins[cluster], n = all->begins[cluster + 1] - begin;
    const int64_t *members = all->members + begin, *pair = all->pairs + 2 * cluster;
    const double* norms = all->norms;
    double* sums = all->room + who * 2 * all->n_features;
    double count[2] = {0}, squares[2] = {0}, products[2], typical = 0;
    int32_t* sides = all->sides + begin;
    NAMED(add_to_both)(all, pair[0], 1, 0, sums);
    NAMED(add_to_both)(all, pair[1], 0, 1, sums);
    for (int64_t i = 0; i < n; ++i) {
        NAMED(dot_with_both)(all, members[i], sums, products);
        const double nearer =
            2 * (products[1] - products[0]) - (norms[pair[1]] - norms[pair[0]]);
        const int even = fabs(nearer) <= 1e-6 * (norms[pair[0]] + norms[pair[1]]);
        sides[i] = even ? all->coins[begin + i] : nearer > 0;
        typical += norms[members[i]] / n;
    }
    NAMED(clear_both)(all, pair, 2, sums);
    for (int64_t i = 0; i < n; ++i) {
        const int side = sides[i];
        NAMED(dot_with_both)(all, members[i], sums, products);
        NAMED(add_to_both)(all, members[i], !side, side, sums);
        squares[side] += norms[members[i]] + 2 * products[side];
        ++count[side];
    }
    for (int64_t pass = 0, moved = 1; pass < all->passes && moved; ++pass) {
        moved = 0;
        for (int64_t i = 0; i < n; ++i) {
            const int from = sides[i], to = !from;
            if (count[from] <= 1) continue;
            NAMED(dot_with_both)(all, members[i], sums, products);
            const double norm = norms[members[i]];
            const double leave =
                (norm * count[from] - 2 * products[from] + squares[from] / count[from]) /
                (count[from] - 1);
            const double enter =
                count[to] ? (norm * count[to] - 2 * products[to] + squares[to] / count[to]) /
                                (count[to] + 1)
                          : 0;
            if (!(leave - enter > all->noise * (norm + typical))) continue;
            NAMED(add_to_both)(all, members[i], from ? 1 : -1, from ? -1 : 1, sums);
            squares[from] += norm - 2 * products[from];
            squares[to] += norm + 2 * products[to];
            --count[from];
            ++count[to];
            sides[i] = to;
            ++moved;
        }
    }
    NAMED(clear_both)(all, members, n, sums);
    all->explained[cluster] = 0;
    for (int side = 0; side < 2; ++side)
        if (count[side]) all->explained[cluster] += squares[side] / count[side];
}

/* Split clusters in two. The rows of cluster i are `members` from begins[i] to begins[i + 1], each
 * with a coin, and it splits at two of them, pairs[2 i] and the next. Rows are CSR, or dense where
 * indptr is null; `room` has two sums for each thread, zeros before and after. */
void NAMED(halve)(
    int64_t threads, int64_t n_clusters, int64_t n_features, int64_t passes, const int32_t* indptr,
    const int32_t* indices, const REAL* values, const double* norms, const int64_t* begins,
    const int64_t* members, const int64_t* pairs, const uint8_t* coins, const double* noise,
    double* room, int32_t* sides, double* explained)
{
    const HALVING all = {.n_features = n_features, .passes = passes, .indptr = indptr,
                         .indices = indices, .values = values, .norms = norms, .begins = begins,
                         .members = members, .pairs = pairs, .coins = coins, .noise = *noise,
                         .room = room, .explained = explained, .sides = sides};
    parallel_for(threads, n_clusters, NAMED(halve_one), &all);
}
