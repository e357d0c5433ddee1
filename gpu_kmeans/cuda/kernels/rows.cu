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
// for a row of weight w and squared norm x2; `own` gets the product with the row's own sum. Answers
// are written at `slot`, of n.
__device__ __forceinline__ void look_elsewhere(
    const int row, const int slot, const int n, const int k, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const REAL* __restrict__ sums, const REAL* __restrict__ q, const REAL* __restrict__ size,
    const int label, const REAL w, const REAL squared_norm, int* __restrict__ clusters,
    REAL* __restrict__ costs, REAL* __restrict__ own)
{
    const int first = blockIdx.y * TILE;
    REAL product[WIDE];
    multiply(indptr[row], indptr[row + 1], indices, values, sums, k, first, product);
    const REAL wx2 = w * squared_norm;
    REAL cost = no_cost();
    int cluster = first;
#pragma unroll
    for (int p = 0; p < WIDE; ++p) {
        const int c = first + threadIdx.x + p * WARP;
        if (c >= k) break;
        if (c == label) {
            own[slot] = product[p];
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
        clusters[(long long)blockIdx.y * n + slot] = cluster;
        costs[(long long)blockIdx.y * n + slot] = cost;
    }
}

extern "C" __global__ void nearest_other(
    const int n, const int k, const INDEX* __restrict__ indptr, const INDEX* __restrict__ indices,
    const REAL* __restrict__ values, const REAL* __restrict__ sums, const REAL* __restrict__ q,
    const REAL* __restrict__ size, const int* __restrict__ labels,
    const REAL* __restrict__ weight, const REAL* __restrict__ squared_norms,
    int* __restrict__ clusters, REAL* __restrict__ costs, REAL* __restrict__ own)
{
    const int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;  // a whole warp
    look_elsewhere(row, row, n, k, indptr, indices, values, sums, q, size, labels[row],
                   weight[row], squared_norms[row], clusters, costs, own);
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

// -- iterations that stay on the device: see gpu_kmeans/cuda/iterations.py -----------------------
//
// Every row counts once. Sums are kept in fixed point, exact (n_features, k) in units of `unit`, and
// from them rounded to REAL; integers can be added in any order, and taken away again without a
// trace. Of `counters`, one counts rows that move, one clusters that would lose all their rows, and
// one pairs of halves whose moves do not pay. `taken` says of each cluster whether the moves of its
// rows are.

#define MOVING 0
#define EMPTIED 1
#define REFUSED 2

// Which of a row's tiles has the cheapest cluster; of equal costs the first: the lowest cluster.
__device__ __forceinline__ long long cheapest_tile(
    const int row, const int n, const int tiles, const REAL* __restrict__ costs)
{
    long long best = row;
    for (int tile = 1; tile < tiles; ++tile) {
        const long long at = (long long)tile * n + row;
        if (costs[at] < costs[best]) best = at;
    }
    return best;
}

// The cheapest cluster of each row, its cost and the next best's, from those of several tiles. The
// next best is that of the best one's tile, or the best of another; without seconds, it is not asked.
extern "C" __global__ void combine_tiles(
    const int n, const int tiles, const int with_seconds, const int* __restrict__ clusters,
    const REAL* __restrict__ costs, const REAL* __restrict__ seconds, int* __restrict__ nearest,
    REAL* __restrict__ cost, REAL* __restrict__ second)
{
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n) return;
    const long long best = cheapest_tile(row, n, tiles, costs);
    nearest[row] = clusters[best];
    cost[row] = costs[best];
    if (!with_seconds) return;
    REAL next = seconds[best];
    for (long long at = row; at < (long long)tiles * n; at += n)
        if (at != best && costs[at] < next) next = costs[at];
    second[row] = next;
}

// Label each row with the cheapest cluster of its tiles; count rows that moved, and all by cluster.
extern "C" __global__ void take_nearest(
    const int n, const int tiles, const int* __restrict__ clusters,
    const REAL* __restrict__ costs, int* __restrict__ labels, REAL* __restrict__ cost,
    int* __restrict__ members, int* __restrict__ counters)
{
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n) return;
    const long long best = cheapest_tile(row, n, tiles, costs);
    const int label = clusters[best];
    if (labels[row] != label) {
        labels[row] = label;
        atomicAdd(&counters[MOVING], 1);
    }
    cost[row] = costs[best];
    atomicAdd(&members[label], 1);
}

