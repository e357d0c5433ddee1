/* Included by rows_impl.h: the nearest rows of each row, exact.
 *
 * Scores of REAL rule out what is certainly too far; what is left is compared in double, in the order
 * of the features. Which rows are ruled out makes no difference to the answer, and each row is
 * compared by itself: neither threads, nor blocks, nor the kind of REAL show in it. */

/* Whether a row comes before another: nearer, or as near and of a lower number. */
INLINED int NAMED(precedes)(double nearness, int32_t row, double other, int32_t of_other)
{
    return nearness > other || (nearness == other && row < of_other);
}

/* Put a row among the `count` best, which are in order; places that are free are infinitely far. */
INLINED void NAMED(enlist)(
    int64_t count, double nearness, int32_t row, double* best, int32_t* rows)
{
    int64_t at = count - 1;
    if (!NAMED(precedes)(nearness, row, best[at], rows[at])) return;
    for (; at && NAMED(precedes)(nearness, row, best[at - 1], rows[at - 1]); --at) {
        best[at] = best[at - 1];
        rows[at] = rows[at - 1];
    }
    best[at] = nearness;
    rows[at] = row;
}

/* Whether a number of some vectors is at least as large as another. */
INLINED int NAMED(any_reaches)(const int n_vectors, const VECTOR* scores, REAL least)
{
    WHOLES met = scores[0] >= least;
    UNROLLED
    for (int v = 1; v < n_vectors; ++v) met |= scores[v] >= least;
    uint64_t words[VECTOR_BYTES / 8], any = 0;
    memcpy(words, &met, sizeof words);
    UNROLLED
    for (int i = 0; i < VECTOR_BYTES / 8; ++i) any |= words[i];
    return any != 0;
}

/* Rows of length 1 or 0, in double, and a block of them, from `first` on, by feature: see
 * `nearest_rows`. */
typedef struct {
    int64_t n, n_features, first, height, room, count, step;
    const int32_t *indptr, *indices;
    const double* values;
    const int32_t *place, *colptr, *rows;
    const REAL *postings, *frequent;
    REAL* scores;
    double* scattered;
    int32_t* nearest;
    double* similarity;
} NEIGHBORS;

#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")

/* The product of a row with the one that is scattered over its features. */
static double NAMED(similarity_to)(const NEIGHBORS* all, int64_t row, const double* scattered)
{
    double product = 0;
    for (int32_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j)
        product += all->values[j] * scattered[all->indices[j]];
    return product > 1 ? 1 : product < -1 ? -1 : product;
}

#pragma GCC pop_options

/* Compare a row with those of the block. Its scores begin as -0, which only what is added to
 * changes: rows that share no rare feature with it are told by that. */
