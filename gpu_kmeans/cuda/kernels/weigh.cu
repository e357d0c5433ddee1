// TF-IDF weights of CSR counts in float64, one thread a row. See gpu_kmeans/cuda/text.py.
//
// Macros: INDEX is int or long long (of the CSR arrays), REAL float or double (of the weights), and
// SATURATED 1 for BM25, else 0.
//
// The norm of a row is added up in the order of its columns, and no product is fused with a sum:
// the weights have the same bits as on the CPU, and as a single query's.
//
// Each non-zero is read twice and written once, 20 bytes, beside two look-ups that caches serve.

#define NO_NORM 0
#define L1 1
#define L2 2

// Rounded by itself: `a * b + c` would otherwise become one fused operation, rounded once.
__device__ __forceinline__ double product(const double a, const double b)
{
#ifdef __CUDA_ARCH__
    return __dmul_rn(a, b);
#else
    return a * b;
#endif
}

// What a count weighs in a row: tf[count], times the idf of its term; by BM25, tf is the count
// itself, and its weight scale * tf / (tf + saturation).
__device__ __forceinline__ double weight_of(
    const float count, const double* __restrict__ tf, const double idf,
    const double saturation, const double scale)
{
    const double local = tf[(long long)count];
#if SATURATED
    return product(product(local, scale) / (local + saturation), idf);
#else
    return product(local, idf);
#endif
}

// tf[c]: what a count of c weighs before idf. saturation: that of each row, unused but by BM25.
extern "C" __global__ void weigh(
    const INDEX* __restrict__ indptr, const INDEX* __restrict__ indices,
    const float* __restrict__ counts, const double* __restrict__ tf,
    const double* __restrict__ idf, const double* __restrict__ saturation, const double scale,
    const int norm, const int n, REAL* __restrict__ values)
{
    const long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n) return;
    const INDEX begin = indptr[row], end = indptr[row + 1];
#if SATURATED
    const double saturated = saturation[row];
#else
    const double saturated = 0;
#endif
    double divisor = 1;
    if (norm != NO_NORM) {
        double mass = 0;
        for (INDEX at = begin; at < end; ++at) {
            const double weight = weight_of(counts[at], tf, idf[indices[at]], saturated, scale);
            mass += norm == L2 ? product(weight, weight) : weight;
        }
        if (mass > 0) divisor = norm == L2 ? sqrt(mass) : mass;
    }
    for (INDEX at = begin; at < end; ++at)
        values[at] = (REAL)(weight_of(counts[at], tf, idf[indices[at]], saturated, scale) / divisor);
}
