"""Search over all items of a model: words in, ranked items and their reasons out.

Every item is searched, in its title, text, lists of names and other columns of texts. A cluster is
a way to look at the answers (each has its number of hits), not a fence around them; the rule of
looking into the nearest one alone is :class:`gpu_kmeans.recommend.Recommender`.

=============== ==================================================================================
ranking         order of the items that match
=============== ==================================================================================
``best``        items that have the query for a title, then by ``(1 - c - f) * score / best score
                + c * cosine / best cosine + f * fame``, with ``c`` and ``f`` = :data:`BEST_COSINE`
                and :data:`BEST_FAME`
``blend``       ``(1 - w) * score / best score + w * fame``, with ``w`` =
                :data:`gpu_kmeans.recommend.FAME_WEIGHT`
``relevance``   by score: see :mod:`gpu_kmeans.index.matching`
``popularity``  by popularity
=============== ==================================================================================

``cosine`` is that of query and text, as the model weighs their terms. ``fame`` is the share of
items that are less popular (:func:`gpu_kmeans.recommend.fame_of`). Items that have only words which
begin with the query's last one come after all others, whatever the ranking; ties go to the more
popular item, then to the earlier row.

The index is made of the model, in memory, with the first query: NumPy postings with positions.
SQLite's FTS5 and Tantivy were measured beside it (``bench/results/tried.md``). On 100,000 items
FTS5 takes tens to hundreds of milliseconds where many items match, as each hit is a row in Python.
Tantivy is faster for words and phrases, and slower for beginnings of words, which every last word
may be; it gives neither the scores of all hits, which blends and conditions on any column need, nor
its vocabulary, which corrections need, so that postings of our own would stand beside it.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import count
from numbers import Integral
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InvalidParam, InvalidQuery, UnknownItem, shown
from gpu_kmeans.features.stop_words import ENGLISH
from gpu_kmeans.index.explanations import corrections, message, reasons
from gpu_kmeans.index.fields import fields_of
from gpu_kmeans.index.filters import Filters
from gpu_kmeans.index.likeness import Likeness
from gpu_kmeans.index.matching import MATCH, Matching, match
from gpu_kmeans.index.postings import WordIndex
from gpu_kmeans.index.query import ParsedQuery, parse
from gpu_kmeans.index.results import Correction, Facet, FoundItem, SearchResult
from gpu_kmeans.index.vocabulary import Vocabulary
from gpu_kmeans.index.words import fold
from gpu_kmeans.model import UNCLUSTERED, Model
from gpu_kmeans.model.naming import cluster_names
from gpu_kmeans.recommend import (
    FAME_WEIGHT,
    MAX_LIMIT,
    Recommender,
    check_limits,
    check_query,
    fame_of,
)

__all__ = [
    "BEST_COSINE",
    "BEST_FAME",
    "SEARCH_RANKS",
    "Correction",
    "Facet",
    "FoundItem",
    "SearchRank",
    "SearchResult",
    "Searcher",
]

SearchRank: TypeAlias = Literal["best", "blend", "relevance", "popularity"]
SEARCH_RANKS: tuple[SearchRank, ...] = ("best", "blend", "relevance", "popularity")
BEST_FAME, BEST_COSINE = 0.05, 0.2
"""Weights of fame and of the cosine in the default ranking, where the score has the rest of 1: fame
decides between items that match equally well, and the cosine favours texts about little else."""
FIRST = 10
"""Number of items among which ``diversity`` limits those of one cluster."""
SHARED_TERMS = 5
"""Number of terms that items liked, and one like them, are said to share."""
NO_CLUSTER = "in no cluster"
"""Name under which hits of items in no cluster are counted."""
NO_POPULARITY = "the catalogue has no popularity: fame counts as 0 for all items"
"""What is said where items are to be ranked by a number that there is not."""
MAX_LIKED = 1_000
"""Maximum number of items that others are to be like, or unlike."""


class Searcher:
    """Search all items of a model. Any number of threads may ask one searcher.

    Parameters
    ----------
    model : Model
    weights : mapping, optional
        What a word counts in fields, by their names, where that differs from
        :data:`gpu_kmeans.index.fields.WEIGHTS`; 0 leaves a field out.
    names : sequence of str, optional
        Names of the clusters, where they have been made before.

    Raises
    ------
    InvalidParam
        ``model`` is none, or ``weights`` names no field, or a weight is no number.
    """

    def __init__(
        self,
        model: Model,
        weights: Mapping[str, float] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(model, Model):
            raise InvalidParam(
                f"model must be a Model, got {type(model).__name__}: fit one, or read one with "
                "Model.load"
            )
        self.model = model
        self._fields = fields_of(model, weights)
        self._filters = Filters(model)
        self._likeness = Likeness(model)
        self._fame = fame_of(model)
        self._titles = model.items["title"] if "title" in model.items.column_names else None
        self._weights = weights
        self._own_names = names
        self._made: tuple[WordIndex, Vocabulary] | None = None
        self._process_lock = os.getpid(), threading.Lock()

    # -- asking ---------------------------------------------------------------------------

    def search(
        self,
        query: str,
        limit: int = 10,
        *,
        clusters: Sequence[int] | None = None,
        filters: Mapping[str, Any] | None = None,
        rank: SearchRank = "best",
        diversity: int | None = None,
    ) -> SearchResult:
        """Rank the items that match a query.

        Parameters
        ----------
        query : str
            Any text of at most 10,000 characters; ``"a phrase"`` between quotation marks must
            stand in an item as it is. Without a word, all items that pass the filters match.
        limit : int
            At most this many items, 1 to 1000.
        clusters : sequence of int, optional
            Labels of the clusters to show items of; -1 for those in none.
        filters : mapping, optional
            Conditions by columns: see :mod:`gpu_kmeans.index.filters`.
        rank : {"best", "blend", "relevance", "popularity"}
            See the module's table.
        diversity : int, optional
            At most so many items of one cluster among the first ten, as long as others match.

        Raises
        ------
        InvalidQuery
            ``query`` or ``limit`` is outside these bounds, or the model has no column of texts.
        InvalidParam
            ``rank`` is none of these, ``clusters`` is no sequence, ``filters`` names no column, or
            a condition does not suit it.
        UnknownItem
            The model has no such cluster.
        """
        check_query(query)
        self._check(limit, diversity)
        check_rank(rank)
        labels = self._labels(clusters)
        passed = None if filters is None else self._filters.mask(filters)
        parsed = parse(query)
        if parsed.clauses:
            matching = self._match(parsed)
        else:
            everything = np.arange(
                len(self._fame) if passed is not None or labels is not None else 0
            )
            nothing = np.zeros(len(everything))
            matching = Matching(everything, nothing, np.full(len(everything), MATCH, np.int8))
        scores, tiers = self._ranked_by(query, matching, rank)
        mask = np.ones(len(scores), np.bool_) if passed is None else passed[matching.rows]
        facets = self._facets(matching.rows[mask])
        if labels is not None:
            mask &= np.isin(self.model.labels[matching.rows], labels)
        matching, scores, tiers = matching.where(mask), scores[mask], tiers[mask]
        order = self._order(matching.rows, scores, tiers, limit, diversity)
        shown_rows = matching.rows[order].tolist()
        why = self._reasons(matching.rows[order], matching)
        corrected = corrections(*self._index, matching.clauses) if matching.clauses else ()
        said = message(parsed, matching, corrected, passed is not None or labels is not None)
        if rank in ("blend", "popularity") and "popularity" not in self.model.items.column_names:
            said = f"{said}; {NO_POPULARITY}" if said else NO_POPULARITY
        return SearchResult(
            query=query,
            total=len(matching.rows),
            items=tuple(map(self._item, count(1), shown_rows, scores[order].tolist(), why)),
            facets=facets,
            corrections=corrected,
            message=said,
            words=tuple(one.clause.text for one in matching.clauses if one.matches is not None),
        )

    def like(
        self,
        liked: Sequence[int | str],
        disliked: Sequence[int | str] = (),
        limit: int = 10,
        *,
        clusters: Sequence[int] | None = None,
        filters: Mapping[str, Any] | None = None,
        diversity: int | None = None,
    ) -> SearchResult:
        """Rank the items like some and unlike others: see :mod:`gpu_kmeans.index.likeness`.

        Parameters
        ----------
        liked, disliked : sequence of int or str
            Ids of at most 1,000 items in all, at least one of them liked.
        limit, clusters, filters, diversity
            As in :meth:`search`. Texts that share no term are left out.

        Raises
        ------
        UnknownItem
            No item has one of the ids, or no cluster one of the labels.
        InvalidQuery
            ``limit`` is outside its bounds.
        InvalidParam
            Nothing is liked, too much is, or an item is both liked and disliked; and as in
            :meth:`search`.
        """
        self._check(limit, diversity)
        likes, dislikes = (self._rows("liked", liked), self._rows("disliked", disliked))
        if not likes or len(likes) + len(dislikes) > MAX_LIKED:
            raise InvalidParam(
                f"liked and disliked must be 1 to {MAX_LIKED} ids, at least one of them liked, "
                f"got {len(likes)} and {len(dislikes)}"
            )
        if both := set(likes) & set(dislikes):
            item = self.model.items["id"][min(both)].as_py()
            raise InvalidParam(f"the item {item!r:.80} is both liked and disliked: choose one")
        labels = self._labels(clusters)
        scores = self._likeness.scores(likes, dislikes)
        scores[[*likes, *dislikes]] = 0.0
        like = scores > 1e-12
        if filters is not None:
            like &= self._filters.mask(filters)
        rows = np.flatnonzero(like)
        facets = self._facets(rows)
        if labels is not None:
            rows = rows[np.isin(self.model.labels[rows], labels)]
        tiers = np.full(len(rows), MATCH, dtype=np.int8)
        order = self._order(rows, scores[rows], tiers, limit, diversity)
        top = rows[order].tolist()
        shared = self._likeness.shared_terms(top, likes, SHARED_TERMS)
        why = [{"text": list(terms)} if terms else {} for terms in shared]
        items = tuple(map(self._item, count(1), top, scores[top].tolist(), why))
        said = None if items else "nothing is like them"
        return SearchResult("", len(rows), items, facets, (), said)

    def mask(
        self, clusters: Sequence[int] | None = None, filters: Mapping[str, Any] | None = None
    ) -> NDArray[np.bool_]:
        """Return which items are in some clusters and pass conditions, shape (n_items,).

        Raises
        ------
        UnknownItem, InvalidParam
            As in :meth:`search`.
        """
        labels = self._labels(clusters)
        passed = np.ones(len(self._fame), dtype=np.bool_)
        if filters is not None:
            passed &= self._filters.mask(filters)
        if labels is not None:
            passed &= np.isin(self.model.labels, labels)
        return passed

    def item_id(self, text: str) -> int | str:
        """Return the id that a text stands for: see :meth:`Recommender.item_id`."""
        return self.recommender.item_id(text)

    @property
    def fields(self) -> dict[str, float]:
        """Fields that are searched, and what a word counts in each."""
        return {field.name: field.weight for field in self._fields}

    def prepare(self) -> None:
        """Make everything that the first searches would wait for."""
        if self._fields:
            self._index[1].prepare()
        self._likeness.prepare()
        _ = self._names, self._cells, self.recommender

    @property
    def nbytes(self) -> int:
        """Memory of the index's arrays, in bytes."""
        return self._index[0].nbytes

    # -- the index ------------------------------------------------------------------------

    def _match(self, parsed: ParsedQuery) -> Matching:
        if not self._fields:
            raise InvalidQuery(
                "the model was fitted on a table without texts, so that words find nothing in it: "
                "ask for items like one of them (like; recommend --like ID), or filter them "
                "(filters; recommend --where COLUMN=VALUE)"
            )
        index, vocabulary = self._index
        return match(index, vocabulary, parsed, self._stop_words)

    @property
    def _index(self) -> tuple[WordIndex, Vocabulary]:
        """The index, which the first thread that needs it makes, and others wait for."""
        if self._made is None:
            with self._lock():
                if self._made is None:
                    index = WordIndex.of(self._fields, len(self._fame))
                    self._made = index, Vocabulary(index.words, index.document_frequency)
        return self._made

    def _lock(self) -> threading.Lock:
        """A lock of this process: one that another thread held when it was forked stays locked."""
        process, lock = self._process_lock
        if process != os.getpid():
            lock = threading.Lock()
            self._process_lock = os.getpid(), lock
        return lock

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.model, self._weights, self._own_names)

    @cached_property
    def _stop_words(self) -> frozenset[str]:
        text = self.model.features.text
        words = None if text is None else text.vectorizer.stop_words
        if isinstance(words, str):
            words = ENGLISH
        return frozenset(fold(word) for word in words or () if isinstance(word, str))

    @cached_property
    def recommender(self) -> Recommender:
        """The rule of the nearest cluster, and items by their ids."""
        return Recommender(self.model)

    @cached_property
    def _cells(self) -> dict[str, list[Any] | None]:
        """Cells that are shown of every item: out of an Arrow column each takes a microsecond."""
        items = self.model.items
        return {
            name: items[name].to_pylist() if name in items.column_names else None
            for name in ("id", "popularity", "rating")
        }

    @cached_property
    def _names(self) -> Sequence[str]:
        return cluster_names(self.model) if self._own_names is None else self._own_names

    # -- checks ---------------------------------------------------------------------------

    @staticmethod
    def _check(limit: int, diversity: int | None) -> None:
        check_limits("limit", limit, MAX_LIMIT)
        if diversity is not None:
            check_limits("diversity", diversity, MAX_LIMIT)

    def _labels(self, clusters: Sequence[int] | None) -> list[int] | None:
        if clusters is None:
            return None
        if isinstance(clusters, str | bytes) or not isinstance(clusters, Iterable):
            raise InvalidParam(f"clusters must be a sequence of labels, got {shown(clusters)}")
        labels = list(clusters)
        most = self.model.n_clusters - 1
        for label in labels:
            whole = isinstance(label, Integral) and not isinstance(label, bool)
            if not whole or not UNCLUSTERED <= label <= most:
                raise UnknownItem(
                    f"the model has no cluster {shown(label)}: its clusters are 0 to {most}, and "
                    f"{UNCLUSTERED} stands for items in none"
                )
        return labels

    def _rows(self, name: str, ids: Sequence[int | str]) -> list[int]:
        if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
            raise InvalidParam(f"{name} must be a sequence of ids, got {shown(ids)}")
        return list(dict.fromkeys(self.recommender.row_of(item) for item in ids))

    # -- ranking --------------------------------------------------------------------------

    def _ranked_by(
        self, query: str, matching: Matching, rank: SearchRank
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Return what items are ranked by, and their tiers, which come first."""
        fame = self._fame[matching.rows]
        tiers = matching.tiers if rank == "best" else np.minimum(matching.tiers, np.int8(MATCH))
        best = float(matching.scores.max(initial=0.0))
        if rank == "popularity" or not best:
            return fame, tiers
        if rank == "relevance":
            return matching.scores, tiers
        if rank == "blend":
            return (1 - FAME_WEIGHT) * matching.scores / best + FAME_WEIGHT * fame, tiers
        scores = (1 - BEST_FAME - BEST_COSINE) * matching.scores / best + BEST_FAME * fame
        if self.model.features.text is not None:
            terms, weights = self.model.vectorizer.transform_query(query)
            cosines = self._likeness.cosines(terms, weights, matching.rows)
            nearest = float(cosines.max(initial=0.0))
            scores += BEST_COSINE / (nearest or 1.0) * cosines
        return scores, tiers

    def _order(
        self,
        rows: NDArray[np.intp],
        scores: NDArray[np.float64],
        tiers: NDArray[np.int8],
        limit: int,
        diversity: int | None,
    ) -> NDArray[np.intp]:
        """Return the positions of the first items among ``rows``, best first."""
        if diversity is None and len(rows) > 2 * limit:
            # Only what may be among the first needs sorting. Scores of one tier differ by less
            # than 1 + the best one.
            keys = tiers * (1 + scores.max()) + scores
            least = np.partition(keys, len(keys) - limit)[len(keys) - limit]
            near = np.flatnonzero(keys >= least - 1e-9 * (1 + abs(least)))
        else:
            near = np.arange(len(rows))
        order = near[np.lexsort((rows[near], -self._fame[rows[near]], -scores[near], -tiers[near]))]
        if diversity is not None:
            order = _spread(order, self.model.labels[rows], diversity)
        return order[:limit]

    def _facets(self, rows: NDArray[np.intp]) -> tuple[Facet, ...]:
        hits_of = np.bincount(self.model.labels[rows] + 1, minlength=self.model.n_clusters + 1)
        labels = (np.argsort(-hits_of, kind="stable") - 1).tolist()
        return tuple(
            Facet(label, NO_CLUSTER if label == UNCLUSTERED else self._names[label], hits)
            for label in labels
            if (hits := int(hits_of[label + 1]))
        )

    # -- showing --------------------------------------------------------------------------

    def _reasons(self, rows: NDArray[np.intp], matching: Matching) -> list[dict[str, list[str]]]:
        if not matching.clauses:
            return [{} for _ in range(len(rows))]
        names = [field.name for field in self._fields]
        return reasons(*self._index, names, rows, matching.clauses)

    def _item(
        self,
        rank: int,
        row: int,
        score: float,
        reasons: dict[str, list[str]],
    ) -> FoundItem:
        """Return an item as it is shown."""

        def cell(name: str) -> Any:
            cells = self._cells[name]
            return None if cells is None else cells[row]

        title = self._titles and self._titles[row].as_py()
        return FoundItem(
            rank=rank,
            id=cell("id"),
            title=title,
            popularity=cell("popularity"),
            vote_average=cell("rating"),
            label=int(self.model.labels[row]),
            score=score,
            reasons=reasons,
        )


def check_rank(rank: object) -> None:
    """Raise ``InvalidParam`` unless ``rank`` is one of :data:`SEARCH_RANKS`."""
    if not isinstance(rank, str) or rank not in SEARCH_RANKS:
        raise InvalidParam(f"rank must be one of {', '.join(SEARCH_RANKS)}, got {shown(rank)}")


def _spread(order: NDArray[np.intp], labels: NDArray[np.int32], most: int) -> NDArray[np.intp]:
    """Let at most ``most`` items of one cluster be among the first ten, as long as others follow.

    Items in no cluster are not limited.
    """
    first: list[int] = []
    later: list[int] = []
    counts: Counter[int] = Counter()
    for at, one in enumerate(order.tolist()):
        label = int(labels[one])
        if len(first) == FIRST:
            return np.concatenate([first, later, order[at:]]).astype(np.intp)
        if label != UNCLUSTERED and counts[label] == most:
            later.append(one)
        else:
            counts[label] += 1
            first.append(one)
    return np.array([*first, *later], dtype=np.intp)
