"""The popularity of recommended items, as horizontal bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gpu_kmeans.plots.card import (
    BLUE,
    MARGIN,
    QUIET,
    add_axes,
    add_note,
    card,
    empty_card,
    number_axis,
    write,
)
from gpu_kmeans.plots.items import (
    check_recommendation,
    is_known,
    name_of,
    subtitle_of,
    why_empty,
)
from gpu_kmeans.plots.words import measure_of, number, plain

if TYPE_CHECKING:
    from gpu_kmeans.recommend import Recommendation

__all__ = ["popularity_bars"]

MOST = 50  # bars
TEXT = 9.0  # points
TITLE = 2.9  # inches, at most


def popularity_bars(recommendation: Recommendation) -> Figure:
    """Draw the popularity of each item as a bar beside its rank and title, rank 1 on top.

    Of more than 50 items the first 50 are shown, and the figure says so.
    """
    check_recommendation(recommendation)
    title = "Popularity of the recommended items, in order of rank"
    subtitle = subtitle_of(recommendation)
    items = recommendation.items[:MOST]
    if not any(is_known(item.popularity) for item in items):
        return empty_card(title, subtitle, why_empty(recommendation, "a popularity"))
    measure = measure_of(TEXT)
    names = [name_of(item, TITLE, TEXT) for item in items]
    values = [item.popularity if is_known(item.popularity) else 0.0 for item in items]
    ranks = measure(f"{len(items)}") + 0.2
    figure = card(1.85 + 0.27 * len(items), title, subtitle)
    axes = add_axes(figure, left=MARGIN + max(map(measure, names)) + ranks, right=0.9)
    start = min(*values, 0.0)
    axes.barh(range(len(items)), values, height=0.68, color=BLUE)
    for row, (item, name, value) in enumerate(zip(items, names, values, strict=True)):
        shown = number(item.popularity) if is_known(item.popularity) else "unknown"
        write(axes, shown, (max(value, 0.0), row), (4, 0), TEXT)
        write(axes, name, (start, row), (-72 * ranks, 0), TEXT, align="right")
    axes.set_yticks(
        range(len(items)), labels=[f"{rank}" for rank in range(1, len(items) + 1)], **plain(TEXT)
    )
    axes.tick_params(axis="y", labelcolor=QUIET)
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.set_xlim(start, max(*values, 0.0) * 1.03 if any(values) else 1.0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    number_axis(axes, "x", "popularity")
    if more := len(recommendation.items) - len(items):
        add_note(figure, [f"The first {len(items)} of {len(items) + more:,} items."])
    return figure
