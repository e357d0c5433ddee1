"""How like some items, and unlike others, every item is.

Rocchio's rule (1971): what is looked for lies in the middle of what is liked, and away from the
middle of what is not. Of texts, likeness is the cosine with ``mean(liked) - LESS * mean(disliked)``
of the unit rows. Of other rows it is ``1 / (1 + d)``, with the distance ``d`` to ``mean(liked) +
LESS * (mean(liked) - mean(disliked))`` in the space in which the clusters were found.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.model import Model, Postings

__all__ = ["LESS", "Likeness"]

LESS = 0.5
"""Weight of what is not liked, beside 1 of what is."""
ROWS_AT_ONCE = 4_096
"""Number of dense rows whose distances are computed at once: other threads have their turn."""


class Likeness:
    """Likeness of a model's items.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def prepare(self) -> None:
        """Measure the rows now, which the first question would wait for."""
        _ = self._norms

    def scores(self, liked: Sequence[int], disliked: Sequence[int] = ()) -> NDArray[np.float64]:
        """Return the likeness of every item, shape (n_items,); 0 where there is none.

        Parameters
        ----------
        liked, disliked : sequence of int
            Rows of items, at least one of them liked.
        """
        weights = np.zeros(len(self._model.labels))
        np.add.at(weights, np.array(liked, dtype=np.intp), 1 / len(liked))
        less = LESS if disliked else 0.0
        if not self._model.is_text:
            weights *= 1 + less
        np.subtract.at(weights, np.array(disliked, dtype=np.intp), less / max(1, len(disliked)))
        if self._model.is_text:
            return self._cosines(weights)
        return 1 / (1 + np.sqrt(np.maximum(self._squared_distances(weights), 0)))

    def cosines(
        self,
        terms: NDArray[np.integer[Any]],
        weights: NDArray[Any],
        rows: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float64]:
        """Return the cosine of one text's row and items', shape (n_items,).

        Parameters
        ----------
        terms, weights : ndarray of shape (n_terms,)
            The text's, as :meth:`TfidfVectorizer.transform_query` gives them.
        rows : ndarray of shape (n_items,), integers, optional
            The items; all where there are none.
        """
        values = weights.astype(np.float64)
        dots = _dots(self._model.postings, terms, values)
        norms = self._norms
        if rows is not None:
            dots, norms = dots[rows], norms[rows]
        length = float(np.sqrt(np.square(values).sum()))
        return dots / (norms * (length or 1.0))

    def shared_terms(
        self, rows: Sequence[int], liked: Sequence[int], count: int
    ) -> list[tuple[str, ...]]:
        """Return the terms that items share most with those liked, heaviest first; of texts only.

        None of any item where the model has other features.
        """
        if not self._model.is_text or not len(rows):
            return [() for _ in rows]
        weights = np.zeros(len(self._model.labels))
        weights[np.array(liked, dtype=np.intp)] = 1.0
        terms, values = self._combined(self._model.postings, weights / self._norms)
        names = self._model.vectorizer.get_feature_names_out()
        shared: list[list[tuple[float, int]]] = [[] for _ in rows]
        wanted = np.array(rows, dtype=np.int32)
        for term, value in zip(terms.tolist(), values.tolist(), strict=True):
            part = _part(self._model.postings, term)
            own = self._model.postings.rows[part]
            at = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
            for position in np.flatnonzero(own[at] == wanted).tolist():
                weight = value * float(self._model.postings.values[part][at[position]])
                shared[position].append((-weight, term))
        return [tuple(str(names[term]) for _, term in sorted(own)[:count]) for own in shared]

    @cached_property
    def _norms(self) -> NDArray[np.float64]:
        """Lengths of the rows of terms; 1 for those without a term."""
        postings = self._model.postings
        norms = np.sqrt(postings.row_sums(np.square(postings.values, dtype=np.float64)))
        return np.where(norms > 0, norms, 1.0)

    def _cosines(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        postings = self._model.postings
        terms, values = self._combined(postings, weights / self._norms)
        return self.cosines(terms, values)

    def _squared_distances(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        space = self._model.space
        if isinstance(space, Postings):
            features, values = self._combined(space, weights)
            squares = space.row_sums(np.square(space.values, dtype=np.float64))
            squared: NDArray[np.float64] = squares - 2 * _dots(space, features, values)
            return squared + float(np.square(values).sum())
        own = np.flatnonzero(weights)
        target = (weights[own, None] * space[own].astype(np.float64)).sum(axis=0)
        squared = np.empty(len(space))
        for start in range(0, len(space), ROWS_AT_ONCE):
            differences = space[start : start + ROWS_AT_ONCE].astype(np.float64) - target
            squared[start : start + ROWS_AT_ONCE] = np.einsum("ij,ij->i", differences, differences)
        return squared

    @staticmethod
    def _combined(
        postings: Postings, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the weighted sum of rows: its features that are not 0, and their values."""
        own = np.flatnonzero(weights[postings.rows])
        features = np.searchsorted(postings.indptr, own, side="right") - 1
        values = weights[postings.rows[own]] * postings.values[own]
        distinct, inverse = np.unique(features, return_inverse=True)
        sums = np.zeros(len(distinct))
        np.add.at(sums, inverse, values)
        return distinct, sums


def _part(postings: Postings, feature: int) -> slice:
    return slice(int(postings.indptr[feature]), int(postings.indptr[feature + 1]))


def _dots(
    postings: Postings, features: NDArray[np.integer[Any]], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the product of every row with one of few features, shape (n_rows,)."""
    dots = np.zeros(postings.n_rows)
    for feature, value in zip(features.tolist(), values.tolist(), strict=True):
        part = _part(postings, feature)
        dots[postings.rows[part]] += value * postings.values[part]
    return dots
