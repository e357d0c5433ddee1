/* Included by rows_impl.h: what looks once at each non-zero of sparse rows. */

/* Rows to be parted: see `part`. */
typedef struct {
    int64_t n;
    const int32_t *indptr, *indices;
    const REAL* values;
    const int32_t *place, *begins;
    int32_t *frequent_indptr, *places;
    REAL* frequent_values;
    int32_t *rare_indptr, *rare;
    REAL* rare_values;
} PARTING;

static void NAMED(part_rows)(const void* about, int64_t task, int who)
{
    (void)who;
    const PARTING* all = about;
    const int64_t first = task * ROWS_OF_A_TASK, left = all->n - first;
    const int64_t last = first + (left < ROWS_OF_A_TASK ? left : ROWS_OF_A_TASK);
    /* Where the next one is written, of frequent and of rare ones: nothing to guess. */
    int32_t at[2] = {all->indptr[first] - all->begins[task], all->begins[task]};
    int32_t* const to[2] = {all->places, all->rare};
    REAL* const values[2] = {all->frequent_values, all->rare_values};
    for (int64_t row = first; row < last; ++row) {
        all->frequent_indptr[row] = at[0];
        all->rare_indptr[row] = at[1];
        for (int32_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j) {
            const int32_t place = all->place[all->indices[j]], is_rare = place < 0;
            to[is_rare][at[is_rare]] = is_rare ? all->indices[j] : place;
            values[is_rare][at[is_rare]++] = all->values[j];
        }
    }
    if (last == all->n) {
        all->frequent_indptr[last] = at[0];
        all->rare_indptr[last] = at[1];
    }
}

/* Part the rows' non-zeros into those of frequent features, with the place of each, and those of
 * rare ones. `begins` says for each ROWS_OF_A_TASK rows how many rare ones there are before them. */
void NAMED(part)(
    int64_t threads, int64_t n, const int32_t* indptr, const int32_t* indices, const REAL* values,
    const int32_t* place, const int32_t* begins, int32_t* frequent_indptr, int32_t* places,
    REAL* frequent_values, int32_t* rare_indptr, int32_t* rare, REAL* rare_values)
{
    const PARTING all = {n, indptr, indices, values, place, begins, frequent_indptr,
                         places, frequent_values, rare_indptr, rare, rare_values};
    parallel_for(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, NAMED(part_rows), &all);
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
    parallel_for(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, NAMED(square_rows), &all);
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
    parallel_for(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, NAMED(multiply_rows), &all);
}

/* Rows to be turned into columns: see `turn`. */
typedef struct {
    int64_t n, n_features, height;
    const int32_t *indptr, *indices;
    const REAL* values;
    int32_t *next, *rows;
    REAL* turned;
} TURNING;

static void NAMED(turn_block)(const void* about, int64_t block, int who)
{
    (void)who;
    const TURNING* all = about;
    const int64_t first = block * all->height, left = all->n - first;
    const int64_t last = first + (left < all->height ? left : all->height);
    int32_t* next = all->next + block * all->n_features;
    for (int64_t row = first; row < last; ++row)
        for (int32_t j = all->indptr[row]; j < all->indptr[row + 1]; ++j) {
            const int32_t at = next[all->indices[j]]++;
            all->rows[at] = (int32_t)row;
            all->turned[at] = all->values[j];
        }
}

/* Turn rows into columns, in blocks of `height` rows; `next` says for each block and feature where
 * its non-zeros begin, and afterwards where they end. */
void NAMED(turn)(
    int64_t threads, int64_t n, int64_t n_features, int64_t height, const int32_t* indptr,
    const int32_t* indices, const REAL* values, int32_t* next, int32_t* rows, REAL* turned)
{
    const TURNING all = {n, n_features, height, indptr, indices, values, next, rows, turned};
    parallel_for(threads, (n + height - 1) / height, NAMED(turn_block), &all);
}
