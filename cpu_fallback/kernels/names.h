/* Included by rows.c: names that stand for another type or number in each file that is included for
 * each REAL and width of vectors. WHOLE is the integer of REAL's size. */

#define JOINED(name, suffix, bytes) name##_##suffix##_##bytes
#define WITH(name, suffix, bytes) JOINED(name, suffix, bytes)
#define NAMED(name) WITH(name, SUFFIX, VECTOR_BYTES)

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define LINE (64 / sizeof(REAL))
#define SIGN (8 * sizeof(REAL) - 1)
#define VECTOR NAMED(vector)
#define WHOLES NAMED(wholes)
#define DOUBLE NAMED(double)
#define DOUBLES ((int)(VECTOR_BYTES / sizeof(double)))
#define ENTRY NAMED(entry)
#define SUMS NAMED(sums)
#define SEARCH NAMED(search)
#define BEST NAMED(best)
#define SPAN NAMED(span)
#define CHOOSING NAMED(choosing)
#define CENTROIDS NAMED(centroids)
#define SPREADING NAMED(spreading)
#define MEASURING NAMED(measuring)
#define TURNING NAMED(turning)
#define SHIFT NAMED(shifting)
#define DENSE_SUMMING NAMED(dense_summing)
#define DENSE NAMED(dense)
#define SUMMING NAMED(summing)
