"""Counting and weighing the words of texts, compiled.

Each chunk of texts has its words numbered apart, on threads; then those of all chunks are put
together and sorted, and every chunk writes its rows. No number of a chunk shows in the result.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import threads
from cpu_fallback.compiled.library import addresses, plain_function
from cpu_fallback.letters import N_BLOCKS, word_table
from gpu_kmeans.protocol import FloatArray, Matrix, TokenRules

__all__ = ["count_words", "weigh_words"]

END = b"\xff"
"""What ends a text: no byte of UTF-8."""
BEYOND_THE_LAST = 7 * END
"""Eight bytes are read at once."""
SMALL_ENOUGH = re.compile(r"[^\WA-Z]+")
"""A word that may be in a text in small letters."""
NORMS = {None: 0, "l1": 1, "l2": 2}
KEY = int.from_bytes(os.urandom(8), "little") | 1
"""What hashes of words are made with."""


class _Words(ctypes.Structure):
    """The dictionary of ``kernels/words.c``: words by number, and how often each text has them."""

    _fields_ = (
        ("key", ctypes.c_uint64),
        *(
            (name, ctypes.c_int64)
            for name in (
                *("failed", "n_words", "n_dropped", "n_letters", "n_counts", "n_slots"),
                *("word_room", "letter_room", "count_room", "n_bytes"),
            )
        ),
        *((name, ctypes.c_void_p) for name in ("words", "letters", "counts", "slots", "names")),
    )

    @property
    def of_c(self) -> int:
        return ctypes.addressof(self)

    def check(self) -> None:
        if self.failed:
            raise MemoryError("there is no room for the words of the texts")


def count_words(
    chunks: Sequence[list[str]], rules: TokenRules, vocabulary: Sequence[str] | None
) -> tuple[list[str], Matrix]:
    """Count the words of the texts; see :func:`cpu_fallback.text.count_terms`."""
    # One for each chunk, and the last for all of them.
    parts = (_Words * (len(chunks) + 1))(*((KEY,) for _ in range(len(chunks) + 1)))
    try:
        return _count(chunks, rules, vocabulary, list(parts))
    finally:
        free = plain_function("free_words")
        for part in parts:
            free(part.of_c)


def _count(
    chunks: Sequence[list[str]],
    rules: TokenRules,
    vocabulary: Sequence[str] | None,
    parts: Sequence[_Words],
) -> tuple[list[str], Matrix]:
    rows = np.cumsum([0, *map(len, chunks)]).tolist()
    indptr = np.zeros(rows[-1] + 1, dtype=np.int64)
    in_row = indptr[1:]
    stop_words = [word.encode() for word in rules.stop_words if SMALL_ENOUGH.fullmatch(word)]
    dropped = _buffer(stop_words)

    def find(chunk: int) -> None:
        encoded = [text.lower().encode("utf-8", "surrogatepass") for text in chunks[chunk]]
        text = _buffer(encoded)
        plain_function("find_words")(
            *(len(encoded), rules.min_length, len(stop_words)),
            *addresses((text, dropped, _letters(text))),
            *(parts[chunk].of_c, *addresses((in_row,), rows[chunk])),
        )
        parts[chunk].check()

    threads.each(find, range(len(chunks)))
    names, ranks = _join(parts)
    terms, columns = names, ranks
    if vocabulary is not None:
        terms = list(vocabulary)
        place = {term: column for column, term in enumerate(terms)}
        columns = np.array([place.get(name, -1) for name in names], dtype=np.int32)[ranks]
    own = np.cumsum([0, *(part.n_words - part.n_dropped for part in parts[:-1])]).tolist()

    def set_columns(chunk: int) -> None:
        plain_function("set_columns")(
            *(len(chunks[chunk]), parts[chunk].of_c),
            *(*addresses((columns,), own[chunk]), *addresses((in_row,), rows[chunk])),
        )

    threads.each(set_columns, range(len(chunks)))
    longest = int(in_row.max(initial=0))
    np.cumsum(in_row, out=in_row)
    indices, times = np.empty((2, indptr[-1]), dtype=np.int32)

    def write(chunk: int) -> None:
        room = np.empty(longest, dtype=np.int64)
        plain_function("write_rows")(
            *(len(chunks[chunk]), parts[chunk].of_c, *addresses((indptr,), rows[chunk])),
            *addresses((room, indices, times)),
        )

    threads.each(write, range(len(chunks)))
    counts = sparse.csr_matrix((times, indices, indptr), shape=(rows[-1], len(terms)))
    counts.has_canonical_format = True
    return terms, counts


def _buffer(texts: Iterable[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(END.join([*texts, BEYOND_THE_LAST]), dtype=np.uint8)


def _letters(text: NDArray[np.uint8]) -> NDArray[np.bool_]:
    marked = np.zeros(N_BLOCKS, dtype=bool)
    marked[0] = True
    plain_function("mark_blocks")(len(text), *addresses((text, marked)))
    return word_table(np.flatnonzero(marked).tolist())


def _join(parts: Sequence[_Words]) -> tuple[list[str], NDArray[np.int32]]:
    """All words, sorted, and for each word of each part its place among them."""
    *own, together = parts
    ranks = np.empty(sum(part.n_words - part.n_dropped for part in own), dtype=np.int32)
    plain_function("join_words")(len(own), own[0].of_c, *addresses((ranks,)))
    together.check()
    names = ctypes.string_at(together.names, together.n_bytes).decode().split("\n")
    return names[:-1], ranks


def weigh_words(
    counts: Matrix,
    idf: FloatArray | None,
    sublinear: bool,
    norm: str | None,
    blocks: Sequence[tuple[int, int]],
) -> Matrix:
    """Turn counts into TF-IDF rows; see :func:`cpu_fallback.text.weigh_terms`."""
    values = np.empty(counts.nnz, dtype=np.float32)
    indptr = counts.indptr
    idf = None if idf is None else np.ascontiguousarray(idf, dtype=np.float64)

    def weigh(block: int) -> None:
        first, last = blocks[block]
        weights = counts.data[indptr[first] : indptr[last]].astype(np.float64)
        if sublinear:
            # NumPy's logarithms, to the last bit.
            weights = np.log(weights) + 1.0
        plain_function("weigh_rows")(
            *(last - first, NORMS[norm], *addresses((indptr,), first)),
            *addresses((counts.indices, idf, weights, values)),
        )

    threads.each(weigh, range(len(blocks)))
    return sparse.csr_matrix((values, counts.indices, indptr), shape=counts.shape)
