"""The verbs on rows that are worth a compiler: assigning them, summing and moving sparse ones.

``kernels/rows.c`` is compiled when the package is installed, where there is a C compiler; where
there is none, :mod:`cpu_fallback.rows` does the same with SciPy. Both are exact, and tests hold
them equal. What the compiler buys, in turns on two cores with AVX-512, for 63,956 package
descriptions of 79,522 terms and 1.9 million non-zeros, and for a synthetic corpus of that shape
with more rare terms, as the share of SciPy's time (medians of seven):

==================  ======  =======  ========
..                  k = 10  k = 100  k = 1000
==================  ======  =======  ========
assign              0.48    0.43     0.25
assign, synthetic   0.56    0.33     0.12
sums                0.12    0.10     0.07
sums, synthetic     0.08    0.08     0.07
==================  ======  =======  ========

SciPy writes all scores and reads them three times again, and reads a number of each cluster for
each term. Compiled, a row's products with frequent features stay in registers, and those with
rare ones are read from lists (see :mod:`cpu_fallback.sums`): at k = 1000 that takes 0.5 of the time
with runs for all, and 0.2 on the synthetic corpus. Frequent features come first, so that what is
read most lies together. Tried without gain: rows in the order of their clusters. Marking in each
run the vectors that hold anything gained far less than lists. Numba would compile in the
first run, and a library of sparse products such as MKL would still write the scores.

Dense rows are multiplied by BLAS; compiled, its scores are read once instead of four times, which
at 63,000 x 256 takes an assignment from 2.6 to 1.3 times BLAS's own time at k = 100, from 2.9 to
1.4 at k = 1000, and with labels from 5.3 to 1.5.
"""

from __future__ import annotations

import numpy as np

from cpu_fallback.compiled.asked import Asked
from cpu_fallback.compiled.csr import move, nearest, shift, sum_rows
from cpu_fallback.compiled.dense import nearest_dense, sum_dense
from cpu_fallback.compiled.library import kernels
from cpu_fallback.compiled.sums import Sums
from gpu_kmeans.protocol import Matrix

__all__ = [
    "Asked",
    "Sums",
    "can_take",
    "is_there",
    "move",
    "nearest",
    "nearest_dense",
    "shift",
    "sum_dense",
    "sum_rows",
]


def is_there() -> bool:
    """Whether there is a library."""
    return kernels() is not None


def can_take(rows: Matrix) -> bool:
    """Whether there is a library, and it is made for such rows."""
    if hasattr(rows, "indptr") and not rows.indices.dtype == rows.indptr.dtype == np.int32:
        return False
    return is_there()
