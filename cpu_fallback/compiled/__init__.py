"""The verbs that are worth a compiler: rows assigned, summed and moved, words counted and weighed.

``kernels`` are compiled when the package is installed, where there is a C compiler; where there is
none, :mod:`cpu_fallback.rows` does the same with SciPy, and :mod:`cpu_fallback.count_numpy` with
NumPy and Arrow. Both are exact, and tests hold them equal. What the compiler buys, in turns on two
cores with AVX-512, for 63,000 synthetic texts of 79,000 terms and 1.9 million non-zeros, as the
share of SciPy's time (medians of seven):

=======  ======  =======  ========
..       k = 10  k = 100  k = 1000
=======  ======  =======  ========
assign   0.34    0.29     0.09
sums     0.04    0.09     0.04
=======  ======  =======  ========

SciPy writes all scores and reads them three times again, and reads a number of each cluster for
each term. Compiled, a row's products with frequent features stay in registers, and those with
rare ones are read from lists (see :mod:`cpu_fallback.compiled.sums`). Frequent features come first,
so that what is read most lies together. Numba would compile in the first run, and a library of
sparse products such as MKL would still write the scores; what else was tried stands with its
figures in ``bench/results/tried.md``.

Dense rows have their products in registers, too, several rows at once; what BLAS would write and
have read again is never written. At 63,000 x 256 an iteration takes 0.75 of scikit-learn's time at
k = 100, and 0.67 at k = 1000.

Words are found, hashed and counted in one pass over the texts, and the counts go straight into
their rows. A TF-IDF fit takes 0.39 of the time that it takes with NumPy and Arrow for the same
63,000 texts, 0.37 for 5,000, and 0.39 for the 4,803 TMDB overviews.

A compiler takes vectors that are wider than the machine's apart and keeps none of them in a
register. So GCC makes code for 16, 32 and 64 bytes on x86-64, and the library says which the
machine can use; where 32 bytes hold all clusters, less is read. With 32-byte
vectors alone an assignment takes 0.8 to 1.15 of the time that it takes with 64.
"""

from __future__ import annotations

import numpy as np

from cpu_fallback.compiled.csr import (
    move,
    multiply,
    nearest,
    shift,
    square,
    sum_rows,
    update_bounds,
)
from cpu_fallback.compiled.dense import measure_dense, nearest_dense, sum_dense
from cpu_fallback.compiled.halves import split_in_two
from cpu_fallback.compiled.library import kernels
from cpu_fallback.compiled.lloyd import iterate_dense
from cpu_fallback.compiled.neighbors import nearest_dense_rows, nearest_rows
from cpu_fallback.compiled.products import inner_products, product_rows
from cpu_fallback.compiled.sums import Sums, nonzeros
from cpu_fallback.compiled.words import count_words, weigh_words
from gpu_kmeans.backends.protocol import Matrix, is_sparse

__all__ = [
    "Sums",
    "can_take",
    "count_words",
    "inner_products",
    "is_there",
    "iterate_dense",
    "measure_dense",
    "move",
    "multiply",
    "nearest",
    "nearest_dense",
    "nearest_dense_rows",
    "nearest_rows",
    "nonzeros",
    "product_rows",
    "shift",
    "split_in_two",
    "square",
    "sum_dense",
    "sum_rows",
    "update_bounds",
    "weigh_words",
]


def is_there() -> bool:
    """Whether there is a library."""
    return kernels() is not None


def can_take(rows: Matrix) -> bool:
    """Whether there is a library, and it is made for such rows."""
    index_arrays = (rows.indices, rows.indptr) if is_sparse(rows) else ()
    plain = all(array.dtype == np.int32 and array.flags.c_contiguous for array in index_arrays)
    return plain and is_there()