static void NAMED(compare_row)(
    const NEIGHBORS* all, int64_t row, REAL* scores, double* scattered)
{
    const int32_t begin = all->indptr[row], end = all->indptr[row + 1];
    const int64_t count = all->count;
    int32_t* nearest = all->nearest + row * count;
    double* best = all->similarity + row * count;
    /* What rounding takes from a sum of products of numbers whose squares sum to 1. */
    const double slack = (double)(end - begin + 8) * ROUNDING;
    int64_t n_frequent = 0;
    for (int32_t j = begin; j < end; ++j) {
        const int32_t feature = all->indices[j];
        const REAL value = (REAL)all->values[j];
        scattered[feature] = all->values[j];
        n_frequent += all->place[feature] >= 0;
        for (int32_t p = all->colptr[feature]; p < all->colptr[feature + 1]; ++p)
            scores[all->rows[p]] += value * all->postings[p];
    }
    const REAL* columns[n_frequent + 1];
    REAL weights[n_frequent + 1];
    int64_t n_columns = 0;
    for (int32_t j = begin; j < end; ++j)
        if (all->place[all->indices[j]] >= 0) {
            columns[n_columns] = all->frequent + all->place[all->indices[j]] * all->room;
            weights[n_columns++] = (REAL)all->values[j];
        }
    REAL least = (REAL)(best[count - 1] - slack);
    for (int64_t at = 0; at < all->room; at += AT_A_LOOK * LANES) {
        VECTOR sum[AT_A_LOOK];
        UNROLLED
        for (int v = 0; v < AT_A_LOOK; ++v) {
            sum[v] = *(const VECTOR*)(scores + at + v * LANES);
            *(VECTOR*)(scores + at + v * LANES) = -(VECTOR){0};
        }
        for (int64_t c = 0; c < n_columns; ++c)
            UNROLLED
            for (int v = 0; v < AT_A_LOOK; ++v)
                sum[v] += weights[c] * *(const VECTOR*)(columns[c] + at + v * LANES);
        if (!NAMED(any_reaches)(AT_A_LOOK, sum, least)) continue;
        const REAL* score = (const REAL*)sum;
        for (int64_t i = 0; i < AT_A_LOOK * LANES && at + i < all->height; ++i) {
            const int64_t other = all->first + at + i;
            if (score[i] < least || other == row) continue;
            const double similarity = score[i] == 0 && signbit(score[i])
                                          ? 0
                                          : NAMED(similarity_to)(all, other, scattered);
            NAMED(enlist)(count, similarity, (int32_t)other, best, nearest);
            least = (REAL)(best[count - 1] - slack);
        }
    }
    for (int32_t j = begin; j < end; ++j) scattered[all->indices[j]] = 0;
}

static void NAMED(compare_rows)(const void* about, int64_t task, int who)
{
    const NEIGHBORS* all = about;
    const int64_t start = task * all->step, left = all->n - start;
    const int64_t stop = start + (left < all->step ? left : all->step);
    REAL* scores = all->scores + who * all->room;
    double* scattered = all->scattered + who * all->n_features;
    for (int64_t row = start; row < stop; ++row)
        NAMED(compare_row)(all, row, scores, scattered);
}

/* Compare all rows with a block of them, `height` from `first` on, and keep the `count` nearest of
 * each, in order. The block stands by feature: most with their rows and values, frequent ones, those
 * with a `place`, as whole columns of `room` numbers, and without postings. `scores`, -0 each, and
 * `scattered`, zeros, are room for each thread, and are left so. */
void NAMED(nearest_rows)(
    int64_t threads, int64_t n, int64_t n_features, int64_t first, int64_t height, int64_t room,
    int64_t count, int64_t step, const int32_t* indptr, const int32_t* indices,
    const double* values, const int32_t* place, const int32_t* colptr, const int32_t* rows,
    const REAL* postings, const REAL* frequent, REAL* scores, double* scattered, int32_t* nearest,
    double* similarity)
{
    const NEIGHBORS all = {n, n_features, first, height, room, count, step, indptr, indices, values,
                           place, colptr, rows, postings, frequent, scores, scattered, nearest,
                           similarity};
    parallel_for(threads, (n + step - 1) / step, NAMED(compare_rows), &all);
}

/* Dense rows, and a block of them by feature: see `nearest_dense_rows`. */
typedef struct {
    int64_t n, n_features, first, height, room, count, step, by_distance;
    const double* rows;
    const REAL *factors, *columns, *bias;
    const double *offset, *slack;
    int32_t* nearest;
    double* nearness;
} SCORED;

#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")

/* Minus the squared distance of two rows, or the product of those of length 1. */
static double NAMED(nearness_of)(const SCORED* all, const double* one, const double* other)
{
    double sum = 0;
    if (all->by_distance) {
        for (int64_t f = 0; f < all->n_features; ++f) {
            const double difference = one[f] - other[f];
            sum -= difference * difference;
        }
        return sum;
    }
    for (int64_t f = 0; f < all->n_features; ++f) sum += one[f] * other[f];
    return sum > 1 ? 1 : sum < -1 ? -1 : sum;
}

#pragma GCC pop_options

