"""Known words: those that begin as one does, and those near to one that is not known.

Words at one typing error are found by what both have left when a letter goes (Garbe 2012,
*SymSpell*): a letter too many or too few, another letter, or two neighbours in the wrong order. The
deletions of all words are kept as sorted hashes, made on the first need.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Vocabulary", "edits"]

MIN_LETTERS = 4
"""Minimum number of letters of a word that may have a typing error."""
MAX_LETTERS = 32
"""Maximum number of letters of such a word."""
MAX_VARIANTS = 12
"""Maximum number of known words that stand for one with a typing error, most frequent first."""


class Vocabulary:
    """Known words.

    Parameters
    ----------
    words : sequence of str
        In code-point order.
    frequency : callable
        Returns in how many items a word, by its number, stands.
    """

    def __init__(self, words: Sequence[str], frequency: Callable[[int], int]) -> None:
        self.words = words
        self.frequency = frequency

    def __getstate__(self) -> dict[str, Any]:
        """Leave the hashes behind: another process has others."""
        return {"words": self.words, "frequency": self.frequency}

    def __getitem__(self, number: int) -> str:
        return self.words[number]

    def prepare(self) -> None:
        """Hash the words now, which the first unknown word would wait for."""
        _ = self._deletions

    def find(self, word: str) -> int | None:
        """Return the number of a word, None of an unknown one."""
        at = bisect_left(self.words, word)
        return at if at < len(self.words) and self.words[at] == word else None

    def beginning_with(self, start: str) -> range:
        """Return the numbers of the words that begin with ``start``, itself included."""
        first = bisect_left(self.words, start)
        end = bisect_left(self.words, start + "\U0010ffff")
        return range(first, end)

    def variants(self, word: str) -> list[int]:
        """Return known words at one typing error from a word of four letters and more, rising.

        Those of them that stand in the most items, at most :data:`MAX_VARIANTS`.
        """
        if not MIN_LETTERS <= len(word) <= MAX_LETTERS or not word.isalpha():
            return []
        near = [
            at for at in self._sharing([word, *_deletions(word)]) if _is_one_edit(word, self[at])
        ]
        near.sort(key=lambda at: (-self.frequency(at), at))
        return sorted(near[:MAX_VARIANTS])

    def nearest(self, word: str, count: int) -> list[str]:
        """Return the known words nearest to one, by typing errors, then the more frequent first.

        Words at up to two typing errors, or where there are none, those that begin alike.
        """
        if len(word) > MAX_LETTERS:
            word = word[:MAX_LETTERS]
        once = [word, *_deletions(word)]
        twice = dict.fromkeys(once + [less for one in once[1:] for less in _deletions(one)])
        candidates = [(edits(word, self[at]), at) for at in self._sharing(list(twice))]
        most = 1 if len(word) < MIN_LETTERS else 2 if len(word) < 8 else 3
        near = [(distance, at) for distance, at in candidates if distance <= most]
        if not near:
            near = [(0, at) for at in self._alike(word)]
        near.sort(key=lambda pair: (pair[0], -self.frequency(pair[1]), pair[1]))
        return [self[at] for _, at in near[:count]]

    def _alike(self, word: str) -> Sequence[int]:
        """Return words that share the longest beginning with one that any word shares."""
        for length in range(len(word) - 1, 0, -1):
            if words := self.beginning_with(word[:length]):
                return words
        return []

    def _sharing(self, deletions: Sequence[str]) -> list[int]:
        """Return the words that have one of these deletions, or are one; chance hits included."""
        hashes, numbers = self._deletions
        sought = np.array([hash(text) for text in deletions], dtype=np.int64)
        lows = np.searchsorted(hashes, sought, side="left").tolist()
        highs = np.searchsorted(hashes, sought, side="right").tolist()
        shared: set[int] = set()
        for low, high in zip(lows, highs, strict=True):
            shared.update(numbers[low:high].tolist())
        return sorted(shared)

    @cached_property
    def _deletions(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Hashes of all words with up to one letter less, rising, and the numbers of the words.

        Hashes of texts are this process's own, and its children's.
        """

        def all_hashes() -> Iterator[int]:
            for word in self.words:
                yield hash(word)
                if len(word) <= MAX_LETTERS:
                    yield from map(hash, _deletions(word))

        counts = [1 + (len(w) if len(w) <= MAX_LETTERS else 0) for w in self.words]
        hashes = np.fromiter(islice(all_hashes(), sum(counts)), dtype=np.int64, count=sum(counts))
        order = np.argsort(hashes, kind="stable")
        numbers = np.repeat(np.arange(len(self.words), dtype=np.int32), counts)
        return hashes[order], numbers[order]


def _deletions(word: str) -> list[str]:
    """Return a word without each of its letters in turn."""
    return [word[:at] + word[at + 1 :] for at in range(len(word))]


def _is_one_edit(one: str, other: str) -> bool:
    """Whether two different words are one typing error apart; their first letters may differ."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1 or one == other:
        return False
    at = 0
    while at < len(one) and one[at] == other[at]:
        at += 1
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    if one[at + 1 :] == other[at + 1 :]:
        return True
    return one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]


def edits(one: str, other: str) -> int:
    """Return the number of typing errors between two words.

    That of the optimal string alignment: letters more, less, other, or two neighbours exchanged.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        above, before_above = row, before
        row = [i]
        for j, sign in enumerate(other, start=1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != sign))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == sign:
                cost = min(cost, before_above[j - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]
