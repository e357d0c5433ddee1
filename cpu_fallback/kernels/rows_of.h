/* Included by rows_by_width.h for each REAL: all functions. */

typedef REAL NAMED(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef WHOLE NAMED(wholes) __attribute__((vector_size(VECTOR_BYTES)));
typedef double NAMED(double) __attribute__((vector_size(VECTOR_BYTES)));

#include "sums_of.h"
#include "centroids_of.h"
#include "columns_of.h"
#include "nearest_of.h"
#include "dense_of.h"
#include "drift_of.h"
