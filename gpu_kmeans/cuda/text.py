"""Counting terms with cuML and weighing them with a kernel; texts and rows stay on the device.

cuML's ``TfidfVectorizer`` is given words with spaces between them, and counts them bare: which
words a text has is found before, with cuDF where it reads the text as Python does and on the
host where it does not (:mod:`gpu_kmeans.cuda.cudf_unicode`), so that a token is exactly what
:mod:`gpu_kmeans.features.tfidf` says. The terms come to the host, where their columns are numbered.

Texts are counted some 100 MB at a time: cuDF holds at most 2^31 tokens in a column and 2^31
bytes of n-grams; 16 bytes of memory are reckoned for each byte of text, an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import cudf
import cuml
import cupy as cp
import numpy as np
from cudf.api.types import is_string_dtype
from cuml.feature_extraction.text import TfidfVectorizer
from cupyx.scipy import sparse
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import FloatArray, Matrix, TokenRules, Weighting
from gpu_kmeans.cuda import kernels
from gpu_kmeans.cuda.cudf_unicode import PLAIN, is_plain, words_of
from gpu_kmeans.cuda.device_memory import each_block
from gpu_kmeans.features.texts import as_strings, column_numbers
from gpu_kmeans.features.weighting import K1, check_counts, local_weights, saturation

__all__ = ["count_terms", "tfidf_transform"]

Texts: TypeAlias = Any
"""A text column of cuDF without nulls, or a list of str."""

_CHUNK = 1 << 27
"""Number of bytes of text (or characters, on the host) counted at once, per word of the longest
n-gram."""
_WORK = 16
"""Number of device bytes per byte of text that is counted, and per word of the longest n-gram."""
_THREADS = 128
_NORMS = {None: 0, "l1": 1, "l2": 2}  # as in weigh.cu
_INDEX = {"int32": "int", "int64": "long long"}
_REAL = {"float32": "float", "float64": "double"}


def count_terms(
    texts: Any, rules: TokenRules, vocabulary: Sequence[str] | None
) -> tuple[list[str], Matrix]:
    """Count the terms of each text; see :meth:`gpu_kmeans.backends.protocol.Backend.count_terms`.

    Counts are float32 (cupyx has no CSR of integers), hence exact up to 2^24.

    Parameters
    ----------
    texts : cudf.Series, or list, array, pandas.Series or other iterable of str
        A column on the device stays there, but for those texts that cuDF reads otherwise.

    Raises
    ------
    InputError
        A text is missing or not a ``str``; its position is named, counted from 0.
    OutOfDeviceMemory
    """
    rows = texts if _is_text_column(texts) else _strings(texts)
    sizes = _sizes(rows)
    rules = _within(rules, int(sizes.max(initial=0)))
    parts: list[tuple[list[str], Matrix]] = []
    for chunk, size in _chunks(rows, sizes, _CHUNK // rules.ngram_range[1]):

        def work(start: int, stop: int, chunk: Texts = chunk) -> None:
            parts.append(_count(_part(chunk, start, stop), rules))

        each_block(len(chunk), 1 + _WORK * rules.ngram_range[1] * size // len(chunk), work)
    if vocabulary is None:
        terms = sorted({name for names, _ in parts for name in names})
    else:
        terms = list(vocabulary)
    return terms, _join(parts, terms)


def tfidf_transform(counts: Matrix, idf: FloatArray | None, weighting: Weighting) -> Matrix:
    """Turn counts into weighted rows; see
    :meth:`gpu_kmeans.backends.protocol.Backend.tfidf_transform`.

    The result shares its index arrays with ``counts``, where they are canonical. The weights
    are the CPU's to the last bit: logarithms come from a table that the host has filled.

    Raises
    ------
    InputError, InvalidParam
        See :func:`gpu_kmeans.features.weighting.check_counts`.
    """
    counts, idf = check_counts(counts, idf, weighting.scheme)
    n, n_terms = counts.shape
    values = cp.empty(counts.nnz, weighting.dtype)
    if counts.nnz:
        bm25 = weighting.scheme == "bm25"
        tf = np.arange(int(counts.data.max()) + 1, dtype=np.float64)
        if not bm25:
            tf[1:] = local_weights(tf[1:], weighting)
        weigh = kernels.load(
            "weigh.cu",
            INDEX=_INDEX[counts.indices.dtype.name],
            REAL=_REAL[weighting.dtype],
            SATURATED=str(int(bm25)),
        )["weigh"]
        weigh(
            (-(-n // _THREADS),),
            (_THREADS,),
            (
                counts.indptr,
                counts.indices,
                counts.data.astype(np.float32, copy=False),
                cp.asarray(tf),
                cp.asarray(np.ones(n_terms) if idf is None else idf, dtype=np.float64),
                _saturation(counts, weighting) if bm25 else cp.zeros(1),
                np.float64(K1 + 1.0),
                np.int32(_NORMS[weighting.norm]),
                np.int32(n),
                values,
            ),
        )
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def _saturation(counts: Matrix, weighting: Weighting) -> Any:
    """Return :func:`gpu_kmeans.features.weighting.saturation` of each row; the host computes it."""
    ends = cp.zeros(counts.nnz + 1)
    cp.cumsum(counts.data, dtype=np.float64, out=ends[1:])  # whole numbers: exact
    row_ends = cp.asnumpy(ends[counts.indptr])
    return cp.asarray(saturation(np.diff(row_ends), weighting))


# -- texts, on the device or on the host ------------------------------------------------


def _is_text_column(texts: Any) -> bool:
    return isinstance(texts, cudf.Series) and is_string_dtype(texts) and not texts.null_count


def _strings(texts: Any) -> list[str]:
    return as_strings(texts.to_arrow() if isinstance(texts, cudf.Series) else texts)


def _part(texts: Texts, start: int, stop: int) -> Texts:
    return texts[start:stop] if isinstance(texts, list) else texts.iloc[start:stop]


def _sizes(texts: Texts) -> NDArray[np.integer[Any]]:
    """Bytes of each text, or characters where they are on the host."""
    if isinstance(texts, list):
        return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    sizes: NDArray[np.integer[Any]] = texts.str.byte_count().to_numpy()
    return sizes


def _within(rules: TokenRules, size: int) -> TokenRules:
    """The same rules without n-grams that are longer than any text of at most such a size."""
    shortest, longest = rules.ngram_range
    beyond = size + 1  # a word takes a character of the text, however it is lower-cased
    return replace(rules, ngram_range=(min(shortest, beyond), min(longest, beyond)))


def _chunks(
    texts: Texts, sizes: NDArray[np.integer[Any]], limit: int
) -> Iterator[tuple[Texts, int]]:
    """Neighbouring texts of at most ``limit`` bytes, or a single longer one, and their bytes."""
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    start = 0
    while start < len(texts):
        fitting = int(np.searchsorted(ends, ends[start] + limit, side="right")) - 1
        stop = max(start + 1, fitting)
        yield _part(texts, start, stop), int(ends[stop] - ends[start])
        start = stop


def _words(texts: Texts, min_length: int) -> Any:
    """The tokens of each text, stop words included, with spaces between them: a cuDF column."""
    if isinstance(texts, list):
        odd = np.array([i for i, text in enumerate(texts) if not is_plain(text)], dtype=np.int64)
        host_texts = [texts[i] for i in odd.tolist()]
        # cuDF need not see these; a lone surrogate it could not even hold.
        plain = [text if is_plain(text) else "" for text in texts] if host_texts else texts
        column = cudf.Series(plain, dtype="str")
    else:
        column = texts
        others = column.str.filter_characters(PLAIN, keep=False).str.byte_count()
        odd = np.flatnonzero(others.to_numpy())
        host_texts = column.take(odd).to_arrow().to_pylist() if len(odd) else []
    # The underscore counts as a letter; no capital is left that could be taken for its stand-in.
    words = (
        column.str.lower()
        .str.replace("_", "X", regex=False)
        .str.filter_alphanum(" ", keep=True)
        .str.replace("X", "_", regex=False)
        .str.filter_tokens(min_length, delimiter=" ")
    )
    if not host_texts:
        return words
    host_words = [words_of(text, min_length) for text in host_texts]
    both = cudf.concat([words, cudf.Series(host_words, dtype=column.dtype)], ignore_index=True)
    order = np.arange(len(column))
    order[odd] = len(column) + np.arange(len(odd))
    return both.take(order)


# -- counts -----------------------------------------------------------------------------


def _count(texts: Texts, rules: TokenRules) -> tuple[list[str], Matrix]:
    """The terms of some texts and how often each text has them, in cuML's columns."""
    words = _words(texts, rules.min_length)
    # No other stop word can equal a token, and cuML compares every token with every one.
    stop_words = [word for word in rules.stop_words if words_of(word, rules.min_length) == word]
    vectorizer = TfidfVectorizer(
        lowercase=False,
        delimiter=" ",
        stop_words=sorted(stop_words) or None,
        ngram_range=rules.ngram_range,
        use_idf=False,
        norm=None,
    )
    try:
        with cuml.using_output_type("cupy"):  # on the device, whatever the program has set
            counts = vectorizer.fit_transform(words)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        return [], sparse.csr_matrix((len(words), 0), dtype=np.float32)
    return vectorizer.get_feature_names_out().tolist(), counts


