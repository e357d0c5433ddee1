"""Counting and weighing terms on the CPU, compiled where a C compiler was at hand.

Lower-casing (``str.lower``) and word characters (``\\w`` of ``re``) are the interpreter's own, so a
token here is exactly what :mod:`gpu_kmeans.features.tfidf` finds in a single query. A dataframe
library's regular expressions would not give that: they bring Unicode tables of another version,
with other letters and capitals.

Chunks are independent of one another and are joined in order, so the result depends neither on
their size nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cpu_fallback import compiled
from gpu_kmeans.backends.protocol import FloatArray, Matrix, TokenRules, Weighting
from gpu_kmeans.features.texts import as_strings
from gpu_kmeans.features.weighting import check_counts, local_weights, saturation

__all__ = ["count_terms", "tfidf_transform"]

_CHUNK = 1 << 20
"""Maximum number of characters of a chunk: enough to keep NumPy busy, few enough for 10 MB
(English) to 60 MB (Japanese) a thread."""
_LEAST_CHUNK = 1 << 16
"""Minimum number of characters of a chunk, where there are other texts to fill it."""
_FEW_CHUNKS = 8
"""Number of chunks of fewer texts, so that all threads have some."""
_BLOCK = 1 << 16
"""Number of non-zeros that are weighed at once, in float64."""


def count_terms(
    texts: Any, rules: TokenRules, vocabulary: Sequence[str] | None
) -> tuple[list[str], Matrix]:
    """Count the terms of each text; see :meth:`gpu_kmeans.backends.protocol.Backend.count_terms`.

    Counts are int32. Peak memory is three to four times that of the result, and 10 to 60 MB for
    each thread (more where a single text is longer than a million characters); of words alone,
    compiled, it is half of that.

    Raises
    ------
    InputError
        A text is missing or not a ``str``; its position is named, counted from 0.
    """
    chunks = _chunks(as_strings(texts))
    if compiled.is_there() and rules.ngram_range == (1, 1):
        return compiled.count_words(chunks, rules, vocabulary)
    from cpu_fallback import count_numpy as terms  # which brings Arrow

    return terms.count(chunks, rules, vocabulary)


def tfidf_transform(counts: Matrix, idf: FloatArray | None, weighting: Weighting) -> Matrix:
    """Turn counts into weighted rows; see
    :meth:`gpu_kmeans.backends.protocol.Backend.tfidf_transform`.

    The result shares its index arrays with ``counts``, where they are canonical.

    Raises
    ------
    InputError, InvalidParam
        See :func:`gpu_kmeans.features.weighting.check_counts`.
    """
    counts, idf = check_counts(counts, idf, weighting.scheme)
    # The kernel writes float32, and divides by no norm of 0.
    compilable = weighting.dtype == "float32" and weighting.scheme != "log-entropy"
    weigh = compiled.weigh_words if compilable and compiled.can_take(counts) else _weigh
    values = weigh(counts, idf, weighting, _blocks(counts.indptr), _locally(counts, weighting))
    return sp.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def _locally(counts: Matrix, weighting: Weighting) -> Callable[[int, int], NDArray[np.float64]]:
    """Make a function that weighs the counts of some rows, before the weights of their terms."""

    def weigh(first: int, last: int) -> NDArray[np.float64]:
        tf = counts.data[counts.indptr[first] : counts.indptr[last]].astype(np.float64)
        if weighting.scheme != "bm25":
            return local_weights(tf, weighting)
        rows = _rows(counts.indptr, first, last)
        length = np.bincount(rows, tf, minlength=last - first)
        return local_weights(tf, weighting, saturation(length, weighting)[rows])

    return weigh


def _rows(indptr: NDArray[Any], first: int, last: int) -> NDArray[np.intp]:
    """Return the row of each non-zero of some rows, counted from the first of them."""
    return np.repeat(np.arange(last - first), np.diff(indptr[first : last + 1]))


def _weigh(
    counts: Matrix,
    idf: FloatArray | None,
    weighting: Weighting,
    blocks: Sequence[tuple[int, int]],
    local: Callable[[int, int], NDArray[np.float64]],
) -> NDArray[Any]:
    norm = weighting.norm
    values = np.empty(counts.nnz, dtype=weighting.dtype)
    for first, last in blocks:
        block = slice(counts.indptr[first], counts.indptr[last])
        weights = local(first, last)
        if idf is not None:
            weights = weights * idf[counts.indices[block]]
        if norm is not None:
            rows = _rows(counts.indptr, first, last)
            # bincount adds one by one in column order, which a single query can repeat.
            mass = np.bincount(rows, weights**2 if norm == "l2" else weights)
            mass[mass == 0] = 1.0
            weights = weights / (np.sqrt(mass) if norm == "l2" else mass)[rows]
        values[block] = weights
    return values


def _blocks(indptr: NDArray[Any]) -> list[tuple[int, int]]:
    """Cut between rows, after about ``_BLOCK`` non-zeros each."""
    cuts = np.searchsorted(indptr, np.arange(0, indptr[-1], _BLOCK))
    return list(pairwise(np.unique(np.append(cuts, len(indptr) - 1)).tolist()))


def _chunks(texts: list[str]) -> list[list[str]]:
    """Cut between texts, after about as many characters each; at least one chunk."""
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))
    total = int(ends[-1]) if texts else 0
    size = min(_CHUNK, max(_LEAST_CHUNK, total // _FEW_CHUNKS))
    cuts = np.searchsorted(ends, np.arange(size, total, size)) + 1
    inner = np.unique(cuts[cuts < len(texts)]).tolist()
    return [texts[first:last] for first, last in pairwise([0, *inner, len(texts)])]