// Count the rows of each cluster.
extern "C" __global__ void count_members(
    const int n, const int* __restrict__ labels, int* __restrict__ members)
{
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < n) atomicAdd(&members[labels[row]], 1);
}

// Add all rows to the sums of their clusters.
extern "C" __global__ void add_all(
    const int n, const int k, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const int* __restrict__ labels, const double unit, unsigned long long* __restrict__ exact)
{
    const int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;
    const int label = labels[row];
    const double scale = 1 / unit;
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP)
        atomicAdd(&exact[(long long)indices[j] * k + label],
                  (unsigned long long)__double2ll_rn(values[j] * scale));
}

// Round all sums, and add up the squares of each band, (bands, k); leave zeros where `clear` is 1.
extern "C" __global__ void round_all(
    const int n_features, const int k, const int height, const double unit, const int clear,
    long long* __restrict__ exact, REAL* __restrict__ sums, double* __restrict__ squares)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= k) return;
    double square = 0;
    const int stop = min((int)(blockIdx.y + 1) * height, n_features);
    for (int f = blockIdx.y * height; f < stop; ++f) {
        const long long at = (long long)f * k + c;
        const double sum = __ll2double_rn(exact[at]) * unit;
        if (clear) exact[at] = 0;
        sums[at] = (REAL)sum;
        square += sum * sum;
    }
    squares[(long long)blockIdx.y * k + c] = square;
}

// The squares of a band for the clusters that rows come to or leave; of others nothing is read.
extern "C" __global__ void square_changed(
    const int n_features, const int k, const int height, const double unit,
    const int* __restrict__ changed, const long long* __restrict__ exact,
    double* __restrict__ squares)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= k || !changed[c]) return;
    double square = 0;
    const int stop = min((int)(blockIdx.y + 1) * height, n_features);
    for (int f = blockIdx.y * height; f < stop; ++f) {
        const double sum = __ll2double_rn(exact[(long long)f * k + c]) * unit;
        square += sum * sum;
    }
    squares[(long long)blockIdx.y * k + c] = square;
}

// Add the bands of a cluster up, one warp a cluster, in a fixed order.
__device__ __forceinline__ double sum_of_bands(
    const int c, const int k, const int bands, const double* __restrict__ squares)
{
    double sum = 0;
    for (int band = threadIdx.x; band < bands; band += WARP)
        sum += squares[(long long)band * k + c];
    return sum_of_warp(sum);
}

// What an assignment reads of a cluster of so many rows.
__device__ __forceinline__ void describe(
    const int c, const int rows, const double norm, REAL* __restrict__ q, REAL* __restrict__ size)
{
    size[c] = rows > 0 ? (REAL)rows : (REAL)1;
    q[c] = rows > 0 ? (REAL)(norm / rows) : no_cost();
}

// Once all sums are formed: weight, squared norm, |sum|^2 / weight and shift of each cluster, the
// four rows of state (4, k), from `members`, which are counted anew the next time where `clear` is 1.
extern "C" __global__ void describe_all(
    const int k, const int bands, const double* __restrict__ squares,
    const double* __restrict__ shifts, const int shifted, const int clear,
    int* __restrict__ members, double* __restrict__ state, REAL* __restrict__ q,
    REAL* __restrict__ size)
{
    const int c = blockIdx.x * blockDim.y + threadIdx.y;
    if (c >= k) return;  // a whole warp
    const double norm = sum_of_bands(c, k, bands, squares);
    const double shift = shifted ? sum_of_bands(c, k, bands, shifts) : 0;
    if (threadIdx.x) return;
    const int rows = members[c];
    state[c] = rows;
    state[k + c] = norm;
    state[2 * (long long)k + c] = rows > 0 ? norm / rows : 0;
    state[3 * (long long)k + c] = shift;
    describe(c, rows, norm, q, size);
    if (clear) members[c] = 0;
}

