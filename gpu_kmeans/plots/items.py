"""What the figures of a recommendation have in common."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeGuard

from gpu_kmeans.plots.words import MISSING, count, drawable, fit, measure_of

if TYPE_CHECKING:
    from gpu_kmeans.recommend import RankedItem, Recommendation

__all__ = ["is_known", "name_of", "subtitle_of", "why_empty"]


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
