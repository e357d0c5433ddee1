"""Keywords in, ranked items of the nearest cluster out, each with the parts of its score.

A query is turned into TF-IDF weights exactly as the texts were. The cluster whose centroid
is nearest (Euclidean, as k-means assigns) supplies the candidates, and one formula ranks
them, with weights that depend on the ranking::

    score = relevance_weight * relevance + fame_weight * fame

``relevance`` is the cosine of query and item. ``fame`` is a prior: the share of the whole
catalogue that is less popular, counting half of those that are just as popular. A percentile
of ``popularity``, the number that the catalogue has, because that is heavy-tailed and of any
unit: the most popular item may have fifty times the median's, and would drown every cosine.

============== =========================== ====================== =========================
ranking        relevance_weight            fame_weight
============== =========================== ====================== =========================
``relevance``  1                           0
``popularity`` 0                           1                      (the order of popularity)
``blend``      ``(1 - w) / best cosine``   ``w``                  w = FAME_WEIGHT
============== =========================== ====================== =========================

The blend divides by the best cosine among the candidates, because a query of two words has
cosines of 0.1 to 0.6 with the texts that suit it best, while percentiles fill all of 0 to 1:
undivided, fame would decide. An item without any term of the query has fame
weight 0 in the blend as long as another candidate has one, so that fame alone never lifts it
over a match. Ties go to the more popular item, then to the earlier row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InvalidParam, InvalidQuery, UnknownItem, shown
from gpu_kmeans.features.texts import check_texts
from gpu_kmeans.forking import product
from gpu_kmeans.model import UNCLUSTERED, Model, Postings

__all__ = [
    "FAME_WEIGHT",
    "RANKS",
    "ClusterView",
    "Rank",
    "RankedItem",
    "Recommendation",
    "Recommender",
    "check_limits",
    "check_query",
    "cluster_views",
    "fame_of",
    "top_terms",
]

FAME_WEIGHT = 0.25
"""Weight of fame in the blend, where relevance has the rest of 1.

The best known item overtakes an unknown one only if its cosine falls short by less than a
third (0.25 / 0.75) of the best candidate's: fame decides between matches of the same kind.
"""

Rank: TypeAlias = Literal["blend", "relevance", "popularity"]
RANKS: tuple[Rank, ...] = ("blend", "relevance", "popularity")

MAX_QUERY = 10_000
MAX_LIMIT = 1_000
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
ROWS_AT_ONCE = 4_096
"""Number of dense rows whose distances are computed at once: other threads have their turn."""


@dataclass(frozen=True)
class ClusterView:
    """A cluster: label, number of items, heaviest terms (none where it has no items)."""

    label: int
    size: int
    top_terms: tuple[str, ...]


@dataclass(frozen=True)
class RankedItem:
    """One recommended item.

    Attributes
    ----------
    id : int or str
    title : str or None
        None where the catalogue has no titles.
    popularity, vote_average : float or None
        As in the catalogue; None where it has no such column.
    score : float
    parts : dict
        ``relevance``, ``fame`` and their two weights, ``relevance_weight`` and
        ``fame_weight``; ``score`` is the sum of the two products.
    label : int
        Cluster of the item.
    """

    id: int | str
    title: str | None
    popularity: float | None
    vote_average: float | None
    score: float
    parts: dict[str, float]
    label: int


@dataclass(frozen=True)
class Recommendation:
    """What a query found.

    Attributes
    ----------
    query : str
    terms : tuple of str
        Terms of the query that the model knows, in the order of its vocabulary.
    cluster : ClusterView or None
        The nearest one; None where no term is known.
    items : tuple of RankedItem
        Best first.
    message : str or None
        What the reader should know about this answer.
    """

    query: str
    terms: tuple[str, ...]
    cluster: ClusterView | None
    items: tuple[RankedItem, ...]
    message: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers."""
        view = asdict(self)
        view["terms"], view["items"] = list(view["terms"]), list(view["items"])
        if view["cluster"] is not None:
            view["cluster"]["top_terms"] = list(view["cluster"]["top_terms"])
        return view


class Scored(NamedTuple):
    """Ranked places (positions in the order of popularity), best first, and their parts."""

    places: NDArray[np.intp]
    scores: NDArray[np.float64]
    relevance: NDArray[np.float64]
    fame: NDArray[np.float64]
    relevance_weight: float
    fame_weights: NDArray[np.float64]