// Squared shifts of the means by band: the old ones are sums by the weights in state (4, k), the new
// ones by `members`. Of a cluster that has lost all its rows there is no new mean.
extern "C" __global__ void square_steps(
    const int n_features, const int k, const int height, const REAL* __restrict__ old_sums,
    const double* __restrict__ state, const REAL* __restrict__ sums,
    const int* __restrict__ members, double* __restrict__ shifts)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= k) return;
    double square = 0;
    if (members[c] > 0) {
        const double before = state[c] > 0 ? 1 / state[c] : 0, after = 1.0 / members[c];
        const int stop = min((int)(blockIdx.y + 1) * height, n_features);
        for (int f = blockIdx.y * height; f < stop; ++f) {
            const long long at = (long long)f * k + c;
            const double shift = old_sums[at] * before - sums[at] * after;
            square += shift * shift;
        }
    }
    shifts[(long long)blockIdx.y * k + c] = square;
}

// What the host asks after an iteration, one warp: rows that moved, empty clusters, the sums of
// |sum|^2 / weight and of the shifts.
extern "C" __global__ void report_iteration(
    const int k, const double* __restrict__ state, int* __restrict__ counters,
    double* __restrict__ answers)
{
    double empty = 0, explained = 0, shift = 0;
    for (int c = threadIdx.x; c < k; c += WARP) {
        empty += state[c] == 0;
        explained += state[2 * (long long)k + c];
        shift += state[3 * (long long)k + c];
    }
    empty = sum_of_warp(empty);
    explained = sum_of_warp(explained);
    shift = sum_of_warp(shift);
    if (threadIdx.x) return;
    answers[0] = counters[MOVING];
    answers[1] = empty;
    answers[2] = explained;
    answers[3] = shift;
    counters[MOVING] = 0;
}

// `nearest_other` of the rows in a list, each of weight 1.
extern "C" __global__ void nearest_other_of(
    const int n, const int k, const int* __restrict__ which, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const REAL* __restrict__ sums, const REAL* __restrict__ q, const REAL* __restrict__ size,
    const int* __restrict__ labels, const double* __restrict__ squared_norms,
    int* __restrict__ clusters, REAL* __restrict__ costs, REAL* __restrict__ own)
{
    const int slot = blockIdx.x * blockDim.y + threadIdx.y;
    if (slot >= n) return;  // a whole warp
    const int row = which[slot];
    look_elsewhere(row, slot, n, k, indptr, indices, values, sums, q, size, labels[row], (REAL)1,
                   (REAL)squared_norms[row], clusters, costs, own);
}

// A row moves: how many do, and what their clusters gain and lose.
__device__ __forceinline__ void announce(
    const int source, const int target, int* __restrict__ change, int* __restrict__ changed,
    int* __restrict__ counters)
{
    atomicAdd(&counters[MOVING], 1);
    atomicAdd(&change[target], 1);
    atomicAdd(&change[source], -1);
    changed[target] = changed[source] = 1;
}

// For each row of a list, what the inertia gains by its best move, as gpu_kmeans/clustering/
// hartigan.py has it, and whether that is more than rounding, `noise` times the norms.
extern "C" __global__ void weigh_moves(
    const int n, const int k, const int tiles, const int* __restrict__ which,
    const int* __restrict__ clusters, const REAL* __restrict__ costs,
    const REAL* __restrict__ own, const int* __restrict__ labels,
    const double* __restrict__ squared_norms, const int* __restrict__ members,
    const double* __restrict__ state, const double noise, const double typical_norm,
    int* __restrict__ target, double* __restrict__ gains, int* __restrict__ moving,
    int* __restrict__ change, int* __restrict__ changed, int* __restrict__ counters)
{
    const int slot = blockIdx.x * blockDim.x + threadIdx.x;
    if (slot >= n) return;
    const int row = which[slot], label = labels[row];
    const long long best = cheapest_tile(slot, n, tiles, costs);
    const double x2 = squared_norms[row], size = members[label];
    double leave = 0;
    if (size > 1) {
        const double inside = x2 - 2 * (double)own[slot] / size + state[k + label] / (size * size);
        leave = size / (size - 1) * (inside > 0 ? inside : 0);
    }
    const bool possible = costs[best] < no_cost();  // not so where no other cluster has rows
    const double gain = possible ? leave - ((double)costs[best] + x2) : -1.0 / 0.0;
    const bool moves = gain > noise * (x2 + typical_norm);
    gains[row] = gain;
    target[slot] = clusters[best];
    moving[slot] = moves;
    if (moves) announce(label, clusters[best], change, changed, counters);
}