/* Compare some rows with those of the block: their scores stay in registers until they are looked
 * at. Where there are fewer than ROWS_TOGETHER, the first stands for the others. */
static void NAMED(compare_dense_rows)(const SCORED* all, int64_t start, int64_t n_rows)
{
    const int64_t n_features = all->n_features, count = all->count;
    const REAL* factors[ROWS_TOGETHER];
    double shift[ROWS_TOGETHER];
    REAL least[ROWS_TOGETHER];
    for (int64_t r = 0; r < ROWS_TOGETHER; ++r) {
        const int64_t row = start + (r < n_rows ? r : 0);
        factors[r] = all->factors + row * n_features;
        shift[r] = all->offset[row] - all->slack[row];
        least[r] = (REAL)(all->nearness[(row + 1) * count - 1] + shift[r]);
    }
    for (int64_t at = 0; at < all->height; at += VECTORS_TOGETHER * LANES) {
        VECTOR sum[ROWS_TOGETHER * VECTORS_TOGETHER];
        UNROLLED
        for (int i = 0; i < ROWS_TOGETHER * VECTORS_TOGETHER; ++i)
            sum[i] = *(const VECTOR*)(all->bias + at + i % VECTORS_TOGETHER * LANES);
        for (int64_t f = 0; f < n_features; ++f) {
            const VECTOR* column = (const VECTOR*)(all->columns + f * all->room + at);
            UNROLLED
            for (int i = 0; i < ROWS_TOGETHER * VECTORS_TOGETHER; ++i)
                sum[i] += factors[i / VECTORS_TOGETHER][f] * column[i % VECTORS_TOGETHER];
        }
        for (int64_t r = 0; r < n_rows; ++r) {
            const VECTOR* of_row = sum + r * VECTORS_TOGETHER;
            if (!NAMED(any_reaches)(VECTORS_TOGETHER, of_row, least[r])) continue;
            const int64_t row = start + r;
            double* best = all->nearness + row * count;
            const REAL* score = (const REAL*)of_row;
            for (int64_t i = 0; i < VECTORS_TOGETHER * LANES && at + i < all->height; ++i) {
                const int64_t other = all->first + at + i;
                if (score[i] < least[r] || other == row) continue;
                const double nearness = NAMED(nearness_of)(
                    all, all->rows + row * n_features, all->rows + other * n_features);
                NAMED(enlist)
                (count, nearness, (int32_t)other, best, all->nearest + row * count);
                least[r] = (REAL)(best[count - 1] + shift[r]);
            }
        }
    }
}

static void NAMED(compare_some_dense)(const void* about, int64_t task, int who)
{
    (void)who;
    const SCORED* all = about;
    const int64_t start = task * all->step, left = all->n - start;
    const int64_t stop = start + (left < all->step ? left : all->step);
    for (int64_t row = start; row < stop; row += ROWS_TOGETHER)
        NAMED(compare_dense_rows)(all, row, stop - row < ROWS_TOGETHER ? stop - row : ROWS_TOGETHER);
}

/* Compare all rows with a block of them, `height` from `first` on, and keep the `count` nearest of
 * each, in order. The block stands by feature in `columns` of `room` numbers. The score of two rows is
 * the product of the first one's `factors` with the other's column, and the other's `bias`: their
 * nearness and the first one's `offset`, off by its `slack` at most. */
void NAMED(nearest_dense_rows)(
    int64_t threads, int64_t n, int64_t n_features, int64_t first, int64_t height, int64_t room,
    int64_t count, int64_t step, int64_t by_distance, const double* rows, const REAL* factors,
    const REAL* columns, const REAL* bias, const double* offset, const double* slack,
    int32_t* nearest, double* nearness)
{
    const SCORED all = {n, n_features, first, height, room, count, step, by_distance, rows, factors,
                        columns, bias, offset, slack, nearest, nearness};
    parallel_for(threads, (n + step - 1) / step, NAMED(compare_some_dense), &all);
}
