"""What the figures of a recommendation have in common."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeGuard

from gpu_kmeans.cells import a
from gpu_kmeans.errors import InvalidParam, shown
from gpu_kmeans.plots.words import MISSING, count, drawable, fit, measure_of

if TYPE_CHECKING:
    from gpu_kmeans.recommend import RankedItem, Recommendation

__all__ = ["check_recommendation", "check_texts", "is_known", "name_of", "subtitle_of", "why_empty"]


def check_recommendation(recommendation: Recommendation) -> None:
    """Refuse what is no recommendation, or holds items of another kind.

    Raises
    ------
    InvalidParam
        It is something else; the message says what.
    """
    from gpu_kmeans.recommend import RankedItem, Recommendation

    if not isinstance(recommendation, Recommendation):
        raise InvalidParam(
            f"a figure of recommended items needs a Recommendation, not {a(recommendation)}: pass "
            "what Recommender.recommend gives"
        )
    check_texts("the query", [recommendation.query])
    for rank, item in enumerate(recommendation.items, 1):
        if not isinstance(item, RankedItem):
            raise InvalidParam(f"item {rank} is {a(item)}, not a RankedItem")
        check_texts(f"the title of item {rank}", [item.title or ""])
        for name, value in (("popularity", item.popularity), ("vote_average", item.vote_average)):
            if value is not None and not isinstance(value, Real):
                raise InvalidParam(f"{name} of item {rank} is {shown(value)}, not a number or None")


def check_texts(name: str, texts: Any) -> None:
    """Refuse what is not a list or tuple of texts."""
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InvalidParam(f"{name} must be text, got {shown(texts)}")


def is_known(value: float | None) -> TypeGuard[float]:
    """Tell whether there is a number: neither None nor NaN."""
    return value is not None and math.isfinite(value)


def name_of(item: RankedItem, width: float, size: float) -> str:
    """Return the item's title, ``width`` inches at most, and its id where no font can draw it."""
    name = drawable(item.title or "")
    if not name.strip(f"{MISSING} "):
        name = f"{name} (id {item.id})".strip()
    return fit(name, width, measure_of(size))


def subtitle_of(recommendation: Recommendation) -> str:
    """Say what was asked for and which cluster answered."""
    query = fit(recommendation.query, 3.6, measure_of(9.5))
    cluster = recommendation.cluster
    if cluster is None:
        return f"for “{query}”"
    size = count(cluster.size, "item")
    return f"for “{query}”; nearest is cluster {cluster.label}, with {size}"


def why_empty(recommendation: Recommendation, needed: str) -> str:
    """Say why there is nothing to draw: nothing was found, or nothing that has what is needed."""
    if not recommendation.items:
        return recommendation.message or "Nothing was found."
    return f"None of the items found has {needed} ({len(recommendation.items):,} found)."
