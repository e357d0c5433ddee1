"""Weights of terms in texts: the schemes, defined once for fits, queries and backends.

A weight is ``local * global / norm``. With ``tf`` the count of a term in a text, ``df`` the number
of texts that hold it, ``n`` the number of texts of the fit, all computed in float64:

``"tfidf"``
    local ``tf`` (or ``1 + ln tf`` if sublinear), global ``ln(n / df) + 1`` (or
    ``ln((1 + n) / (1 + df)) + 1`` if smooth): scikit-learn's.

``"bm25"``
    local ``tf (k1 + 1) / (tf + k1 (1 - b + b length / average_length))`` with ``k1 = 1.2`` and
    ``b = 0.75``; ``length`` is the sum of the text's counts of terms that the vocabulary has, and
    ``average_length`` its mean over the texts of the fit (1 if none of them has a term). Global
    ``ln(1 + (n - df + 0.5) / (df + 0.5))``. Robertson and Zaragoza, The Probabilistic Relevance
    Framework: BM25 and Beyond, Foundations and Trends in Information Retrieval 3 (4), 2009,
    section 3.4 with the factor ``k1 + 1`` of TREC-3; the idf, which is never negative, is Lucene's
    ``BM25Similarity``.

``"log-entropy"``
    local ``ln(1 + tf)``, global ``1 + sum_j p_j ln p_j / ln n`` over the texts ``j`` of the fit,
    with ``p_j`` the share of the term's occurrences that stand in text ``j`` (1 if ``n`` is 1): 1
    for a term of one text, 0 for one that is spread evenly over all. Dumais, Improving the
    retrieval of information from external sources, Behavior Research Methods, Instruments, &
    Computers 23 (2), 1991.

The norm is that of the row's ``local * global``; a row whose weights are all 0 stays as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.text_rules import NORMS, SCHEMES, Weighting
from gpu_kmeans.errors import InputError, InvalidParam

__all__ = [
    "MAX_COUNT",
    "NORMS",
    "SCHEMES",
    "Weighting",
    "check_counts",
    "check_idf",
    "global_weights",
    "local_weights",
    "mean_length",
    "row_weights",
    "saturation",
]

K1 = 1.2
"""Count at which a term of BM25 has half of its largest weight, in a text of average length."""
B = 0.75
"""Fraction of a text's length that counts in BM25: 0 for none, 1 for all."""
MAX_COUNT = 2**31 - 1
"""Largest count of a term in a text: kernels hold it in 32 bits."""


def local_weights(
    tf: NDArray[np.float64], weighting: Weighting, saturation: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the weights of counts before those of their terms, shape of ``tf``.

    ``saturation``, for BM25 alone, is that of each count's text.
    """
    if weighting.scheme == "bm25" and saturation is not None:
        return tf * (K1 + 1.0) / (tf + saturation)
    if weighting.scheme == "log-entropy":
        return np.log(tf + 1.0)
    return np.log(tf) + 1.0 if weighting.sublinear else tf


def saturation(length: NDArray[Any], weighting: Weighting) -> NDArray[np.float64]:
    """Return the count that has half of the largest weight in texts of such lengths (BM25)."""
    return K1 * (1.0 - B + B * (length / weighting.average_length))


def mean_length(data: NDArray[Any], n_texts: int) -> float:
    """Return the mean sum of counts of a text; 1 where there are none."""
    return float(data.sum(dtype=np.float64)) / n_texts or 1.0


def row_weights(
    tf: NDArray[np.float64], idf: NDArray[np.float64] | None, weighting: Weighting
) -> NDArray[Any]:
    """Return the weights of one row from its counts, shape (nnz,), in the order of columns.

    The same as a backend's, to the last bit; ``idf`` is that of each non-zero.
    """
    # cumsum adds one by one, as backends do.
    saturated = saturation(np.cumsum(tf)[-1:], weighting) if weighting.scheme == "bm25" else None
    weights = local_weights(tf, weighting, saturated)
    if idf is not None:
        weights = weights * idf
    if weighting.norm is not None:
        mass = np.cumsum(weights**2 if weighting.norm == "l2" else weights)[-1]
        weights = weights / ((np.sqrt(mass) if weighting.norm == "l2" else mass) or 1.0)
    return weights.astype(weighting.dtype)


def global_weights(
    weighting: Weighting,
    smooth: bool,
    frequency: NDArray[Any],
    n_texts: int,
    counts: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> NDArray[np.float64]:
    """Return the weight of each term over all texts, shape (n_terms,).

    Parameters
    ----------
    frequency : ndarray of shape (n_terms,)
        Number of texts that hold the term.
    counts : (columns, data), both of shape (nnz,)
        Column and count of each non-zero, a term at most once in a text; for log-entropy alone.

    An unsmoothed term that no text holds weighs infinitely much.
    """
    if weighting.scheme == "bm25":
        others = n_texts - frequency
        rarity: NDArray[np.float64] = np.log(1.0 + (others + 0.5) / (frequency + 0.5))
        return rarity
    if weighting.scheme == "log-entropy":
        n_terms = len(frequency)
        if n_texts == 1 or counts is None:
            return np.ones(n_terms)
        columns, tf = counts[0], counts[1].astype(np.float64)
        totals = np.maximum(np.bincount(columns, tf, minlength=n_terms), 1.0)
        # sum p ln p = (sum tf ln tf) / total - ln total
        entropy = np.log(totals) - np.bincount(columns, tf * np.log(tf), minlength=n_terms) / totals
        evenness: NDArray[np.float64] = entropy / np.log(n_texts)
        return np.maximum(1.0 - evenness, 0.0)
    # The order of operations is scikit-learn's, so that the rounding is too.
    with np.errstate(divide="ignore"):
        idf: NDArray[np.float64] = np.log((n_texts + float(smooth)) / (frequency + float(smooth)))
    return idf + 1.0


def check_idf(
    idf: Any, n_terms: int, scheme: str = "tfidf", name: str = "idf"
) -> NDArray[np.float64]:
    """Return the weights of terms as a contiguous array of shape (n_terms,), float64.

    Raises
    ------
    InvalidParam
        Another shape, or a value that is not a positive finite number; by log-entropy, a term
        may weigh nothing, too.
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
    positive = values >= 0 if scheme == "log-entropy" else values > 0
    if not (np.isfinite(values) & positive).all():
        raise InvalidParam(f"{name} must be positive finite numbers")
    return values


def check_counts(
    counts: Any, idf: NDArray[Any] | None, scheme: str = "tfidf"
) -> tuple[Any, NDArray[np.float64] | None]:
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
        ``idf`` has another shape or is not positive.
    """
    if getattr(counts, "format", None) != "csr":
        raise InputError(f"counts must be CSR rows, got a {type(counts).__name__}: use tocsr()")
    flaw = _flaw_in_layout(counts) or _flaw_in_values(counts)
    if flaw:
        raise InputError(f"counts are no rows of terms: {flaw}")
    if not counts.has_canonical_format:
        counts = counts.copy()
        counts.sum_duplicates()
    return counts, None if idf is None else check_idf(idf, counts.shape[1], scheme)


def _flaw_in_layout(counts: Any) -> str | None:
    """Describe why three arrays are no CSR matrix; None where they are one."""
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


def _flaw_in_values(counts: Any) -> str | None:
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
