"""Counting terms without a compiler, and n-grams: NumPy finds the words, Arrow numbers them.

The texts of a chunk become one UTF-8 buffer, a table says which of its characters belong to words,
and Arrow numbers the distinct words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from cpu_fallback import threads
from cpu_fallback.word_chars import BLOCK_BITS, word_table
from gpu_kmeans.backends.protocol import Matrix, TokenRules
from gpu_kmeans.features.texts import column_numbers

__all__ = ["count"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def count(
    chunks: Sequence[list[str]], rules: TokenRules, vocabulary: Sequence[str] | None
) -> tuple[list[str], Matrix]:
    """Count the terms of texts in chunks; see :func:`cpu_fallback.text.count_terms`."""
    parts = _on_threads(partial(_find_terms, rules=rules), chunks)
    terms, columns = _number_terms([part.names for part in parts], vocabulary)
    blocks = _on_threads(
        lambda part: _count(part[0], part[1], len(part[2]), len(terms)),
        list(zip(parts, columns, chunks, strict=True)),
    )
    del parts, columns  # as large as the result
    return terms, sp.vstack(blocks, format="csr")


def _on_threads(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    results: dict[int, _Result] = {}

    def work(position: int) -> None:
        results[position] = function(items[position])

    threads.parallel_for(work, range(len(items)))
    return [results[position] for position in range(len(items))]


class _ChunkTerms(NamedTuple):
    """The terms of a chunk in the order of the texts, numbered within the chunk."""

    names: pa.LargeStringArray
    codes: NDArray[np.int32]
    rows: NDArray[np.int32]


def _find_terms(texts: list[str], rules: TokenRules) -> _ChunkTerms:
    words, rows = _words(texts)
    encoded = words.dictionary_encode()
    term_names, codes = encoded.dictionary, encoded.indices.to_numpy()
    names = term_names.to_pylist()
    is_usable = [len(word) >= rules.min_length and word not in rules.stop_words for word in names]
    usable = np.array(is_usable, dtype=bool)[codes]
    codes, rows = codes[usable], rows[usable]
    if rules.ngram_range != (1, 1):
        grams, codes, rows = _ngrams(names, codes, rows, rules.ngram_range)
        term_names = pa.array(grams, pa.large_string())
    # Only what is left gets a name: a stop word must not become a term.
    is_used = np.zeros(len(term_names), dtype=bool)
    is_used[codes] = True
    renumbered = np.cumsum(is_used, dtype=np.int32) - 1
    return _ChunkTerms(term_names.filter(pa.array(is_used)), renumbered[codes], rows)


def _words(texts: list[str]) -> tuple[pa.LargeStringArray, NDArray[np.int32]]:
    """Every run of word characters of the lower-cased texts, and the row of each."""
    # A lone surrogate is no word character, so it gets no further than this buffer.
    encoded = [text.lower().encode("utf-8", "surrogatepass") for text in texts]
    # A separator on both sides of each text: no run crosses it, and runs have both ends.
    buffer = bytearray(b"\n").join([b"", *encoded, b""])
    inside = _in_words(buffer)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    bounds = np.zeros(len(starts) + 1, dtype=np.int64)
    np.cumsum(ends - starts, out=bounds[1:])
    letters = np.frombuffer(buffer, dtype=np.uint8)[inside]
    words = pa.LargeStringArray.from_buffers(
        len(starts), pa.py_buffer(bounds), pa.py_buffer(letters)
    )
    row_ends = np.cumsum([len(text) + 1 for text in encoded], dtype=np.int64)
    in_row = np.diff(np.searchsorted(starts, row_ends), prepend=0)
    return words, np.repeat(np.arange(len(texts), dtype=np.int32), in_row)


def _in_words(buffer: bytearray) -> NDArray[np.bool_]:
    """For each byte of a UTF-8 buffer, whether it is part of a word character."""
    ascii_table = word_table([0])[:256]
    # Right for ASCII; bytes of longer characters are looked up here too, and set below.
    inside = np.frombuffer(buffer.translate(ascii_table.tobytes()), dtype=bool)
    beyond_ascii = np.flatnonzero(np.frombuffer(buffer, dtype=np.uint8) >= 0x80)
    if len(beyond_ascii):
        rest = np.frombuffer(buffer, dtype=np.uint8)[beyond_ascii].tobytes()
        characters = rest.decode("utf-8", "surrogatepass").encode("utf-32-le", "surrogatepass")
        points = np.frombuffer(characters, dtype="<u4")
        n_bytes = np.searchsorted([0x80, 0x800, 0x10000], points, side="right") + 1
        blocks = np.flatnonzero(np.bincount(points >> BLOCK_BITS)).tolist()
        inside[beyond_ascii] = np.repeat(word_table(blocks)[points], n_bytes)
    return inside


def _ngrams(
    words: list[str],
    codes: NDArray[np.int32],
    rows: NDArray[np.int32],
    ngram_range: tuple[int, int],
) -> tuple[list[str], NDArray[np.integer[Any]], NDArray[np.int32]]:
    """Runs of neighbouring words of one row as ``(names, codes, rows)``, shortest first."""
    shortest, longest = ngram_range
    names: list[str] = []
    all_codes, all_rows = [], []
    first, grams, gram_names = np.arange(len(codes)), codes.astype(np.int64), words
    for length in range(1, longest + 1):
        if not len(first):
            break  # no row has so many words
        if length > 1:
            # Lengthen each gram by the word that comes next, where one does in the same row.
            following = first + length - 1
            continued = following < len(codes)
            continued[continued] = rows[first[continued]] == rows[following[continued]]
            first = first[continued]
            pairs = grams[continued] * len(words) + codes[following[continued]]
            distinct, grams = np.unique(pairs, return_inverse=True)
            gram_names = [
                f"{gram_names[pair // len(words)]} {words[pair % len(words)]}"
                for pair in distinct.tolist()
            ]
        if length >= shortest:
            all_codes.append(grams + len(names))
            all_rows.append(rows[first])
            names = names + gram_names
    empty = np.empty(0, dtype=np.int32)
    return names, np.concatenate([empty, *all_codes]), np.concatenate([empty, *all_rows])


def _number_terms(
    parts: list[pa.LargeStringArray], vocabulary: Sequence[str] | None
) -> tuple[list[str], list[NDArray[np.int32]]]:
    """All terms in their order and, for each part, the column of each name (-1: not wanted)."""
    encoded = pa.concat_arrays(parts).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    terms = sorted(names) if vocabulary is None else list(vocabulary)
    column_of = column_numbers(terms)
    column = np.array([column_of.get(name, -1) for name in names], dtype=np.int32)
    ends = np.cumsum([len(part) for part in parts])
    return terms, np.split(column[encoded.indices.to_numpy()], ends[:-1])


def _count(
    part: _ChunkTerms, columns: NDArray[np.int32], n_rows: int, n_terms: int
) -> sp.csr_matrix:
    indices = columns[part.codes]
    wanted = indices >= 0
    ones = np.ones(np.count_nonzero(wanted), dtype=np.int32)
    cells = (part.rows[wanted], indices[wanted])
    # By way of CSC, equal places meet and columns come out in order, all in linear time.
    return sp.coo_matrix((ones, cells), shape=(n_rows, n_terms)).tocsc().tocsr()