def _join(parts: list[tuple[list[str], Matrix]], terms: list[str]) -> Matrix:
    """Rows of all parts with the columns of ``terms``, in order; other terms are dropped."""
    n = sum(counts.shape[0] for _, counts in parts)
    shape = (n, len(terms))
    if not sum(counts.nnz for _, counts in parts):
        return sparse.csr_matrix(shape, dtype=np.float32)
    numbers = column_numbers(terms)
    columns, data, lengths = [], [], []
    for names, counts in parts:
        # One column more than there are names, so that a part without any can be looked up too.
        column_of = np.array([*(numbers.get(name, -1) for name in names), -1], dtype=np.int32)
        columns.append(cp.asarray(column_of)[counts.indices])
        data.append(counts.data)
        lengths.append(cp.diff(counts.indptr))
    indices, values = cp.concatenate(columns), cp.concatenate(data)
    indptr = _ends(cp.concatenate(lengths))
    wanted = indices >= 0
    if not wanted.all():
        indices, values, indptr = indices[wanted], values[wanted], _ends(wanted)[indptr]
    counts = sparse.csr_matrix((values, indices, indptr), shape=shape)
    counts.sort_indices()  # columns of a given vocabulary come in any order
    return counts


def _ends(sizes: Any) -> Any:
    """Offsets of neighbouring runs of these sizes, int64, and the end of the last."""
    ends = cp.zeros(len(sizes) + 1, np.int64)
    cp.cumsum(sizes, out=ends[1:])
    return ends
