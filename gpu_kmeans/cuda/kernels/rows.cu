// Exact k-means on CSR rows that are never made dense. See gpu_kmeans/cuda/rows.py.
//
// REAL is float or double, INDEX int or long long (of the CSR arrays); both are macros.
//
// Sums are stored feature by cluster, (n_features, k) in C order, so that one non-zero of a row
// touches one run of k neighbouring numbers. A warp takes one row and TILE clusters at a time:
// every lane keeps WIDE running products in registers, the row's non-zeros are loaded 32 at once
// and handed round by shuffles, and each load of a sum is one of 32 neighbours. No n x k matrix
// is ever in memory. Products of a row are added in the order of its non-zeros, whatever the
// grid: results do not depend on scheduling. An absolute error of a product of m non-zeros is at
// most m * eps * sum |x_f s_f| (eps = 6e-8 for float).
//
// What bounds it: nnz * k * sizeof(REAL) bytes are gathered, from the L2 cache as far as the
// rows of frequent features stay there, and 2 * nnz * k operations are done on them. For 1.9M
// non-zeros, k = 1000 and float that is 7.6 GB and 3.8 GFLOP. Estimated, not measured: 1.1 ms
// if an L2 cache gave 7 TB/s of it, against 0.06 ms of arithmetic at 67 TFLOP/s.

#define EVERY_LANE 0xffffffffu
#define WARP 32
#define WIDE 8
#define TILE (WARP * WIDE)

__device__ __forceinline__ REAL no_cost() { return (REAL)(1.0 / 0.0); }

// Products of one row with the clusters `first + lane + 32 p`, p < WIDE.
__device__ __forceinline__ void multiply(
    const INDEX begin, const INDEX end, const INDEX* __restrict__ indices,
    const REAL* __restrict__ values, const REAL* __restrict__ sums, const int k, const int first,
    REAL (&product)[WIDE])
{
    const int lane = threadIdx.x;
    const int at = first + lane;
#pragma unroll
    for (int p = 0; p < WIDE; ++p) product[p] = 0;
    for (INDEX start = begin; start < end; start += WARP) {
        const bool inside = start + lane < end;
        const long long my_run = inside ? (long long)indices[start + lane] * k : 0;
        const REAL my_value = inside ? values[start + lane] : (REAL)0;
        const int count = end - start < WARP ? (int)(end - start) : WARP;
#pragma unroll 4
        for (int j = 0; j < count; ++j) {
            const REAL* run = sums + __shfl_sync(EVERY_LANE, my_run, j) + at;
            const REAL value = __shfl_sync(EVERY_LANE, my_value, j);
#pragma unroll
            for (int p = 0; p < WIDE; ++p)
                if (at + p * WARP < k) product[p] += value * __ldg(run + p * WARP);
        }
    }
}

// The smallest cost of a warp's lanes and its cluster; of equal costs the lowest cluster.
__device__ __forceinline__ void cheapest_of_warp(REAL& cost, int& cluster)
{
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) {
        const REAL other = __shfl_xor_sync(EVERY_LANE, cost, step);
        const int there = __shfl_xor_sync(EVERY_LANE, cluster, step);
        if (other < cost || (other == cost && there < cluster)) {
            cost = other;
            cluster = there;
        }
    }
}

// The smallest cost of a warp's lanes.
__device__ __forceinline__ REAL least_of_warp(REAL cost)
{
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) {
        const REAL other = __shfl_xor_sync(EVERY_LANE, cost, step);
        if (other < cost) cost = other;
    }
    return cost;
}

// For each row and tile the cheapest cluster, its cost, (q - 2 P) / size, and the next best's: tile
// blockIdx.y, one warp a row, blockDim = (32, rows). q is |sum|^2 / size, infinite for an empty
// cluster.
extern "C" __global__ void nearest(
    const int n, const int k, const INDEX* __restrict__ indptr, const INDEX* __restrict__ indices,
    const REAL* __restrict__ values, const REAL* __restrict__ sums, const REAL* __restrict__ q,
    const REAL* __restrict__ size, int* __restrict__ clusters, REAL* __restrict__ costs,
    REAL* __restrict__ seconds)
{
    const int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;  // a whole warp
    const int first = blockIdx.y * TILE;
    REAL product[WIDE];
    multiply(indptr[row], indptr[row + 1], indices, values, sums, k, first, product);
    REAL cost = no_cost(), second = no_cost();
    int cluster = first;
#pragma unroll
    for (int p = 0; p < WIDE; ++p) {
        const int c = first + threadIdx.x + p * WARP;
        if (c >= k) break;
        const REAL found = (q[c] - 2 * product[p]) / size[c];
        if (found < cost) {
            second = cost;
            cost = found;
            cluster = c;
        } else if (found < second) {
            second = found;
        }
    }
    const REAL mine = cost;
    const int my_cluster = cluster;
    cheapest_of_warp(cost, cluster);
    // Of the lane that has the best its next best counts, of the others their best.
    second = least_of_warp(cluster == my_cluster ? second : mine);
    if (threadIdx.x == 0) {
        clusters[(long long)blockIdx.y * n + row] = cluster;
        costs[(long long)blockIdx.y * n + row] = cost;
        seconds[(long long)blockIdx.y * n + row] = second;
    }
}

