/* Included by rows_impl.h: products of rows with a few columns, and of tall columns with each other.
 *
 * Each number is summed in the order of a row's non-zeros, or of the rows in blocks of a fixed height:
 * how the work is shared out among threads makes no difference to it. */

/* Sparse rows times columns that stand by feature, in whole vectors: see `product_rows`. */
typedef struct {
    int64_t n, k, n_vectors;
    const int32_t *indptr, *indices;
    const REAL* values;
    const VECTOR* columns;
    REAL* out;
} PRODUCTS;

/* Multiply and add are rounded one after the other, as SciPy's are: the same bits. */
#define PRODUCT_TILE(n_tile)                                                                     \
    case n_tile: {                                                                               \
        VECTOR product[n_tile];                                                                  \
        UNROLLED                                                                                 \
        for (int v = 0; v < n_tile; ++v) product[v] = (VECTOR){0};                               \
        for (int32_t j = begin; j < end; ++j) {                                                  \
            if (j + FAR_AHEAD < last_of_all)                                                     \
                UNROLLED                                                                         \
                for (int v = 0; v < n_tile; ++v)                                                 \
                    __builtin_prefetch(columns + all->indices[j + FAR_AHEAD] * n_vectors + v);   \
            const VECTOR* run = columns + all->indices[j] * n_vectors;                           \
            const REAL value = all->values[j];                                                   \
            UNROLLED                                                                             \
            for (int v = 0; v < n_tile; ++v) {                                                   \
                const VECTOR term = value * run[v];                                              \
                product[v] += term;                                                              \
            }                                                                                    \
        }                                                                                        \
        memcpy(to, product, sizeof(REAL) * (size_t)(room < n_tile * LANES ? room : n_tile * LANES)); \
        break;                                                                                   \
    }

#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")

static void NAMED(product_task)(const void* about, int64_t task, int who)
{
    (void)who;
    const PRODUCTS* all = about;
    const int64_t first = task * ROWS_OF_A_TASK, left = all->n - first;
    const int64_t last = first + (left < ROWS_OF_A_TASK ? left : ROWS_OF_A_TASK);
    const int64_t n_vectors = all->n_vectors;
    const int32_t last_of_all = all->indptr[last];
    for (int64_t row = first; row < last; ++row)
        for (int64_t vector = 0; vector < n_vectors; vector += 4) {
            const int32_t begin = all->indptr[row], end = all->indptr[row + 1];
            const VECTOR* columns = all->columns + vector;
            const int64_t room = all->k - vector * LANES;
            REAL* to = all->out + row * all->k + vector * LANES;
            switch (n_vectors - vector < 4 ? n_vectors - vector : 4) { EACH_OF_4(PRODUCT_TILE) }
        }
}

#pragma GCC pop_options

/* The products of n sparse rows with k columns, (n, k). `columns` has n_vectors vectors for each
 * feature, zeros after the k-th number. */
void NAMED(product_rows)(
    int64_t threads, int64_t n, int64_t k, int64_t n_vectors, const int32_t* indptr,
    const int32_t* indices, const REAL* values, const VECTOR* columns, REAL* out)
{
    const PRODUCTS all = {n, k, n_vectors, indptr, indices, values, columns, out};
    parallel_for(threads, (n + ROWS_OF_A_TASK - 1) / ROWS_OF_A_TASK, NAMED(product_task), &all);
}

/* Tall columns to be multiplied with each other: see `inner_products`. */
typedef struct {
    int64_t n, n_left, n_right, height;
    const REAL *left, *right;
    double* sums;
} INNER;

/* Add the products of four columns of the left with two vectors of the right, over some rows, to the
 * `n_lefts` times `n_rights` sums that there are. */
static void NAMED(inner_tile)(
    int64_t n_rows, const double (*left)[4], const double* right, int64_t n_lefts, int64_t n_rights,
    int64_t stride, double* sums)
{
    DOUBLE sum[4][2];
    UNROLLED
    for (int i = 0; i < 4; ++i) sum[i][0] = sum[i][1] = (DOUBLE){0};
    for (int64_t row = 0; row < n_rows; ++row) {
        const DOUBLE* run = (const DOUBLE*)(right + row * INNER_BAND);
        UNROLLED
        for (int i = 0; i < 4; ++i) {
            sum[i][0] += left[row][i] * run[0];
            sum[i][1] += left[row][i] * run[1];
        }
    }
    for (int64_t i = 0; i < n_lefts; ++i) {
        const double* of_tile = (const double*)sum[i];
        for (int64_t j = 0; j < n_rights; ++j) sums[i * stride + j] += of_tile[j];
    }
}

LOOPS_AS_VECTORS static void NAMED(inner_block)(const void* about, int64_t block, int who)
{
    (void)who;
    const INNER* all = about;
    const int64_t n_left = all->n_left, n_right = all->n_right, first = block * all->height;
    const int64_t rest = all->n - first, last = first + (rest < all->height ? rest : all->height);
    const int is_same = all->left == all->right;
    const int64_t width = 2 * DOUBLES;
    double* sums = all->sums + block * n_left * n_right;
    /* Some rows, turned into doubles once; zeros after the last column. */
    double right[INNER_ROWS * INNER_BAND] __attribute__((aligned(64)));
    double left[INNER_ROWS][4];
    for (int64_t row = first; row < last; row += INNER_ROWS) {
        const int64_t n_rows = last - row < INNER_ROWS ? last - row : INNER_ROWS;
        for (int64_t start = 0; start < n_right; start += INNER_BAND) {
            const int64_t over = n_right - start, count = over < INNER_BAND ? over : INNER_BAND;
            for (int64_t r = 0; r < n_rows; ++r) {
                const REAL* of_row = all->right + (row + r) * n_right + start;
                for (int64_t j = 0; j < count; ++j) right[r * INNER_BAND + j] = of_row[j];
                for (int64_t j = count; j < INNER_BAND; ++j) right[r * INNER_BAND + j] = 0;
            }
            /* Of the same columns, the products on the diagonal and above it. */
            const int64_t end = is_same && start + count < n_left ? start + count : n_left;
            for (int64_t i = 0; i < end; i += 4) {
                const int64_t n_lefts = n_left - i < 4 ? n_left - i : 4;
                for (int64_t r = 0; r < n_rows; ++r)
                    for (int64_t l = 0; l < 4; ++l)
                        left[r][l] = l < n_lefts ? all->left[(row + r) * n_left + i + l] : 0;
                const int64_t from = is_same && i > start ? (i - start) / width * width : 0;
                for (int64_t j = from; j < count; j += width)
                    NAMED(inner_tile)(
                        n_rows, left, right + j, n_lefts, count - j < width ? count - j : width,
                        n_right, sums + i * n_right + start + j);
            }
        }
    }
}

/* The products of n_left with n_right columns of n numbers, in double, by blocks of `height` rows:
 * `sums` is (n_left, n_right) for each of them, zeros before. Of columns with themselves, those on the
 * diagonal and above it are whole, and no others. */
void NAMED(inner_products)(
    int64_t threads, int64_t n, int64_t n_left, int64_t n_right, int64_t height, const REAL* left,
    const REAL* right, double* sums)
{
    const INNER all = {n, n_left, n_right, height, left, right, sums};
    parallel_for(threads, (n + height - 1) / height, NAMED(inner_block), &all);
}
