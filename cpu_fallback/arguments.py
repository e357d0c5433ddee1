"""Checks of the arguments of the verbs on rows, which the kernels and SciPy trust.

Both index arrays by the numbers in others: a label selects sums, an index a feature. So each verb
checks its arguments for shape, dtype, order and range, once, before anything reads by them. Rows
are checked when they become the backend's own, and not again: their slices are as valid as they.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_kmeans.backends.protocol import Clusters, Matrix
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.sparse_rows import as_csr

__all__ = [
    "Csr",
    "check_clusters",
    "check_width",
    "labels_of",
    "own_rows",
    "row_numbers_of",
    "values_of",
]

FLOATS = (np.float32, np.float64)


class Csr(sparse.csr_array):
    """CSR of floats whose arrays were checked against its shape, as are its slices and copies."""


def own_rows(rows: Any) -> Matrix:
    """Return rows as a :class:`Csr`, or as a C-contiguous array; copied only where they are not.

    Raises
    ------
    InputError
        Malformed CSR, not 2-d, or of another dtype than float32 and float64.
    """
    if isinstance(rows, Csr):
        return rows
    if sparse.issparse(rows):
        rows = Csr(as_csr(rows))
        rows.has_canonical_format = True  # as as_csr leaves them
    else:
        rows = np.ascontiguousarray(rows)
    if rows.ndim != 2 or rows.dtype not in FLOATS:
        raise InvalidParam(
            f"rows must be 2-d, of float32 or float64, got shape {rows.shape} of {rows.dtype}"
        )
    return rows


def labels_of(labels: Any, n: int, k: int, name: str = "labels") -> NDArray[np.int32]:
    """Return labels as contiguous int32 of shape (n,), all of them in [0, k)."""
    out = np.asarray(labels)
    if out.dtype.kind not in "iu" or out.shape != (n,):
        raise InvalidParam(f"{name} must be {n} integers, got shape {out.shape} of {out.dtype}")
    if n and _beyond(out, k):
        raise InvalidParam(f"{name} must be in [0, {k}), got {out.min()} to {out.max()}")
    return np.ascontiguousarray(out, np.int32)


def row_numbers_of(which: Any, n: int) -> NDArray[np.int64]:
    """Return row numbers as contiguous int64, all of them in [0, n)."""
    out = np.asarray(which)
    if out.ndim != 1 or (out.dtype.kind not in "iu" and out.size):
        raise InvalidParam(f"which must be row numbers, got shape {out.shape} of {out.dtype}")
    if out.size and _beyond(out, n):
        raise InvalidParam(f"which must be in [0, {n}), got {out.min()} to {out.max()}")
    return np.ascontiguousarray(out, np.int64)


def values_of(values: Any, n: int, name: str) -> NDArray[np.float64]:
    """Return one number for each row, such as weights, as contiguous float64."""
    out = np.ascontiguousarray(values, np.float64)
    if out.shape != (n,):
        raise InvalidParam(f"{name} must be {n} numbers, got shape {out.shape}")
    return out


def check_width(name: str, width: int, rows: Matrix) -> None:
    """Refuse sums, centroids or directions of another number of features than the rows have."""
    if width != rows.shape[1]:
        raise InvalidParam(f"{name} of {width} features cannot meet rows of {rows.shape[1]}")


def check_clusters(clusters: Clusters, rows: Matrix | None = None) -> None:
    """Refuse clusters whose arrays do not fit each other, or the rows."""
    n_features, k = clusters.sums.shape
    if clusters.weight.shape != (k,) or clusters.squared_norms.shape != (k,):
        raise InvalidParam(
            f"sums of {k} clusters have weights of shape {clusters.weight.shape} and squared norms "
            f"of shape {clusters.squared_norms.shape}"
        )
    if clusters.sums.dtype not in FLOATS:
        raise InvalidParam(f"sums must be float32 or float64, not {clusters.sums.dtype}")
    if rows is not None:
        check_width("sums", n_features, rows)


def _beyond(numbers: NDArray[Any], end: int) -> bool:
    """Whether an integer is outside [0, end), in one pass: as unsigned, negatives are large."""
    return int(numbers.view(f"u{numbers.dtype.itemsize}").max()) >= end