// Likewise among the clusters other than the row's own, at the cost (q - 2 P - w x2) / (size + w)
// for a row of weight w and squared norm x2; `own` gets the product with the row's own sum.
extern "C" __global__ void nearest_other(
    const int n, const int k, const INDEX* __restrict__ indptr, const INDEX* __restrict__ indices,
    const REAL* __restrict__ values, const REAL* __restrict__ sums, const REAL* __restrict__ q,
    const REAL* __restrict__ size, const int* __restrict__ labels,
    const REAL* __restrict__ weight, const REAL* __restrict__ squared_norms,
    int* __restrict__ clusters, REAL* __restrict__ costs, REAL* __restrict__ own)
{
    const int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;  // a whole warp
    const int first = blockIdx.y * TILE;
    REAL product[WIDE];
    multiply(indptr[row], indptr[row + 1], indices, values, sums, k, first, product);
    const int label = labels[row];
    const REAL w = weight[row];
    const REAL wx2 = w * squared_norms[row];
    REAL cost = no_cost();
    int cluster = first;
#pragma unroll
    for (int p = 0; p < WIDE; ++p) {
        const int c = first + threadIdx.x + p * WARP;
        if (c >= k) break;
        if (c == label) {
            own[row] = product[p];
            continue;
        }
        const REAL found = (q[c] - 2 * product[p] - wx2) / (size[c] + w);
        if (found < cost) {
            cost = found;
            cluster = c;
        }
    }
    cheapest_of_warp(cost, cluster);
    if (threadIdx.x == 0) {
        clusters[(long long)blockIdx.y * n + row] = cluster;
        costs[(long long)blockIdx.y * n + row] = cost;
    }
}

// All products themselves, (n, k): what few columns (a sketch's directions) are multiplied by.
extern "C" __global__ void products(
    const int n, const int k, const INDEX* __restrict__ indptr, const INDEX* __restrict__ indices,
    const REAL* __restrict__ values, const REAL* __restrict__ columns, REAL* __restrict__ out)
{
    const int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;  // a whole warp
    const int first = blockIdx.y * TILE;
    REAL product[WIDE];
    multiply(indptr[row], indptr[row + 1], indices, values, columns, k, first, product);
#pragma unroll
    for (int p = 0; p < WIDE; ++p) {
        const int c = first + threadIdx.x + p * WARP;
        if (c < k) out[(long long)row * k + c] = product[p];
    }
}

// The sum of a number of each lane, in a fixed order.
__device__ __forceinline__ double sum_of_warp(double number)
{
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2)
        number += __shfl_xor_sync(EVERY_LANE, number, step);
    return number;
}

// The squared norm of each row, in double.
extern "C" __global__ void square_rows(
    const int n, const INDEX* __restrict__ indptr, const REAL* __restrict__ values,
    double* __restrict__ squares)
{
    const int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;  // a whole warp
    double square = 0;
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP)
        square += (double)values[j] * values[j];
    square = sum_of_warp(square);
    if (threadIdx.x == 0) squares[row] = square;
}

// The product of each row with the mean that its label names, (k, n_features), in double.
extern "C" __global__ void products_with_own(
    const int n, const int n_features, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const REAL* __restrict__ means, const int* __restrict__ labels,
    double* __restrict__ products)
{
    const int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;  // a whole warp
    const REAL* mean = means + (long long)labels[row] * n_features;
    double product = 0;
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP)
        product += (double)values[j] * mean[indices[j]];
    product = sum_of_warp(product);
    if (threadIdx.x == 0) products[row] = product;
}

