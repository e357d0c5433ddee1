"""A search over HTTP: what is asked for, checked, and what the API shows of what is found.

Two ways lead to items. All of them are searched by :class:`gpu_kmeans.search.Searcher`, with
conditions, facets and likes. With the ranking ``article``, or a number of nearest clusters, the
items of these alone are ranked by :class:`gpu_kmeans.recommend.Recommender`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gpu_kmeans.errors import InvalidParam, InvalidQuery, UnknownItem
from gpu_kmeans.index.filters import merge_conditions, parse_condition
from gpu_kmeans.index.highlights import Highlighter
from gpu_kmeans.index.words import words_of
from gpu_kmeans.search import SearchResult
from gpu_kmeans.service.models import ClusterShown, Loaded, cluster_row
from gpu_kmeans.service.problems import answer_too_large
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.schemas import SearchQuery
from gpu_kmeans.service.shown import MAX_NAME_CHARACTERS, cut

__all__ = ["answer_to", "answers_to", "rows_of"]

LIKENESS = "likeness"
"""What items like others are ranked by."""


def answer_to(loaded: Loaded, asked: SearchQuery) -> Row:
    """Return what a query finds, as the API shows it.

    Raises
    ------
    InvalidQuery, InvalidParam, UnknownItem
        Nothing is asked for, what is asked for does not go together, or is not there.
    """
    if asked.rank == "article" or asked.clusters is not None:
        return _in_nearest_clusters(loaded, asked)
    if asked.dislike and not asked.like:
        raise InvalidParam("dislike goes with like: name an item that others are to be like")
    if asked.like:
        return _like(loaded, asked)
    if asked.q is None and not (asked.where or asked.cluster):
        raise InvalidQuery(
            "there is nothing to look for: give q (words), like (the id of an item), where (a "
            "condition) or cluster"
        )
    q = asked.q or ""
    if words_of(q) and not loaded.searcher.fields:
        raise InvalidQuery(
            "the model was fitted on a table without texts, so that words find nothing in it: ask "
            "for items like one of them (like=ID), or by conditions (where=COLUMN=VALUE)"
        )
    rank = asked.rank or "best"
    result = loaded.searcher.search(
        q,
        asked.limit,
        clusters=asked.cluster or None,
        filters=_conditions(asked.where),
        rank=rank,
        diversity=asked.diversity,
    )
    return _view(loaded, result, rank)


def answers_to(loaded: Loaded, queries: Sequence[SearchQuery], most: int) -> Row:
    """Return what each of several queries finds.

    Raises
    ------
    InvalidQuery, InvalidParam, UnknownItem
        As :func:`answer_to`; the message names the query.
    Problem
        422 ``answer_too_large`` as soon as the answers have more than ``most`` bytes.
    """
    answers, size = [], 0
    for at, asked in enumerate(queries):
        try:
            content = orjson.dumps(answer_to(loaded, asked))
        except (InvalidQuery, InvalidParam, UnknownItem) as error:
            raise type(error)(f"queries.{at}: {error}") from None
        size += len(content)
        if size > most:
            raise answer_too_large(size, most)
        answers.append(orjson.Fragment(content))
    return {"answers": answers}


def _conditions(where: Sequence[str]) -> dict[str, Any] | None:
    """Return the conditions that texts such as ``year>=1990`` state; None without any.

    Raises
    ------
    InvalidParam
        One of them is no condition, or a column has two that exclude each other.
    """
    return merge_conditions(map(parse_condition, where)) or None


def rows_of(loaded: Loaded, labels: Sequence[int], where: Sequence[str]) -> NDArray[np.intp]:
    """Return the rows, rising, of the items in some clusters (in all, for none) that pass.

    Raises
    ------
    UnknownItem, InvalidParam
        The model has no such cluster, or a condition is none.
    """
    return np.flatnonzero(loaded.searcher.mask(labels or None, _conditions(where)))


def _like(loaded: Loaded, asked: SearchQuery) -> Row:
    if asked.q or asked.rank is not None:
        raise InvalidParam(
            "q and rank search by words, and like by items, which are ranked by likeness: give "
            "one or the other"
        )
    liked, disliked = (
        [loaded.item_id(item) if isinstance(item, str) else item for item in ids]
        for ids in (asked.like, asked.dislike)
    )
    result = loaded.searcher.like(
        liked,
        disliked,
        asked.limit,
        clusters=asked.cluster or None,
        filters=_conditions(asked.where),
        diversity=asked.diversity,
    )
    return _view(loaded, result, LIKENESS)


def _in_nearest_clusters(loaded: Loaded, asked: SearchQuery) -> Row:
    others = {
        "like": asked.like,
        "dislike": asked.dislike,
        "where": asked.where,
        "cluster": asked.cluster,
        "diversity": asked.diversity,
        "rank=best": asked.rank == "best",
    }
    if wrong := [name for name, value in others.items() if value]:
        raise InvalidParam(
            f"{wrong[0]} is for searches of all items: leave it out, or clusters and rank=article"
        )
    if asked.q is None:
        raise InvalidQuery("give q: the words whose nearest cluster is looked into")
    rank = "popularity" if asked.rank == "article" else asked.rank or "blend"
    answered = loaded.recommender.recommend(
        asked.q,
        limit=asked.limit,
        rank=rank,  # type: ignore[arg-type]
        clusters=asked.clusters or 1,
    )
    clusters = _nearest(loaded, asked.q, asked.clusters or 1)
    return {
        **loaded.head(),
        "query": answered.query,
        "rank": asked.rank or "blend",
        "total": sum(view.size for view in clusters),
        "terms": answered.terms,
        "cluster": cluster_row(clusters[0]) if clusters else None,
        "facets": [
            {"label": view.label, "name": view.name, "hits": view.size} for view in clusters
        ],
        "corrections": [],
        "message": answered.message,
        "items": loaded.ranked(answered.items, answered.terms),
    }


def _nearest(loaded: Loaded, q: str, count: int) -> list[ClusterShown]:
    """Return the clusters that are looked into, nearest first; none without a known word."""
    indices, weights = loaded.model.vectorizer.transform_query(q)
    labels = loaded.recommender.nearest(indices, weights, count) if len(indices) else []
    return [loaded.clusters[label] for label in labels]


def _view(loaded: Loaded, result: SearchResult, rank: str) -> Row:
    return {
        **loaded.head(),
        "query": result.query,
        "rank": rank,
        "total": result.total,
        "terms": result.words,
        "cluster": None,
        "facets": [
            {"label": facet.label, "name": _name(facet.name), "hits": facet.hits}
            for facet in result.facets
        ],
        "corrections": [
            {"word": one.word, "nearest": one.nearest, "used": one.used}
            for one in result.corrections
        ],
        "message": result.message,
        "items": _items(loaded, result),
    }


def _items(loaded: Loaded, result: SearchResult) -> list[Row]:
    """Return items with the reasons that they are here, and what matches in their texts."""
    words = {word for item in result.items for own in item.reasons.values() for word in own}
    highlighter = Highlighter(words)
    items = []
    for item in result.items:
        view = loaded.item(loaded.recommender.row_of(item.id))
        title = view["title"]
        why = {
            "score": item.score,
            "parts": None,
            "marked": highlighter.pieces(view["text"]),
            "marked_title": None if title is None else highlighter.pieces(title),
            "reasons": {_name(field): own for field, own in item.reasons.items()},
        }
        items.append(view | why)
    return items


def _name(name: str) -> str:
    return cut(name, MAX_NAME_CHARACTERS)
