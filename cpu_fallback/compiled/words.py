"""Counting and weighing the words of texts, compiled.

Each chunk of texts has its words numbered apart, on threads; then those of all chunks are put
together and sorted, and every chunk writes its rows. No number of a chunk shows in the result.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import threads
from cpu_fallback.compiled.library import addresses, plain_function
from cpu_fallback.word_chars import N_BLOCKS, word_table
from gpu_kmeans.backends.protocol import FloatArray, Matrix, TokenRules, Weighting
from gpu_kmeans.features.texts import column_numbers

__all__ = ["count_words", "weigh_words"]

END = "\xff"
"""End of a text, once it is a byte: UTF-8 never has it."""
BEYOND_THE_LAST = 7 * END
"""Padding after the last text: eight bytes are read at once."""
NORMS = {None: 0, "l1": 1, "l2": 2}
KEY = int.from_bytes(os.urandom(8), "little") | 1
"""Key of the hashes of words: no texts can be made beforehand whose words collide."""


class _Words(ctypes.Structure):
    """The dictionary of ``kernels/words.c``: words by number, and how often each text has them."""

    _fields_ = (
        ("key", ctypes.c_uint64),
        *((name, ctypes.c_int64) for name in ("failed", "n_words", "n_dropped", "n_letters")),
        *((name, ctypes.c_int64) for name in ("n_counts", "n_slots", "n_bytes")),
        *((name, ctypes.c_int64) for name in ("word_room", "letter_room", "count_room")),
        *((name, ctypes.c_void_p) for name in ("words", "letters", "counts", "slots", "names")),
    )

    @property
    def of_c(self) -> int:
        return ctypes.addressof(self)

    @property
    def n_own(self) -> int:
        return int(self.n_words - self.n_dropped)

    def check(self) -> None:
        if self.failed:
            raise MemoryError("there is no room for the words of the texts")


def count_words(
    chunks: Sequence[list[str]], rules: TokenRules, vocabulary: Sequence[str] | None
) -> tuple[list[str], Matrix]:
    """Count the words of texts in chunks; see :func:`cpu_fallback.text.count_terms`."""
    # One for each chunk, and after them the one for all.
    parts = (_Words * (len(chunks) + 1))(*[_Words(KEY) for _ in range(len(chunks) + 1)])
    try:
        return _count(chunks, rules, vocabulary, list(parts))
    finally:
        for part in parts:
            plain_function("free_words")(part.of_c)


def _count(
    chunks: Sequence[list[str]],
    rules: TokenRules,
    vocabulary: Sequence[str] | None,
    parts: Sequence[_Words],
) -> tuple[list[str], Matrix]:
    first_row = np.cumsum([0, *map(len, chunks)]).tolist()
    indptr = np.zeros(first_row[-1] + 1, dtype=np.int64)
    in_row = indptr[1:]  # sums come last
    stop_words = [word for word in rules.stop_words if _may_be_found(word)]
    dropped = _buffer(stop_words)

    def find(chunk: int) -> None:
        text = _buffer(chunks[chunk])
        plain_function("find_words")(
            *(len(chunks[chunk]), rules.min_length, len(stop_words)),
            *addresses((text, dropped, _word_table(text))),
            *(parts[chunk].of_c, *addresses((in_row,), first_row[chunk])),
        )
        parts[chunk].check()

    threads.parallel_for(find, range(len(chunks)))
    names, ranks = _join(parts)
    terms, columns = names, ranks
    if vocabulary is not None:
        terms = list(vocabulary)
        column_of = column_numbers(terms)
        columns = np.array([column_of.get(name, -1) for name in names], dtype=np.int32)[ranks]
    first_word = np.cumsum([0, *(part.n_own for part in parts[:-1])]).tolist()

    def set_columns(chunk: int) -> None:
        plain_function("set_columns")(
            *(len(chunks[chunk]), parts[chunk].of_c),
            *addresses((columns,), first_word[chunk]),
            *addresses((in_row,), first_row[chunk]),
        )

    threads.parallel_for(set_columns, range(len(chunks)))
    longest = int(in_row.max(initial=0))
    np.cumsum(in_row, out=in_row)
    indices, times = (np.empty(indptr[-1], dtype=np.int32) for _ in range(2))

    def write(chunk: int) -> None:
        room = np.empty(longest, dtype=np.int64)
        plain_function("write_rows")(
            *(len(chunks[chunk]), parts[chunk].of_c, *addresses((indptr,), first_row[chunk])),
            *addresses((room, indices, times)),
        )

    threads.parallel_for(write, range(len(chunks)))
    counts = sparse.csr_matrix((times, indices, indptr), shape=(len(in_row), len(terms)))
    counts.has_canonical_format = True
    return terms, counts


def _may_be_found(word: str) -> bool:
    return word == word.lower() and re.fullmatch(r"\w+", word) is not None


def _buffer(texts: Iterable[str]) -> NDArray[np.uint8]:
    # ASCII is UTF-8 as it is, and the kernels read its capitals as small letters; other texts
    # become UTF-8 with each byte for a character. A lone surrogate is of no word.
    parts = [
        text if text.isascii() else text.lower().encode("utf-8", "surrogatepass").decode("latin-1")
        for text in texts
    ]
    return np.frombuffer(END.join([*parts, BEYOND_THE_LAST]).encode("latin-1"), dtype=np.uint8)


def _word_table(text: NDArray[np.uint8]) -> NDArray[np.bool_]:
    marked = np.zeros(N_BLOCKS, dtype=bool)
    marked[0] = True  # that of ASCII
    plain_function("mark_blocks")(len(text), *addresses((text, marked)))
    return word_table(np.flatnonzero(marked).tolist())


def _join(parts: Sequence[_Words]) -> tuple[list[str], NDArray[np.int32]]:
    """The words of all parts, sorted, and for each word of each part its index among them."""
    *own, together = parts
    ranks = np.empty(sum(part.n_own for part in own), dtype=np.int32)
    plain_function("join_words")(len(own), own[0].of_c, *addresses((ranks,)))
    together.check()
    names = ctypes.string_at(together.names, together.n_bytes).decode().split("\n")
    return names[:-1], ranks


def weigh_words(
    counts: Matrix,
    idf: FloatArray | None,
    weighting: Weighting,
    blocks: Sequence[tuple[int, int]],
    local: Callable[[int, int], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Weigh counts in blocks of rows; see :func:`cpu_fallback.text.tfidf_transform`.

    ``local`` gives what the counts of some rows weigh before the weights of their terms: NumPy's
    logarithms, to the last bit.
    """
    values = np.empty(counts.nnz, dtype=np.float32)
    factors = None if idf is None else np.ascontiguousarray(idf, dtype=np.float64)

    def weigh(block: int) -> None:
        first, last = blocks[block]
        weights = local(first, last)
        plain_function("weigh_rows")(
            *(last - first, NORMS[weighting.norm], *addresses((counts.indptr,), first)),
            *addresses((counts.indices, factors, weights, values)),
        )

    threads.parallel_for(weigh, range(len(blocks)))
    return values
