"""What counts must be before they are weighed: checked once, before a kernel reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InputError, InvalidParam
from gpu_kmeans.protocol import FloatArray, Matrix
from gpu_kmeans.texts import shown

__all__ = ["NORMS", "check_counts", "check_idf", "check_norm"]

NORMS = (None, "l1", "l2")
"""Norms that a row can be divided by."""
MAX_COUNT = 2**31 - 1
"""Largest count of a term in a text: kernels hold it in 32 bits."""


def check_norm(norm: Any) -> None:
    """Refuse a norm that is none of :data:`NORMS`."""
    if not (norm is None or isinstance(norm, str)) or norm not in NORMS:
        raise InvalidParam(f"norm must be 'l2', 'l1' or None, got {shown(norm)}")


def check_idf(idf: Any, n_terms: int, name: str = "idf") -> NDArray[np.float64]:
    """Return idf as a contiguous array of shape (n_terms,), float64.

    Raises
    ------
    InvalidParam
        Another shape, or a value that is not a positive finite number.
    """
    try:
        values = np.ascontiguousarray(idf)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"it holds {values.dtype}")
        values = values.astype(np.float64, copy=False)
    except (TypeError, ValueError) as problem:
        raise InvalidParam(f"{name} must hold numbers: {problem}") from None
    if np.shape(idf) != (n_terms,):
        raise InvalidParam(f"{name} of shape {np.shape(idf)} does not fit {n_terms} terms")
    if not (np.isfinite(values) & (values > 0)).all():
        raise InvalidParam(f"{name} must be positive finite numbers")
    return values


def check_counts(
    counts: Matrix, idf: FloatArray | None, norm: str | None
) -> tuple[Matrix, NDArray[np.float64] | None]:
    """Return counts of terms in canonical CSR, and idf as float64, both safe to index with.

    Works on host and device arrays alike, by their own methods.

    Parameters
    ----------
    counts : CSR of shape (n, n_terms)
        Whole numbers from 1 to 2^31 - 1, of any integer or floating type.
    idf : ndarray of shape (n_terms,) or None

    Raises
    ------
    InputError
        ``counts`` is not CSR, its arrays do not fit together, a column lies outside of it, or a
        count is not such a number.
    InvalidParam
        ``idf`` has another shape or is not positive; ``norm`` is unknown.
    """
    check_norm(norm)
    if getattr(counts, "format", None) != "csr":
        raise InputError(f"counts must be CSR rows, got a {type(counts).__name__}: use tocsr()")
    flaw = _flaw_in_layout(counts) or _flaw_in_values(counts)
    if flaw:
        raise InputError(f"counts are no rows of terms: {flaw}")
    if not counts.has_canonical_format:
        counts = counts.copy()
        counts.sum_duplicates()
    return counts, None if idf is None else check_idf(idf, counts.shape[1])


def _flaw_in_layout(counts: Matrix) -> str | None:
    """Say what keeps the three arrays of a CSR matrix from being one."""
    n, n_terms = counts.shape
    indptr, indices, data = counts.indptr, counts.indices, counts.data
    for name, array in (("indptr", indptr), ("indices", indices), ("data", data)):
        if array.ndim != 1:
            return f"{name} has {array.ndim} dimensions"
    for name, array in (("indptr", indptr), ("indices", indices)):
        if array.dtype not in (np.int32, np.int64):
            return f"{name} is {array.dtype}, not int32 or int64"
    if len(indptr) != n + 1:
        return f"indptr has {len(indptr)} entries for {n} rows, not {n + 1}"
    if int(indptr[0]) != 0 or bool((indptr[1:] < indptr[:-1]).any()):
        return "indptr does not rise from 0"
    nnz = int(indptr[-1])
    if len(indices) != nnz or len(data) != nnz:
        return f"indptr ends at {nnz}, with {len(indices)} indices and {len(data)} values"
    # One pass: as unsigned numbers, negative columns are larger than any.
    if nnz and int(indices.view(f"uint{8 * indices.itemsize}").max()) >= n_terms:
        return f"a column lies outside 0..{n_terms - 1}"
    return None


def _flaw_in_values(counts: Matrix) -> str | None:
    data = counts.data
    if data.dtype.kind not in "biuf":
        return f"they hold {data.dtype}"
    if not len(data):
        return None
    # Written so that NaN fails them.
    if not bool(data.min() >= 1):
        return "a count is not a number from 1: call eliminate_zeros() first"
    if not bool(data.max() <= MAX_COUNT):
        return f"a count is above {MAX_COUNT}"
    if data.dtype.kind == "f" and bool((data != data.astype(np.int64)).any()):
        return "a count is not a whole number"
    return None