// Likewise for moves that the host has chosen.
extern "C" __global__ void announce_moves(
    const int n, const int* __restrict__ which, const int* __restrict__ labels,
    const int* __restrict__ target, const int* __restrict__ moving, int* __restrict__ change,
    int* __restrict__ changed, int* __restrict__ counters)
{
    const int slot = blockIdx.x * blockDim.x + threadIdx.x;
    if (slot < n && moving[slot])
        announce(labels[which[slot]], target[slot], change, changed, counters);
}

// Take the rows of a list that move out of their clusters' sums, and into those of their targets.
__device__ __forceinline__ void carry(
    const int row, const int k, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values, const int source,
    const int target, const double scale, unsigned long long* __restrict__ exact)
{
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP) {
        const long long run = (long long)indices[j] * k;
        const unsigned long long units = (unsigned long long)__double2ll_rn(values[j] * scale);
        atomicAdd(&exact[run + target], units);
        atomicAdd(&exact[run + source], 0ull - units);
    }
}

extern "C" __global__ void carry_moves(
    const int n, const int k, const int* __restrict__ which, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const int* __restrict__ labels, const int* __restrict__ target,
    const int* __restrict__ moving, const double unit, unsigned long long* __restrict__ exact)
{
    const int slot = blockIdx.x * blockDim.y + threadIdx.y;
    if (slot >= n || !moving[slot]) return;
    const int row = which[slot];
    carry(row, k, indptr, indices, values, labels[row], target[slot], 1 / unit, exact);
}

// Once rows were carried: the clusters' squared norms, and |sum|^2 / weight, in after (2, k). One
// that would lose all its rows is counted. One warp a cluster.
extern "C" __global__ void describe_changed(
    const int k, const int bands, const double* __restrict__ squares,
    const int* __restrict__ changed, const int* __restrict__ members,
    const int* __restrict__ change, const double* __restrict__ state,
    double* __restrict__ after, int* __restrict__ counters)
{
    const int c = blockIdx.x * blockDim.y + threadIdx.y;
    if (c >= k) return;  // a whole warp
    const bool fresh = changed[c];
    const double norm = fresh ? sum_of_bands(c, k, bands, squares) : state[k + c];
    if (threadIdx.x) return;
    const int rows = members[c] + change[c];
    if (members[c] > 0 && rows == 0) atomicAdd(&counters[EMPTIED], 1);
    after[c] = norm;
    after[k + c] = rows > 0 ? norm / rows : 0;
}

// What the host asks after the moves of a block, one warp: rows that would move, whether they did,
// and what the clusters explain now. The moves are taken where these lower the inertia.
extern "C" __global__ void report_moves(
    const int k, const double* __restrict__ state, const double* __restrict__ after,
    int* __restrict__ counters, int* __restrict__ taken_of, double* __restrict__ answers)
{
    double risen = 0, before = 0;
    for (int c = threadIdx.x; c < k; c += WARP) {
        // Cluster by cluster, so that one far from all others takes no digits from them.
        risen += after[k + c] - state[2 * (long long)k + c];
        before += state[2 * (long long)k + c];
    }
    risen = sum_of_warp(risen);
    before = sum_of_warp(before);
    const bool taken = counters[MOVING] > 0 && counters[EMPTIED] == 0 && risen > 0;
    for (int c = threadIdx.x; c < k; c += WARP) taken_of[c] = taken;
    __syncwarp(EVERY_LANE);
    if (threadIdx.x) return;
    answers[0] = counters[MOVING];
    answers[1] = taken;
    answers[2] = taken ? before + risen : before;
    counters[MOVING] = counters[EMPTIED] = 0;
}

