/* Included by rows.c for each width of vectors: all functions, for float and for double. */

#define REAL float
#define LARGEST FLT_MAX
#define ROUNDING FLT_EPSILON
#define ROOT sqrtf
#define WHOLE int32_t
#define SUFFIX float32
#define EACH_PART EACH_OF_2
#include "rows_impl.h"
#undef REAL
#undef LARGEST
#undef ROUNDING
#undef ROOT
#undef WHOLE
#undef SUFFIX
#undef EACH_PART

#define REAL double
#define LARGEST DBL_MAX
#define ROUNDING DBL_EPSILON
#define ROOT sqrt
#define WHOLE int64_t
#define SUFFIX float64
#define EACH_PART EACH_OF_1
#include "rows_impl.h"
#undef REAL
#undef LARGEST
#undef ROUNDING
#undef ROOT
#undef WHOLE
#undef SUFFIX
#undef EACH_PART

#undef VECTOR_BYTES
#undef MOST_VECTORS
#undef EACH_TILE
#undef DENSE_ROWS
#undef TILE_VECTORS
#undef TILE_CENTERS
#undef DENSE_VECTORS
#undef EACH_DENSE_TILE
