/* Included by rows_by_width.h for each REAL: all functions. */

typedef REAL NAMED(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef WHOLE NAMED(wholes) __attribute__((vector_size(VECTOR_BYTES)));
typedef double NAMED(double) __attribute__((vector_size(VECTOR_BYTES)));

#include "sums_impl.h"
#include "centroids_impl.h"
#include "columns_impl.h"
#include "nearest_impl.h"
#include "dense_impl.h"
#include "lloyd_impl.h"
#include "halves_impl.h"
#include "bounds_impl.h"
#include "products_impl.h"
#include "neighbors_impl.h"
#undef PRODUCT_TILE