// Moves that were taken become labels, and their sums are rounded; others are carried back.
extern "C" __global__ void settle_moves(
    const int n, const int k, const int* __restrict__ which, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const int* __restrict__ target, const int* __restrict__ moving, const double unit,
    const int* __restrict__ taken, int* __restrict__ labels,
    unsigned long long* __restrict__ exact, REAL* __restrict__ sums)
{
    const int slot = blockIdx.x * blockDim.y + threadIdx.y;
    if (slot >= n || !moving[slot]) return;  // a whole warp
    const int row = which[slot], source = labels[row];
    if (!taken[source]) {
        carry(row, k, indptr, indices, values, target[slot], source, 1 / unit, exact);
        return;
    }
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP) {
        const long long run = (long long)indices[j] * k;
        const int ends[2] = {source, target[slot]};
        for (int end = 0; end < 2; ++end) {  // another row may write the same number there
            const long long units = (long long)exact[run + ends[end]];
            sums[run + ends[end]] = (REAL)(__ll2double_rn(units) * unit);
        }
    }
    __syncwarp(EVERY_LANE);
    if (threadIdx.x == 0) labels[row] = target[slot];
}

// And the clusters become what they were described as.
extern "C" __global__ void settle_clusters(
    const int k, const double* __restrict__ after, const int* __restrict__ taken,
    int* __restrict__ members, int* __restrict__ change, int* __restrict__ changed,
    double* __restrict__ state, REAL* __restrict__ q, REAL* __restrict__ size)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= k) return;
    if (taken[c] && changed[c]) {
        const int rows = members[c] += change[c];
        state[c] = rows;
        state[k + c] = after[c];
        state[2 * (long long)k + c] = after[k + c];
        describe(c, rows, after[c], q, size);
    }
    change[c] = changed[c] = 0;
}

// -- clusters split in two, all of them at once: see gpu_kmeans/cuda/halves.py -------------------
//
// Columns 2 c and 2 c + 1 are the halves of cluster c; a row is held to its own cluster's alone.

// Products of a row with two neighbouring columns.
__device__ __forceinline__ void products_with_pair(
    const int row, const int k, const int first, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const REAL* __restrict__ sums, double (&product)[2])
{
    product[0] = product[1] = 0;
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP) {
        const REAL* pair = sums + (long long)indices[j] * k + first;
        product[0] += (double)values[j] * pair[0];
        product[1] += (double)values[j] * pair[1];
    }
    product[0] = sum_of_warp(product[0]);
    product[1] = sum_of_warp(product[1]);
}

// Add the rows of a list to the sums of their labels.
extern "C" __global__ void add_listed(
    const int n, const int k, const int* __restrict__ which, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const int* __restrict__ labels, const double unit, unsigned long long* __restrict__ exact)
{
    const int slot = blockIdx.x * blockDim.y + threadIdx.y;
    if (slot >= n) return;
    const int row = which[slot], label = labels[row];
    const double scale = 1 / unit;
    for (INDEX j = indptr[row] + threadIdx.x; j < indptr[row + 1]; j += WARP)
        atomicAdd(&exact[(long long)indices[j] * k + label],
                  (unsigned long long)__double2ll_rn(values[j] * scale));
}

// Label each row of a list with the nearer of the two rows that stand for its cluster's halves; by a
// coin, 0 or 1, where that is even.
extern "C" __global__ void choose_halves(
    const int n, const int k, const int* __restrict__ which, const int* __restrict__ cluster,
    const int* __restrict__ coins, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const REAL* __restrict__ sums, const double* __restrict__ state, int* __restrict__ labels,
    int* __restrict__ members)
{
    const int slot = blockIdx.x * blockDim.y + threadIdx.y;
    if (slot >= n) return;  // a whole warp
    const int row = which[slot], first = 2 * cluster[slot];
    double product[2];
    products_with_pair(row, k, first, indptr, indices, values, sums, product);
    if (threadIdx.x) return;
    const double zero = state[k + first], one = state[k + first + 1];
    const double nearer = 2 * (product[1] - product[0]) - (one - zero);
    const bool even = fabs(nearer) <= 1e-6 * (zero + one);
    const int label = first + (even ? coins[slot] : nearer > 0);
    labels[row] = label;
    atomicAdd(&members[label], 1);
}