class Recommender:
    """Recommend items of a model for a few keywords.

    The items are kept in the order of their popularity, so that a *place*, the position in
    that order, breaks every tie.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        if not isinstance(model, Model):
            raise InvalidParam(
                f"model must be a Model, got {type(model).__name__}: fit one, or read one with "
                "Model.load"
            )
        self.model = model
        text = model.features.text
        start, end = (0, model.n_features) if text is None else model.features.bounds_of(text)
        self._text_features = slice(start, end)
        self._text_factor = 1.0
        for part in model.features.parts:
            if part.encoder is text:
                self._text_factor = part.factor
        fame = fame_of(model)
        self._row_of_place = np.argsort(-fame, kind="stable")
        self._fame = fame[self._row_of_place]
        place_of_row = np.empty_like(self._row_of_place)
        place_of_row[self._row_of_place] = np.arange(len(place_of_row))
        self._postings = place_of_row.take(model.postings.rows)
        squares = np.square(model.postings.values, dtype=np.float64)
        self._norms = np.sqrt(model.postings.row_sums(squares)[self._row_of_place])
        labels = model.labels[self._row_of_place]
        by_label = np.argsort(labels, kind="stable")
        bounds = np.cumsum(np.bincount(labels + 1, minlength=model.n_clusters + 1))
        self._members = np.split(by_label, bounds)[1:-1]
        self.everything = np.arange(len(labels))
        """Places of the whole catalogue, for rankings without clusters."""

    # -- asking -------------------------------------------------------------------------

    def recommend(
        self, query: str, limit: int = 10, rank: Rank = "blend", clusters: int = 1
    ) -> Recommendation:
        """Rank the items of the cluster(s) nearest to a query.

        Parameters
        ----------
        query : str
            Any text of at most 10,000 characters; only known terms count.
        limit : int
            At most this many items, 1 to 1000.
        rank : {"blend", "relevance", "popularity"}
            See the module's formula.
        clusters : int
            How many of the nearest clusters supply candidates, 1 to k.

        Raises
        ------
        InvalidQuery
            ``query``, ``limit`` or ``clusters`` is outside these bounds.
        InvalidParam
            ``rank`` is none of the three.
        """
        check_query(query)
        check_limits("limit", limit, MAX_LIMIT)
        check_limits("clusters", clusters, self.model.n_clusters)
        check_rank(rank)
        indices, weights = self.model.vectorizer.transform_query(query)
        labels = self.nearest(indices, weights, clusters) if len(indices) else []
        if not labels:
            return Recommendation(query, (), None, (), "no term of the query is known to the model")
        scored = self.rank(self.relevance(indices, weights), self.candidates(labels), rank, limit)
        return Recommendation(
            query=query,
            terms=tuple(str(self._terms[index]) for index in indices),
            cluster=ClusterView(
                label=labels[0],
                size=int(self.model.sizes[labels[0]]),
                top_terms=tuple(self._top_terms[labels[0]]),
            ),
            items=tuple(self._items(scored)),
            message=self._message(scored, rank),
        )

    def similar(self, item: int | str, limit: int = 10) -> tuple[RankedItem, ...]:
        """Rank the other items by how like one item they are.

        Of texts, by the cosine of the two texts. Of other rows, by their distance ``d`` in the
        space in which the clusters were found: ``relevance`` is ``1 / (1 + d)``.

        Parameters
        ----------
        item : int or str
            Its id.
        limit : int
            At most this many items, 1 to 1000; texts that share no term are left out.

        Raises
        ------
        UnknownItem
            No item has this id.
        InvalidQuery
            ``limit`` is outside its bounds.
        """
        check_limits("limit", limit, MAX_LIMIT)
        row = self.row_of(item)
        is_text = self.model.is_text
        likeness = self.relevance(*self.vector(row)) if is_text else self._nearness(row)
        likeness[self._row_of_place == row] = 0
        candidates = np.flatnonzero(likeness)
        return tuple(self._items(self.rank(likeness, candidates, "relevance", limit)))

    def predict(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the nearest cluster of each text and the distance to its centroid.

        Both of shape (n_texts,); -1 and NaN for a text without a known term.

        Raises
        ------
        InvalidParam
            ``texts`` is a single text, or no sequence of them.
        InvalidQuery
            One of them is not a text, or has more than 10,000 characters.
        """
        check_texts(texts)
        texts = list(texts)
        labels = np.full(len(texts), UNCLUSTERED, np.int32)
        distances = np.full(len(texts), np.nan)
        for at, text in enumerate(texts):
            check_query(text)
            indices, weights = self.model.vectorizer.transform_query(text)
            if not self.model.is_text:
                raise InvalidQuery(
                    "the model was fitted on more than texts: assign rows of a table with the "
                    "same columns (gpu_kmeans.questions.assign.assign, on the command line assign)"
                )
            if len(indices):
                squared = self._squared_distances(indices, weights)
                labels[at] = squared.argmin()
                square = self._square(indices, weights) + squared[labels[at]]
                distances[at] = math.sqrt(max(0.0, square))
        return labels, distances

    # -- the steps, which evaluate takes one by one ----------------------------------------

    def nearest(
        self, indices: NDArray[np.int32], weights: NDArray[np.float32], count: int
    ) -> list[int]:
        """Return the labels of the ``count`` nearest clusters that have items, nearest first."""
        distance = self._squared_distances(indices, weights)
        order = np.argsort(distance, kind="stable")[:count]
        return [int(label) for label in order if distance[label] < np.inf]

    def _squared_distances(
        self, indices: NDArray[np.int32], weights: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Squared distances to all centroids, less the text's own square; infinite to empty ones.

        The square is the same for all of them. Beside other features, only those of texts count.
        """
        reduction = self.model.reduction
        if reduction is None:
            scaled = weights.astype(np.float64) * self._text_factor
            features = indices + self._text_features.start
            products = product(self.model.centroids[:, features], scaled)
        else:
            projected = self._projected(indices, weights)
            products = product(self.model.centroids.astype(np.float64), projected)
        distances: NDArray[np.float64] = self._squared_norms - 2 * products
        return distances

    def _projected(
        self, indices: NDArray[np.int32], weights: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return a text's row among the reduced ones."""
        reduction = self.model.reduction
        assert reduction is not None
        features = indices + self._text_features.start
        return reduction.project_sparse(features, weights * self._text_factor)

    def _square(self, indices: NDArray[np.int32], weights: NDArray[np.float32]) -> float:
        """Return the squared norm of a text's row."""
        row = weights if self.model.reduction is None else self._projected(indices, weights)
        return float(np.square(row, dtype=np.float64).sum())

    def _nearness(self, row: int) -> NDArray[np.float64]:
        """Return ``1 / (1 + distance)`` of an item and every other, by place."""
        space = self.model.space
        if isinstance(space, Postings):
            columns, values = self._row(row)
            dots = np.zeros(space.n_rows)
            for index, weight in zip(columns.tolist(), values.tolist(), strict=True):
                part = slice(space.indptr[index], space.indptr[index + 1])
                dots[space.rows[part]] += weight * space.values[part]
            squares = space.row_sums(np.square(space.values, dtype=np.float64))
            squared = squares - 2 * dots + squares[row]
        else:
            squared = np.empty(len(space))
            for start in range(0, len(space), ROWS_AT_ONCE):
                part = slice(start, start + ROWS_AT_ONCE)
                differences = space[part].astype(np.float64) - space[row]
                squared[part] = np.einsum("ij,ij->i", differences, differences)
        nearness: NDArray[np.float64] = 1 / (1 + np.sqrt(np.maximum(squared, 0)))
        return nearness[self._row_of_place]

    def _row(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return all features of an item that are not 0, and their values."""
        rows = self.model.rows
        assert isinstance(rows, Postings)
        own = np.flatnonzero(rows.rows == row)
        features = np.searchsorted(rows.indptr, own, side="right") - 1
        return features.astype(np.int32), rows.values[own]

    def candidates(self, labels: Sequence[int]) -> NDArray[np.intp]:
        """Return the places of the clusters' items, rising."""
        if len(labels) == 1:
            return self._members[labels[0]]
        return np.sort(np.concatenate([self._members[label] for label in labels]))

    def relevance(
        self, indices: NDArray[np.int32], weights: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return the cosine of a query and every item, by place; float64 of shape (n,)."""
        dots = np.zeros(len(self._norms))
        bounds, values = self.model.postings.indptr, self.model.postings.values
        for index, weight in zip(indices.tolist(), weights.tolist(), strict=True):
            part = slice(bounds[index], bounds[index + 1])
            dots[self._postings[part]] += weight * values[part]  # a row stands once in a term
        matched = np.flatnonzero(dots)
        norm = math.sqrt(np.square(weights, dtype=np.float64).sum())
        dots[matched] /= self._norms[matched] * norm
        return dots

    def rank(
        self,
        relevance: NDArray[np.float64],
        candidates: NDArray[np.intp],
        rank: Rank,
        limit: int,
    ) -> Scored:
        """Return the best ``limit`` of the candidates (rising places) under one ranking."""
        cosine = relevance[candidates]
        fame = self._fame[candidates]
        relevance_weight, fame_weight = 1.0, np.zeros(len(candidates))
        if rank == "popularity":
            relevance_weight, fame_weight[:] = 0.0, 1.0
        elif rank == "blend":
            best = float(cosine.max(initial=0.0))
            relevance_weight = (1 - FAME_WEIGHT) / best if best else 1 - FAME_WEIGHT
            fame_weight[(cosine > 0) | (best == 0)] = FAME_WEIGHT
        scores = relevance_weight * cosine + fame_weight * fame
        top = _first(scores, limit)
        return Scored(
            candidates[top],
            scores[top],
            cosine[top],
            fame[top],
            relevance_weight,
            fame_weight[top],
        )

    def item_id(self, text: str) -> int | str:
        """Return the id that a text stands for: of items numbered by integers, the integer.

        Raises
        ------
        UnknownItem
            The ids are integers, and this is none as it would be printed.
        """
        if str(self.model.items.schema.field("id").type) != "int64":
            return text
        if not INTEGER.fullmatch(text):
            raise UnknownItem(f"no item of the model has the id {text!r:.80}")
        return int(text)

    def row_of(self, item: int | str) -> int:
        """Return the row of the item of this id, or raise ``UnknownItem``."""
        known = isinstance(item, str | Integral) and not isinstance(item, bool | np.bool_)
        row = self._row_of_id.get(item) if known else None
        if row is None:
            raise UnknownItem(f"no item of the model has the id {item!r:.80}")
        return row

    def vector(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return an item's terms and their weights, as ``transform_query`` does of its text."""
        indptr, columns, values = self._by_row
        part = slice(indptr[row], indptr[row + 1])
        return columns[part], values[part]

    def rows(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows of the model's items at the given places."""
        return self._row_of_place[places]

    @cached_property
    def _row_of_id(self) -> dict[int | str, int]:
        return {item: row for row, item in enumerate(self.model.items["id"].to_pylist())}

    @cached_property
    def _by_row(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """The postings as CSR: bounds of the rows, columns rising in each, values."""
        postings = self.model.postings
        order = np.argsort(postings.rows, kind="stable")
        lengths = np.bincount(postings.rows, minlength=postings.n_rows)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        columns = np.repeat(np.arange(len(postings.indptr) - 1), np.diff(postings.indptr))
        return indptr, columns.take(order).astype(np.int32), postings.values.take(order)

    # -- showing ------------------------------------------------------------------------

    @cached_property
    def _squared_norms(self) -> NDArray[np.float64]:
        """Squared norms of the centroids; infinite for a cluster without items."""
        centroids = self.model.centroids
        norms = np.array([float(np.square(row, dtype=np.float64).sum()) for row in centroids])
        return np.where(self.model.sizes > 0, norms, np.inf)

    @cached_property
    def _top_terms(self) -> list[list[str]]:
        return _heaviest(self.model)

    @cached_property
    def _terms(self) -> NDArray[np.object_]:
        return self.model.vectorizer.get_feature_names_out()

    def _items(self, scored: Scored) -> list[RankedItem]:
        columns = {
            name: self.model.items[name] if name in self.model.items.column_names else None
            for name in ("id", "title", "popularity", "rating")
        }

        def cell(name: str, row: int) -> Any:
            column = columns[name]
            return None if column is None else column[row].as_py()

        return [
            RankedItem(
                id=cell("id", row),
                title=cell("title", row),
                popularity=cell("popularity", row),
                vote_average=cell("rating", row),
                score=float(scored.scores[at]),
                parts={
                    "relevance": float(scored.relevance[at]),
                    "fame": float(scored.fame[at]),
                    "relevance_weight": scored.relevance_weight,
                    "fame_weight": float(scored.fame_weights[at]),
                },
                label=int(self.model.labels[row]),
            )
            for at, row in enumerate(self.rows(scored.places).tolist())
        ]

    def _message(self, scored: Scored, rank: Rank) -> str | None:
        said = []
        if rank != "popularity" and not scored.relevance.any():
            said.append("no candidate has a term of the query")
        if rank != "relevance" and "popularity" not in self.model.items.column_names:
            said.append("the catalogue has no popularity: fame counts as 0 for all items")
        return "; ".join(said) or None


def cluster_views(model: Model) -> list[ClusterView]:
    """Return every cluster by label; what the centroid of an empty one holds, no item has."""
    terms = _heaviest(model)
    return [
        ClusterView(label, int(size), tuple(heaviest) if size else ())
        for label, (size, heaviest) in enumerate(zip(model.sizes, terms, strict=True))
    ]


def _heaviest(model: Model) -> list[list[str]]:
    """Return the words that name each cluster: its heaviest terms, or what sets it apart."""
    text = model.features.text
    if text is None:
        from gpu_kmeans.model.reasons import short_reasons

        return short_reasons(model)
    start, end = model.features.bounds_of(text)
    return top_terms(model.feature_means[:, start:end], model.vectorizer.get_feature_names_out())


def top_terms(
    centroids: NDArray[np.floating[Any]], terms: Sequence[str] | NDArray[Any], count: int = 8
) -> list[list[str]]:
    """Return the heaviest terms of each centroid, heaviest first, ties by column.

    Parameters
    ----------
    centroids : ndarray of shape (k, n_terms)
    terms : sequence of n_terms str
    count : int
        At most so many; terms of weight 0 are left out.

    Raises
    ------
    InvalidParam
        ``terms`` is a single text, or there are not as many as columns.
    """
    if isinstance(terms, str | bytes) or len(terms) != centroids.shape[1]:
        raise InvalidParam(
            f"terms must be a sequence of {centroids.shape[1]} texts, one for each column of the "
            f"centroids, got {type(terms).__name__} of length {len(terms)}"
        )
    return [[str(terms[at]) for at in _first(row, count) if row[at] > 0] for row in centroids]


def check_rank(rank: object) -> None:
    """Raise ``InvalidParam`` unless ``rank`` is one of the three."""
    if not isinstance(rank, str) or rank not in RANKS:
        raise InvalidParam(f"rank must be one of {', '.join(RANKS)}, got {shown(rank)}")


def _first(scores: NDArray[np.floating[Any]], count: int) -> NDArray[np.intp]:
    """Return the positions of the ``count`` highest scores, ties in order of position.

    Scores are not negative, and most of them 0: those need no sorting.
    """
    found = np.flatnonzero(scores)
    ranked = found[np.argsort(-scores[found], kind="stable")][:count]
    return np.concatenate([ranked, np.flatnonzero(scores == 0)[: count - len(ranked)]])


def fame_of(model: Model) -> NDArray[np.float64]:
    """Return the share of items less popular than each, counting half of its equals.

    float64 of shape (n,); 0 for all where the catalogue has no popularity.
    """
    if "popularity" not in model.items.column_names:
        return np.zeros(model.items.num_rows)
    # By way of Python's numbers, because pyarrow's conversion to NumPy imports pandas.
    values = np.array(model.items["popularity"].to_pylist(), dtype=np.float64)
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    shares: NDArray[np.float64] = (np.cumsum(size) - size / 2) / len(values)
    return shares[group]


def check_query(query: str) -> None:
    """Raise ``InvalidQuery`` unless ``query`` is a text of at most 10,000 characters."""
    if not isinstance(query, str):
        raise InvalidQuery(f"the query must be text, got {type(query).__name__}: give keywords")
    if len(query) > MAX_QUERY:
        raise InvalidQuery(
            f"the query has {len(query)} characters, and {MAX_QUERY} are allowed: give keywords"
        )
    if any("\ud800" <= character <= "\udfff" for character in query):
        raise InvalidQuery("the query has half a character (a lone surrogate): give it as UTF-8")


def check_limits(name: str, value: int, most: int) -> None:
    """Raise ``InvalidQuery`` unless ``value`` is an integer from 1 to ``most``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise InvalidQuery(f"{name} must be an integer from 1 to {most}, got {value!r}")
    if not 1 <= value <= most:
        raise InvalidQuery(f"{name} must lie in 1 to {most}, got {value}")
