/* Weighing counted terms, for the CPU: see cpu_fallback/compiled/words.py. */

#include <math.h>
#include <stdint.h>

/* Each product is rounded before it is added to anything, as NumPy does. */
#if defined(__GNUC__) && !defined(__clang__)
#define EACH_STEP_ROUNDED __attribute__((optimize("fp-contract=off")))
#else
#define EACH_STEP_ROUNDED
#endif

/* Weigh rows: `weights` from indptr[0] on, each times its term's `idf`, which may be null, and over
 * the row's norm, the `norm`-th root of the sum of its `norm`-th powers, or 0 for none. What is
 * added up is added in the order of columns, and each step is rounded to double. */
EACH_STEP_ROUNDED void weigh_rows(
    int64_t n_rows, int64_t norm, const int32_t* indptr, const int32_t* indices,
    const double* idf, double* restrict weights, float* restrict values)
{
    const int64_t start = indptr[0];
    for (int64_t row = 0; row < n_rows; ++row) {
        double mass = 0;
        for (int64_t j = indptr[row]; j < indptr[row + 1]; ++j) {
            double* weight = weights + (j - start);
            if (idf) *weight *= idf[indices[j]];
            /* A statement of its own: Clang rounds what is one only once. */
            const double power = norm == 2 ? *weight * *weight : *weight;
            mass += power;
        }
        const double by = norm == 0 ? 1 : norm == 2 ? sqrt(mass) : mass;
        for (int64_t j = indptr[row]; j < indptr[row + 1]; ++j)
            values[j] = (float)(weights[j - start] / by);
    }
}