// `weigh_moves` of each row of a list to its cluster's other half.
extern "C" __global__ void weigh_halves(
    const int n, const int k, const int* __restrict__ which, const INDEX* __restrict__ indptr,
    const INDEX* __restrict__ indices, const REAL* __restrict__ values,
    const REAL* __restrict__ sums, const int* __restrict__ labels,
    const double* __restrict__ squared_norms, const int* __restrict__ members,
    const double* __restrict__ state, const double noise, const double typical_norm,
    int* __restrict__ target, double* __restrict__ gains, int* __restrict__ moving,
    int* __restrict__ change, int* __restrict__ changed, int* __restrict__ counters)
{
    const int slot = blockIdx.x * blockDim.y + threadIdx.y;
    if (slot >= n) return;  // a whole warp
    const int row = which[slot], label = labels[row], other = label ^ 1;
    double product[2];
    products_with_pair(row, k, label & ~1, indptr, indices, values, sums, product);
    if (threadIdx.x) return;
    const double x2 = squared_norms[row], size = members[label], there = members[other];
    double leave = 0, gain = -1.0 / 0.0;
    if (size > 1) {
        const double own = product[label & 1];
        const double inside = x2 - 2 * own / size + state[k + label] / (size * size);
        leave = size / (size - 1) * (inside > 0 ? inside : 0);
    }
    if (there > 0) {
        const double q = state[k + other] / there;
        gain = leave - ((q - 2 * product[other & 1] - x2) / (there + 1) + x2);
    }
    const bool moves = gain > noise * (x2 + typical_norm);
    gains[row] = gain;
    target[slot] = other;
    moving[slot] = moves;
    if (moves) announce(label, other, change, changed, counters);
}

// Whether the moves within each pair of halves lower its inertia: 1, 0, or -1 where none moves.
extern "C" __global__ void judge_halves(
    const int k, const double* __restrict__ state, const double* __restrict__ after,
    const int* __restrict__ members, const int* __restrict__ change,
    const int* __restrict__ changed, int* __restrict__ counters, int* __restrict__ taken,
    int* __restrict__ verdict)
{
    const int pair = blockIdx.x * blockDim.x + threadIdx.x;
    if (2 * pair >= k) return;
    const int a = 2 * pair, b = a + 1;
    int answer = -1;
    if (changed[a] || changed[b]) {
        const double* before = state + 2 * (long long)k;
        const double risen = (after[k + a] - before[a]) + (after[k + b] - before[b]);
        answer = risen > 0 && members[a] + change[a] > 0 && members[b] + change[b] > 0;
        if (!answer) atomicAdd(&counters[REFUSED], 1);
    }
    verdict[pair] = answer;
    taken[a] = taken[b] = answer > 0;
}

// Of pairs whose moves do not pay, leave those rows that gain more than they do on average, or every
// second where all gain alike; of others none. One warp a pair, whose rows begin at first[pair].
extern "C" __global__ void thin_moves(
    const int pairs, const int* __restrict__ first, const int* __restrict__ which,
    const int* __restrict__ verdict, const double* __restrict__ gains, int* __restrict__ moving)
{
    const int pair = blockIdx.x * blockDim.y + threadIdx.y;
    if (pair >= pairs) return;  // a whole warp
    const int begin = first[pair], end = first[pair + 1];
    double sum = 0, count = 0, above = 0;
    for (int slot = begin + threadIdx.x; slot < end; slot += WARP)
        if (moving[slot]) {
            sum += gains[which[slot]];
            count += 1;
        }
    sum = sum_of_warp(sum);
    count = sum_of_warp(count);
    const bool again = verdict[pair] == 0 && count > 1;
    for (int slot = begin + threadIdx.x; slot < end; slot += WARP)
        if (moving[slot]) above += gains[which[slot]] * count > sum;
    above = sum_of_warp(above);
    for (int slot = begin + threadIdx.x; slot < end; slot += WARP) {
        const bool stays = above > 0 && above < count ? gains[which[slot]] * count > sum : slot & 1;
        moving[slot] = again && moving[slot] && stays;
    }
}
