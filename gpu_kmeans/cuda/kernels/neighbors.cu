// The nearest rows of each row, all compared in double. See gpu_kmeans/cuda/neighbors.py.
//
// INDEX is int or long long (of the CSR arrays); a macro. Scores are (n, b): b rows that are asked
// about, one a column, against all n. Sparse rows are multiplied by `products` of rows.cu, in the
// order of their non-zeros, dense ones here in the order of their features, so that identical rows
// have identical scores. What bounds it is the double arithmetic and the 8 n b bytes of scores that
// are written and read once; not measured.

#define WARP 32

// Rows from `first` on as columns, (n_features, b), which hold zeros before.
extern "C" __global__ void turn_sparse(
    const int b, const long long first, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const double* __restrict__ values,
    double* __restrict__ columns)
{
    const int column = blockIdx.x * blockDim.y + threadIdx.y;
    if (column >= b) return;  // a whole warp
    const long long row = first + column;
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP)
        columns[(long long)indices[j] * b + column] = values[j];
}

// Products of dense rows with columns, or minus their squared distances.
extern "C" __global__ void compare_dense(
    const int n, const int b, const int n_features, const int by_distance,
    const double* __restrict__ rows, const double* __restrict__ columns,
    double* __restrict__ scores)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= b) return;
    for (int row = blockIdx.y; row < n; row += gridDim.y) {
        const double* values = rows + (long long)row * n_features;
        double score = 0;
        for (int f = 0; f < n_features; ++f) {
            const double other = columns[(long long)f * b + column];
            const double difference = values[f] - other;
            score += by_distance ? -difference * difference : values[f] * other;
        }
        scores[(long long)row * b + column] = score;
    }
}

// For each column and band of rows the `count` nearest rows, in order: nearer first, and of those as
// near the lower number. The column's own row, `first` + column, is left out. Places for which there
// is no row are -1, and minus infinity.
extern "C" __global__ void keep_nearest(
    const int n, const int b, const long long first, const int height, const int count,
    const int by_distance, const double* __restrict__ scores, int* __restrict__ nearest,
    double* __restrict__ nearness)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= b) return;
    const long long at = ((long long)blockIdx.y * b + column) * count;
    int* rows = nearest + at;
    double* best = nearness + at;
    for (int i = 0; i < count; ++i) {
        rows[i] = -1;
        best[i] = -1.0 / 0.0;
    }
    const long long begin = (long long)blockIdx.y * height;
    const long long end = begin + height < n ? begin + height : n;
    for (long long row = begin; row < end; ++row) {
        if (row == first + column) continue;
        double score = scores[row * b + column];
        if (!by_distance) score = score > 1 ? 1 : score < -1 ? -1 : score;
        if (!(score > best[count - 1])) continue;  // rows come in rising order
        int i = count - 1;
        for (; i > 0 && score > best[i - 1]; --i) {
            best[i] = best[i - 1];
            rows[i] = rows[i - 1];
        }
        best[i] = score;
        rows[i] = (int)row;
    }
}
