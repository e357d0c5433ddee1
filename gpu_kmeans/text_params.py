"""What a vectorizer is given, checked before any work: its parameters and vocabulary.

Each function raises :class:`~gpu_kmeans.errors.InvalidParam` for what it does not accept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Set
from numbers import Integral, Real
from typing import Any, cast

import numpy as np

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.stop_words import ENGLISH
from gpu_kmeans.texts import shown

__all__ = [
    "check_document_frequency",
    "check_integer",
    "check_ngram_range",
    "check_stop_words",
    "check_vocabulary",
]


def check_stop_words(stop_words: Any) -> frozenset[str]:
    """Return the words to drop: the English ones, those given, or none."""
    if stop_words is None:
        return frozenset()
    if isinstance(stop_words, str):
        if stop_words != "english":
            raise InvalidParam(
                "stop_words must be 'english', None or a collection of words, "
                f"got the text {shown(stop_words)}"
            )
        return ENGLISH
    return frozenset(_check_words("stop_words", stop_words))


def _check_words(name: str, words: Any) -> list[str]:
    try:
        if isinstance(words, str | bytes) or not isinstance(words, Collection):
            raise TypeError
        values = list(words)
    except TypeError:
        raise InvalidParam(f"{name} must be a collection of words, got {shown(words)}") from None
    for word in values:
        if not isinstance(word, str):
            raise InvalidParam(f"{name} must hold text alone, but holds {shown(word)}")
    return [str.__str__(word) for word in values]


def _is_integer(value: Any) -> bool:
    # NumPy registers durations as integers, too.
    return isinstance(value, Integral) and not isinstance(value, bool | np.timedelta64)


def check_integer(name: str, value: Any, low: int) -> int:
    """Return ``value`` as an int of at least ``low``; booleans and 2.0 are not integers."""
    if not _is_integer(value):
        raise InvalidParam(f"{name} must be an integer, got {shown(value)}")
    if value < low:
        raise InvalidParam(f"{name} must be >= {low}, got {name}={shown(value)}")
    return int(value)


def check_ngram_range(ngram_range: Any) -> tuple[int, int]:
    """Return the shortest and the longest length of an n-gram, from 1."""
    if not isinstance(ngram_range, tuple | list) or len(ngram_range) != 2:
        raise InvalidParam(f"ngram_range must be two integers, got {shown(ngram_range)}")
    shortest = check_integer("ngram_range[0]", ngram_range[0], 1)
    return shortest, check_integer("ngram_range[1]", ngram_range[1], shortest)


def check_document_frequency(name: str, value: Any) -> None:
    """Refuse what is neither a number of texts nor a share of them."""
    if isinstance(value, Integral):
        check_integer(name, value, 1)
    elif not isinstance(value, Real) or not 0 <= cast(float, value) <= 1:
        raise InvalidParam(
            f"{name} must be a number of texts (an int from 1) or a share of them "
            f"(a float from 0.0 to 1.0), got {shown(value)}"
        )


def check_vocabulary(vocabulary: Any, name: str = "vocabulary") -> dict[str, int]:
    """Return term -> column in the order of columns, which are 0, 1, 2 and so on.

    A mapping gives each term its column, in whatever order it is; a set is sorted.
    """
    if type(vocabulary) is dict and set(map(type, vocabulary)) == {str}:
        columns = list(vocabulary.values())
        if set(map(type, columns)) == {int} and columns == [*range(len(columns))]:
            return vocabulary  # as it was fitted, which is checked whenever texts are transformed
    terms = _check_words(name, vocabulary)
    if not terms:
        raise InvalidParam(f"{name} must hold at least one term, got none: empty vocabulary")
    if isinstance(vocabulary, Mapping):
        terms = _by_column(name, terms, list(vocabulary.values()))
    elif isinstance(vocabulary, Set):
        terms.sort()
    column_of = {term: column for column, term in enumerate(terms)}
    if len(column_of) < len(terms):
        repeated, times = Counter(terms).most_common(1)[0]
        raise InvalidParam(f"{name} holds {shown(repeated)} {times} times: keep one of them")
    return column_of


def _by_column(name: str, terms: list[str], columns: list[Any]) -> list[str]:
    """Return terms in the order of their columns."""
    by_column: list[str | None] = [None] * len(terms)
    wanted = (
        f"the columns of {name}, which has {len(terms)} terms, must be 0 to {len(terms) - 1}, "
        "each of them once"
    )
    for term, column in zip(terms, columns, strict=True):
        if not _is_integer(column) or not 0 <= column < len(terms):
            raise InvalidParam(f"{wanted}, but that of {shown(term)} is {shown(column)}")
        if (other := by_column[int(column)]) is not None:
            raise InvalidParam(
                f"{wanted}, but {shown(other)} and {shown(term)} are both in {column}"
            )
        by_column[int(column)] = term
    return [term for term in by_column if term is not None]
