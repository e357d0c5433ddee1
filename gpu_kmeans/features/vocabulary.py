"""Vocabularies: the column of each term, and the terms that are within limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import EmptyVocabulary, InvalidParam, shown
from gpu_kmeans.features.tfidf_params import check_words, is_integer

__all__ = ["check_vocabulary", "columns_within"]


def check_vocabulary(vocabulary: Any, name: str = "vocabulary") -> dict[str, int]:
    """Return term -> column in the order of columns, which are 0, 1, 2 and so on.

    A mapping gives each term its column, in whatever order it is; a set is sorted.
    """
    if type(vocabulary) is dict and set(map(type, vocabulary)) == {str}:
        columns = list(vocabulary.values())
        if set(map(type, columns)) == {int} and columns == [*range(len(columns))]:
            return vocabulary  # as it was fitted, which is checked whenever texts are transformed
    terms = check_words(name, vocabulary)
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
        if not is_integer(column) or not 0 <= column < len(terms):
            raise InvalidParam(f"{wanted}, but that of {shown(term)} is {shown(column)}")
        if (other := by_column[int(column)]) is not None:
            raise InvalidParam(
                f"{wanted}, but {shown(other)} and {shown(term)} are both in {column}"
            )
        by_column[int(column)] = term
    return [term for term in by_column if term is not None]


def columns_within(
    frequency: NDArray[Any],
    totals: NDArray[Any] | None,
    n_texts: int,
    limits: tuple[int | float, int | float, int | None],
) -> NDArray[np.intp]:
    """Return the columns within ``(min_df, max_df, max_features)``, rising.

    Parameters
    ----------
    frequency, totals : ndarray of shape (n_terms,)
        Number of texts that hold a term, and how often all of them do.

    Raises
    ------
    InvalidParam
        No term can be within the limits.
    EmptyVocabulary
        No term is.
    """
    min_df, max_df, max_features = limits
    low, high = _n_texts(min_df, n_texts), _n_texts(max_df, n_texts)
    if high < low:
        raise InvalidParam(
            f"min_df={shown(min_df)} asks for at least {low:g} of {n_texts} texts and "
            f"max_df={shown(max_df)} allows at most {high:g}: no term can be both"
        )
    selected = np.flatnonzero((frequency >= low) & (frequency <= high))
    if not len(selected):
        raise EmptyVocabulary(
            f"min_df={shown(min_df)} and max_df={shown(max_df)} leave none of the "
            f"{len(frequency)} terms of {n_texts} texts: widen them"
        )
    if totals is None or max_features is None or len(selected) <= max_features:
        return selected
    most_frequent = np.argsort(-totals[selected], kind="stable")
    return np.sort(selected[most_frequent[:max_features]])


def _n_texts(bound: Any, n_texts: int) -> Any:
    if isinstance(bound, Integral):
        return min(int(bound), n_texts + 1)  # more than all is as good as any number
    # A float as it is, so that it rounds as scikit-learn's.
    return bound * n_texts if isinstance(bound, float | np.floating) else float(bound) * n_texts
