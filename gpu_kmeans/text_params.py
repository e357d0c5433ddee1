"""What a vectorizer is given, checked before any work: its parameters, vocabulary and texts.

Each function raises :class:`~gpu_kmeans.errors.InvalidParam` for what it does not accept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Set
from numbers import Integral, Real
from typing import Any

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.stop_words import ENGLISH
from gpu_kmeans.validation import check_integer

__all__ = [
    "check_document_frequency",
    "check_ngram_range",
    "check_stop_words",
    "check_texts",
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
                f"got the text {stop_words!r:.60}"
            )
        return ENGLISH
    return frozenset(_check_words("stop_words", stop_words))


def _check_words(name: str, words: Any) -> list[str]:
    if isinstance(words, str | bytes) or not isinstance(words, Collection):
        raise InvalidParam(f"{name} must be a collection of words, got {words!r:.60}")
    for word in words:
        if not isinstance(word, str):
            raise InvalidParam(f"{name} must hold text alone, but holds {word!r:.60}")
    return [str(word) for word in words]


def check_ngram_range(ngram_range: Any) -> tuple[int, int]:
    """Return the shortest and the longest length of an n-gram, from 1."""
    if not isinstance(ngram_range, tuple | list) or len(ngram_range) != 2:
        raise InvalidParam(f"ngram_range must be two integers, got {ngram_range!r:.60}")
    shortest = check_integer("ngram_range[0]", ngram_range[0], 1)
    return shortest, check_integer("ngram_range[1]", ngram_range[1], shortest)


def check_document_frequency(name: str, value: Any) -> None:
    """Refuse what is neither a number of texts nor a share of them."""
    if isinstance(value, Integral):
        check_integer(name, value, 1)
    elif not isinstance(value, Real) or not 0.0 <= float(value) <= 1.0:
        raise InvalidParam(
            f"{name} must be a number of texts (an int from 1) or a share of them "
            f"(a float from 0.0 to 1.0), got {value!r}"
        )


def check_vocabulary(vocabulary: Any) -> dict[str, int]:
    """Return term -> column in the order of columns, which are 0, 1, 2 and so on."""
    terms = _check_words("vocabulary", vocabulary)
    if not terms:
        raise InvalidParam("vocabulary must hold at least one term, got none")
    if isinstance(vocabulary, Mapping):
        columns_given = list(vocabulary.values())
        integers = all(isinstance(column, Integral) for column in columns_given)
        if not integers or sorted(columns_given) != list(range(len(terms))):
            raise InvalidParam(
                f"the columns of a vocabulary of {len(terms)} terms must be 0 to "
                f"{len(terms) - 1}, each of them once"
            )
        terms.sort(key=vocabulary.__getitem__)
    elif isinstance(vocabulary, Set):
        terms.sort()
    columns = {term: column for column, term in enumerate(terms)}
    if len(columns) < len(terms):
        repeated, times = Counter(terms).most_common(1)[0]
        raise InvalidParam(f"vocabulary holds {repeated!r} {times} times: keep one of them")
    return columns


def check_texts(texts: Any) -> None:
    """Refuse what would be read as texts by accident; the backend looks at each one."""
    if isinstance(texts, str | bytes):
        raise InvalidParam(
            "texts must be a collection of texts, got a single one: put it in a list"
        )
    if isinstance(texts, Mapping | Set):
        raise InvalidParam(
            f"texts must be a sequence, got a {type(texts).__name__}: its order is not that of rows"
        )
    if getattr(texts, "ndim", 1) != 1 or not isinstance(texts, Iterable):
        shape = getattr(texts, "shape", None)
        what = type(texts).__name__ + (f" of shape {shape}" if shape is not None else "")
        raise InvalidParam(f"texts must be one column of texts, got a {what}")
