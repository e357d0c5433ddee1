"""Items and positions of every word, over all fields, on NumPy arrays.

For each word, an item's weighted frequency is that of BM25F (Robertson, Zaragoza and Taylor 2004:
*Simple BM25 extension to multiple weighted fields*): the sum over fields of ``weight * count /
(1 - b + b * length / mean length)``. Words are kept in code-point order, so that those that begin
alike have their postings side by side. Positions of all fields are numbered through, with a gap
after each text, so that a phrase crosses no border.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.index.fields import Field
from gpu_kmeans.index.words import words_of

__all__ = ["Matches", "WordIndex"]

LENGTH_SHARE = 0.5
"""BM25's ``b``: how much of a field's length counts against its words, from 0 to 1."""

AFTER_ALL = {4: (1 << 31) - 1, 8: (1 << 63) - 1}
"""Position after all others, by the bytes that a position takes."""
NO_TITLE = -1
"""Number of no field."""
FEW_WORDS = 4
"""Number of words up to which each is looked for in items, instead of items among all of theirs."""
SPARSE, SMALL = 8, 1 << 14
"""Number of items for each match above which matches are sorted instead of counted by item, and
number of items up to which they are counted in any case."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Items that have a word, or any of several.

    Attributes
    ----------
    rows : ndarray of shape (n_matches,), integers
        Rising, each once.
    frequencies : ndarray of shape (n_matches,), floats
        Weighted frequencies over all fields.
    in_title : ndarray of shape (n_title_matches,), integers
        Those of the rows that have it in their title.
    """

    rows: NDArray[Any]
    frequencies: NDArray[Any]
    in_title: NDArray[Any]


@dataclass(frozen=True, eq=False)
class WordIndex:
    """The index. Nothing in it changes once it is made, so that any number of threads may read.

    Attributes
    ----------
    words : list of str
        In code-point order.
    indptr : ndarray of shape (n_words + 1,), int64
        Postings of word ``w`` stand at ``indptr[w]:indptr[w + 1]``.
    rows : ndarray of shape (n_postings,), int32
        Items that have the word, rising.
    frequencies : ndarray of shape (n_postings,), float32
    in_title : ndarray of shape (n_postings,), bool
        Whether the item has the word in its title.
    position_indptr : ndarray of shape (n_words + 1,), int64
    positions : ndarray of shape (n_tokens,), int32 or int64
        Where each word stands, rising.
    starts : ndarray of shape (n_items * n_fields,), int64
        Position at which each text begins: item by item, and field by field within.
    units : ndarray of shape (n_items * n_fields,), float32
        Weighted frequency of a word that stands once in the text.
    n_items, n_fields : int
    title : int
        Number of the field that is the title; :data:`NO_TITLE` where none is.
    title_lengths : ndarray of shape (n_items,), int32
        Number of different words in the title.
    """

    words: list[str]
    indptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    frequencies: NDArray[np.float32]
    in_title: NDArray[np.bool_]
    position_indptr: NDArray[np.int64]
    positions: NDArray[Any]
    starts: NDArray[np.int64]
    units: NDArray[np.float32]
    n_items: int
    n_fields: int
    title: int
    title_lengths: NDArray[np.int32]

    @classmethod
    def of(cls, fields: Sequence[Field], n_items: int) -> Self:
        """Read all texts of the fields; if the first is the title, matches in it are told apart."""
        words, tokens, lengths = _read(fields)
        n_fields = len(fields)
        by_field = lengths.reshape(n_items, n_fields)
        means = by_field.sum(axis=0) / np.maximum((by_field > 0).sum(axis=0), 1)
        weights = np.array([field.weight for field in fields])
        norms = 1 - LENGTH_SHARE + LENGTH_SHARE * by_field / np.maximum(means, 1)
        units = (weights / norms).astype(np.float32).ravel()
        # A gap of one after each text.
        starts = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]]).astype(np.int64)
        total = len(tokens) + len(lengths)
        texts = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        positions = np.arange(len(tokens), dtype=np.int64) + texts
        # One sort of word and position together is several times as fast as sorting indices.
        keys = np.sort((tokens.astype(np.uint64) << np.uint64(40)) | positions.astype(np.uint64))
        positions = (keys & np.uint64((1 << 40) - 1)).astype(np.int64)
        tokens = (keys >> np.uint64(40)).astype(np.int64)
        del keys
        counts = np.bincount(tokens, minlength=len(words))
        texts = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths + 1).take(positions)
        items = texts // n_fields
        new = np.ones(len(tokens), dtype=np.bool_)
        new[1:] = (tokens[1:] != tokens[:-1]) | (items[1:] != items[:-1])
        firsts = np.flatnonzero(new)
        sums = np.add.reduceat(units.take(texts), firsts) if len(firsts) else np.empty(0)
        per_word = np.bincount(tokens.take(firsts), minlength=len(words))
        rows = items.take(firsts).astype(np.int32, copy=False)
        title = 0 if fields[0].name == "title" else NO_TITLE
        in_title = (texts.take(firsts) % n_fields) == title
        return cls(
            words=words,
            indptr=np.concatenate([[0], np.cumsum(per_word)]).astype(np.int64),
            rows=rows,
            frequencies=sums.astype(np.float32, copy=False),
            in_title=in_title,
            position_indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            positions=positions.astype(np.int32) if total < 2**31 else positions,
            starts=starts,
            units=units,
            n_items=n_items,
            n_fields=n_fields,
            title=title,
            title_lengths=np.bincount(rows[in_title], minlength=n_items).astype(np.int32),
        )

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return sum(v.nbytes for v in vars(self).values() if isinstance(v, np.ndarray))

    def document_frequency(self, word: int) -> int:
        """Return the number of items that have a word."""
        return int(self.indptr[word + 1] - self.indptr[word])

    def n_occurrences(self, word: int) -> int:
        """Return how often a word stands in all texts."""
        return int(self.position_indptr[word + 1] - self.position_indptr[word])

    def most_frequent(self, words: range, n_postings: int, n_words: int) -> Sequence[int]:
        """Return as many of neighbouring words as have so many postings together, rising.

        Where not all have, those in the most items; at least one.
        """
        bounds = self.indptr[words.start : words.stop + 1]
        if len(words) <= n_words and bounds[-1] - bounds[0] <= n_postings:
            return words
        counts = np.diff(bounds)
        order = np.argsort(-counts, kind="stable")[:n_words]
        enough = int(np.searchsorted(np.cumsum(counts[order]), n_postings, side="right"))
        return sorted((order[: max(1, enough)] + words.start).tolist())

    # -- matches --------------------------------------------------------------------------

    def of_word(self, word: int) -> Matches:
        """Return the items that have a word."""
        part = slice(int(self.indptr[word]), int(self.indptr[word + 1]))
        rows = self.rows[part]
        return Matches(rows, self.frequencies[part], rows[self.in_title[part]])

    def of_words(self, words: Sequence[int] | range) -> Matches:
        """Return the items that have any of several words, which count as one."""
        if len(words) == 1:
            return self.of_word(words[0])
        if isinstance(words, range):
            part = slice(int(self.indptr[words.start]), int(self.indptr[words.stop]))
            return self._merged(self.rows[part], self.frequencies[part], self.in_title[part])
        parts = [slice(int(self.indptr[w]), int(self.indptr[w + 1])) for w in words]
        rows = np.concatenate([self.rows[part] for part in parts])
        frequencies = np.concatenate([self.frequencies[part] for part in parts])
        in_title = np.concatenate([self.in_title[part] for part in parts])
        return self._merged(rows, frequencies, in_title)

    def of_phrase(self, words: Sequence[int]) -> Matches:
        """Return the items in a text of which the words stand one after the other."""
        return self.at_positions(self.phrase_positions(words))

    def at_positions(self, positions: NDArray[np.int64]) -> Matches:
        """Return the items of the texts in which positions lie."""
        texts = self._texts_at(positions)
        items, fields = np.divmod(texts, self.n_fields)
        return self._merged(items, self.units[texts], fields == self.title)

    def phrase_positions(self, words: Sequence[int]) -> NDArray[np.int64]:
        """Return the positions at which a phrase begins, rising; shape (n_occurrences,)."""
        parts = [
            self.positions[int(self.position_indptr[w]) : int(self.position_indptr[w + 1])]
            for w in words
        ]
        # From the rarest word on, so that the others are only looked up.
        order = sorted(range(len(words)), key=lambda at: len(parts[at]))
        first = order[0]
        starts = parts[first].astype(np.int64) - first
        for at in order[1:]:
            part = parts[at]
            if not len(starts) or not len(part):
                return np.empty(0, dtype=np.int64)
            sought = (starts + at).astype(part.dtype)
            where = np.minimum(np.searchsorted(part, sought), len(part) - 1)
            starts = starts[part[where] == sought]
        return starts

    def fields_with(
        self, rows: NDArray[np.intp], words: Sequence[int] | range
    ) -> list[dict[int, list[int]]]:
        """Return, of each of some items, those of the words that it has by the fields with them.

        ``words`` rise; so do those of each field.
        """
        by_field: list[dict[int, list[int]]] = [{} for _ in range(len(rows))]
        bounds = self._bounds_of(rows)
        sought = rows.astype(np.int32)
        for word in self._words_among(sought, words):
            part = self.rows[int(self.indptr[word]) : int(self.indptr[word + 1])]
            at = np.minimum(part.searchsorted(sought), len(part) - 1)
            own = np.flatnonzero(part[at] == sought).tolist()
            positions = self.positions[
                int(self.position_indptr[word]) : int(self.position_indptr[word + 1])
            ]
            for item, field in self._fields_at(positions, bounds, own):
                by_field[item].setdefault(field, []).append(word)
        return by_field

    def fields_with_phrase(
        self, rows: NDArray[np.intp], positions: NDArray[np.int64]
    ) -> list[list[int]]:
        """Return, of each of some items, the fields with a phrase, by where the phrase begins."""
        fields: list[list[int]] = [[] for _ in range(len(rows))]
        for item, field in self._fields_at(positions, self._bounds_of(rows), range(len(rows))):
            fields[item].append(field)
        return fields

    def _bounds_of(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return where the fields of items begin, and the last one ends: (n, n_fields + 1)."""
        texts = rows[:, None] * self.n_fields + np.arange(self.n_fields + 1)
        last = len(self.starts) - 1
        bounds: NDArray[np.int64] = self.starts[np.minimum(texts, last)]
        bounds[texts > last] = AFTER_ALL[self.positions.itemsize]
        return bounds

    def _fields_at(
        self, positions: NDArray[Any], bounds: NDArray[np.int64], own: Sequence[int]
    ) -> Iterator[tuple[int, int]]:
        """Yield item and field, both rising, of those fields of some items that have positions."""
        sought = bounds[own].astype(positions.dtype)
        counts = np.diff(positions.searchsorted(sought), axis=1)
        for at, field in np.argwhere(counts).tolist():
            yield own[at], field

    def _words_among(
        self, rows: NDArray[np.int32], words: Sequence[int] | range
    ) -> Sequence[int] | range:
        """Return those of neighbouring words that any of the items has; of few, all of them."""
        if not isinstance(words, range) or len(words) <= FEW_WORDS:
            return words
        start = int(self.indptr[words.start])
        part = self.rows[start : int(self.indptr[words.stop])]
        postings = np.flatnonzero(np.isin(part, rows)) + start
        numbers = np.searchsorted(self.indptr, postings, side="right") - 1
        return sorted(set(numbers.tolist()))

    def _texts_at(self, positions: NDArray[np.int64]) -> NDArray[np.intp]:
        texts: NDArray[np.intp] = np.searchsorted(self.starts, positions, side="right") - 1
        return texts

    def _merged(
        self, rows: NDArray[Any], frequencies: NDArray[Any], in_title: NDArray[np.bool_]
    ) -> Matches:
        """Bring matches of several words, or places, together by item."""
        if SPARSE * len(rows) < self.n_items and self.n_items > SMALL:
            merged, inverse = np.unique(rows, return_inverse=True)
            sums = np.bincount(inverse, weights=frequencies, minlength=len(merged))
            return Matches(merged, sums, np.unique(rows[in_title]))
        sums = np.bincount(rows, weights=frequencies, minlength=self.n_items)
        merged = np.flatnonzero(sums)
        titles = np.zeros(self.n_items, dtype=np.bool_)
        titles[rows[in_title]] = True
        return Matches(merged, sums[merged], np.flatnonzero(titles))


def _read(fields: Sequence[Field]) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Return all words, the tokens by their words, and the number of tokens in each text."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    tokens, lengths = array("q"), array("q")
    for texts in zip(*(field.texts() for field in fields), strict=True):
        for text in texts:
            own = words_of(text) if text else ()
            tokens.extend([numbers[word] for word in own])
            lengths.append(len(own))
    order = sorted(numbers, key=str)
    ranks = np.empty(len(order), dtype=np.int64)
    for rank, word in enumerate(order):
        ranks[numbers[word]] = rank
    return order, ranks[np.frombuffer(tokens, dtype=np.int64)], np.frombuffer(lengths, np.int64)