// Add the rows of the clusters [first, first + width) to their sums, in fixed point: `exact` is
// (n_features, width), its unit 1 / scale. Integers can be added in any order.
extern "C" __global__ void add_rows(
    const int n, const int first, const int width, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const int* __restrict__ labels, const double* __restrict__ weight,
    const double scale, unsigned long long* __restrict__ exact)
{
    const int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;
    const int cluster = labels[row] - first;
    if (cluster < 0 || cluster >= width) return;
    const double times = weight[row] * scale;
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP)
        atomicAdd(&exact[(long long)indices[j] * width + cluster],
                  (unsigned long long)__double2ll_rn(values[j] * times));
}

// Turn fixed point into REAL sums, (n_features, k), columns [first, first + width): a sum is so many
// units times its cluster's size. Add up the squares of a band of `height` features for each
// cluster: squares is (bands, k).
extern "C" __global__ void round_sums(
    const int n_features, const int k, const int first, const int width, const int height,
    const long long* __restrict__ exact, const double unit, const double* __restrict__ sizes,
    REAL* __restrict__ sums, double* __restrict__ squares)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= width) return;
    const double size = sizes[first + c];
    double square = 0;
    const int stop = min((int)(blockIdx.y + 1) * height, n_features);
    for (int f = blockIdx.y * height; f < stop; ++f) {
        const double sum = __ll2double_rn(exact[(long long)f * width + c]) * unit * size;
        sums[(long long)f * k + first + c] = (REAL)sum;
        square += sum * sum;
    }
    squares[(long long)blockIdx.y * k + first + c] = square;
}

// The squares of a band of `height` features for each column of sums: squares is (bands, k).
extern "C" __global__ void square_columns(
    const int n_features, const int k, const int height, const REAL* __restrict__ sums,
    double* __restrict__ squares)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= k) return;
    double square = 0;
    const int stop = min((int)(blockIdx.y + 1) * height, n_features);
    for (int f = blockIdx.y * height; f < stop; ++f) {
        const double sum = sums[(long long)f * k + c];
        square += sum * sum;
    }
    squares[(long long)blockIdx.y * k + c] = square;
}

// Likewise of the difference of two means, each a sum times its cluster's factor.
extern "C" __global__ void square_shifts(
    const int n_features, const int k, const int height, const REAL* __restrict__ old_sums,
    const double* __restrict__ old_factor, const REAL* __restrict__ new_sums,
    const double* __restrict__ new_factor, double* __restrict__ squares)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= k) return;
    double square = 0;
    const int stop = min((int)(blockIdx.y + 1) * height, n_features);
    for (int f = blockIdx.y * height; f < stop; ++f) {
        const long long at = (long long)f * k + c;
        const double shift = old_sums[at] * old_factor[c] - new_sums[at] * new_factor[c];
        square += shift * shift;
    }
    squares[(long long)blockIdx.y * k + c] = square;
}

// For each moved row i, from offsets[i] on: where its non-zeros stand in the sums of its source
// (first half) and of its target (second half, `total` further), and what to add there.
extern "C" __global__ void list_moves(
    const int n_moved, const int k, const long long total, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const long long* __restrict__ which, const int* __restrict__ source,
    const int* __restrict__ target, const double* __restrict__ weight,
    const long long* __restrict__ offsets, long long* __restrict__ places,
    double* __restrict__ changes)
{
    const int i = blockIdx.x * blockDim.y + threadIdx.y;
    if (i >= n_moved) return;
    const INDEX begin = indptr[which[i]], end = indptr[which[i] + 1];
    for (INDEX j = begin + threadIdx.x; j < end; j += WARP) {
        const long long at = offsets[i] + (j - begin);
        const long long run = (long long)indices[j] * k;
        const double change = weight[i] * values[j];
        places[at] = run + source[i];
        changes[at] = -change;
        places[total + at] = run + target[i];
        changes[total + at] = change;
    }
}

// Apply listed changes: one thread for each run of equal places, in the order of the list.
extern "C" __global__ void apply_moves(
    const long long n_changes, const long long* __restrict__ places,
    const long long* __restrict__ order, const double* __restrict__ changes,
    REAL* __restrict__ sums)
{
    const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (first >= n_changes) return;
    const long long place = places[order[first]];
    if (first > 0 && places[order[first - 1]] == place) return;
    double change = 0;
    for (long long i = first; i < n_changes && places[order[i]] == place; ++i)
        change += changes[order[i]];
    sums[place] = (REAL)(sums[place] + change);
}
