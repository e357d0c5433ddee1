"""Sparse rows, checked to be valid CSR before anything reads by their indices.

An index outside the rows, or a row that ends before it begins, would be read past an array's end:
by the kernels, and by SciPy's own routines, which check no more than sums and lengths. Nothing
that a matrix says of itself (sorted, without repeats) is believed: it may have been changed since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InputError

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["as_csr", "check_compressed"]

_LARGEST = np.iinfo(np.int32).max


def as_csr(rows: Any) -> sparse.csr_array[Any]:
    """Return a sparse matrix of any SciPy format as CSR: sorted, without repeats, 32-bit indices.

    Arrays that are so already are shared, not copied. Indices stay 64-bit only where the shape or
    the number of non-zeros needs that. Takes O(nnz) time.

    Raises
    ------
    InputError
        Not 2-d, or arrays that do not describe a matrix; the message says which and where.
    """
    from scipy import sparse

    if rows.ndim != 2:
        raise InputError(f"expected rows in 2 dimensions, got a sparse array of {rows.ndim}")
    _check_parts(rows)
    try:
        csr = rows if rows.format == "csr" else rows.tocsr()
        n, width = csr.shape
        indptr, indices = check_compressed(csr.indptr, csr.indices, len(csr.data), n, width)
        values = np.asarray(csr.data)[: indptr[-1]]
        out = sparse.csr_array((values, indices, indptr), shape=(n, width))
        if not out.has_canonical_format:
            out = out.copy()
            out.sum_duplicates()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the sparse rows are malformed: {error}") from None
    return out


def check_compressed(
    indptr: Any, indices: Any, n_values: int, n: int, width: int, axis: str = "row"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Check the index arrays of CSR, or with ``axis="column"`` of CSC; return them contiguous.

    Raises
    ------
    InputError
        ``indptr`` or ``indices`` has another shape or dtype than CSR's, decreases, or points
        outside of the matrix.
    """
    for name, array in (("indptr", indptr), ("indices", indices)):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iu":
            raise InputError(f"the sparse rows are malformed: {name} is no 1-d array of integers")
    if len(indptr) != n + 1:
        raise InputError(
            f"the sparse rows are malformed: indptr has {len(indptr)} entries for {n} {axis}s, not "
            f"{n + 1}"
        )
    if indptr[0] != 0:
        raise InputError(f"the sparse rows are malformed: indptr begins at {indptr[0]}, not 0")
    if (indptr[1:] < indptr[:-1]).any():
        bad = int(np.argmax(indptr[1:] < indptr[:-1]))
        raise InputError(f"the sparse rows are malformed: indptr decreases at {axis} {bad}")
    nnz = int(indptr[-1])
    if nnz > min(len(indices), n_values):
        raise InputError(
            f"the sparse rows are malformed: indptr ends at {nnz}, but there are {len(indices)} "
            f"indices and {n_values} values"
        )
    indices = indices[:nnz]
    if nnz and not 0 <= indices.min() <= indices.max() < width:
        bad = int(np.argmax((indices < 0) | (indices >= width)))
        row = int(np.searchsorted(indptr, bad, side="right")) - 1
        raise InputError(
            f"the sparse rows are malformed: index {indices[bad]} in {axis} {row} is not in "
            f"[0, {width})"
        )
    dtype = np.int32 if max(nnz, n, width) <= _LARGEST else np.int64
    return np.ascontiguousarray(indptr, dtype), np.ascontiguousarray(indices, dtype)


def _check_parts(rows: Any) -> None:
    """Check the arrays that SciPy's conversions to CSR trust, in the other formats."""
    form = getattr(rows, "format", None)
    n, width = rows.shape
    if form == "csr":
        return  # nothing is converted
    if form == "csc":
        check_compressed(rows.indptr, rows.indices, len(rows.data), width, n, "column")
    elif form == "bsr":
        high, wide = np.asarray(rows.data).shape[1:]
        if not high or not wide or n % high or width % wide:
            raise InputError(
                f"the sparse rows are malformed: blocks of {high} x {wide} do not make up {n} x "
                f"{width}"
            )
        blocks = len(rows.data)
        check_compressed(
            rows.indptr, rows.indices, blocks, n // high, width // wide, "row of block"
        )
    elif form == "coo":
        for name, indices, length in zip(("row", "col"), rows.coords, rows.shape, strict=True):
            if len(indices) != len(rows.data):
                raise InputError(
                    f"the sparse rows are malformed: {len(indices)} entries in {name} for "
                    f"{len(rows.data)} values"
                )
            if len(indices) and not 0 <= indices.min() <= indices.max() < length:
                raise InputError(
                    f"the sparse rows are malformed: an entry of {name} is not in [0, {length})"
                )
    elif form == "dia":
        if np.ndim(rows.data) != 2 or np.shape(rows.offsets) != (len(rows.data),):
            raise InputError("the sparse rows are malformed: there is not one offset a diagonal")
    elif form == "lil":
        lengths = [len(indices) for indices in rows.rows]
        if len(lengths) != n or lengths != [len(values) for values in rows.data]:
            raise InputError("the sparse rows are malformed: there is not one value an index")
