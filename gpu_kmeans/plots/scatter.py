"""Popularity against vote average of recommended items, every point with its title."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from gpu_kmeans.plots.card import (
    BLUE,
    INK,
    PALE,
    QUIET,
    add_axes,
    add_note,
    card,
    empty_card,
    number_axis,
)
from gpu_kmeans.plots.items import (
    check_recommendation,
    is_known,
    name_of,
    subtitle_of,
    why_empty,
)
from gpu_kmeans.plots.labels import Box, Point, place
from gpu_kmeans.plots.words import count, measure_of, plain

if TYPE_CHECKING:
    from gpu_kmeans.recommend import Recommendation

__all__ = ["rating_scatter"]

MOST_NAMED = 30
MOST_LINES = 10  # of one label
# Largest popularity over smallest between which its axis is logarithmic.
LOG_FROM, LOG_TO = 20, 1e12
TITLE = 2.0  # inches, at most
TEXT = 8.5  # points, as the two below
LINE = 1.35 * TEXT
RADIUS = 3.5
LEFT_TO_RIGHT = "\u200e"  # keeps the rank before a Hebrew or Arabic title


@dataclass(frozen=True, slots=True)
class _Dot:
    """A recommended item that has a place on the figure."""

    at: Point
    name: str


def rating_scatter(recommendation: Recommendation) -> Figure:
    """Draw popularity against vote average, each point with its rank and title.

    The best 30 are labelled; items on one spot share a label. Items without a popularity or a
    vote average are left out, and the figure says how many. The axis of popularity is
    logarithmic where the values span a lot.
    """
    check_recommendation(recommendation)
    title = "Popularity and vote average of the recommended items"
    subtitle = subtitle_of(recommendation)
    dots = _dots(recommendation)
    if not dots:
        needed = "both a popularity and a vote average"
        return empty_card(title, subtitle, why_empty(recommendation, needed))
    named, others = dots[:MOST_NAMED], dots[MOST_NAMED:]
    figure = card(5.0 + 0.09 * max(len(named) - 10, 0), title, subtitle)
    axes = add_axes(figure, left=0.85)
    number_axis(axes, "x", _scale_popularity(axes, [dot.at[0] for dot in dots]))
    number_axis(axes, "y", "vote average")
    axes.set_ylim(*_padded([dot.at[1] for dot in dots]))
    _draw(axes, others, PALE, zorder=2.5)
    _draw(axes, named, BLUE, zorder=3)
    unnamed = len(others) + _label(axes, named, others)
    missing = len(recommendation.items) - len(dots)
    notes = {
        f"{count(missing, 'item')} without popularity or vote average left out.": missing,
        f"{count(unnamed, 'item')} not labelled, for want of room.": unnamed,
    }
    add_note(figure, [note for note, many in notes.items() if many])
    return figure


def _dots(recommendation: Recommendation) -> list[_Dot]:
    """List the items that have both numbers, named by rank and title."""
    dots = []
    for rank, item in enumerate(recommendation.items, start=1):
        if is_known(item.popularity) and is_known(item.vote_average):
            at = (float(item.popularity), float(item.vote_average))
            dots.append(_Dot(at, f"{LEFT_TO_RIGHT}{rank} {name_of(item, TITLE, TEXT)}"))
    return dots


def _draw(axes: Axes, dots: Sequence[_Dot], color: str, zorder: float) -> None:
    x, y = [dot.at[0] for dot in dots], [dot.at[1] for dot in dots]
    size = (2 * RADIUS) ** 2
    axes.scatter(x, y, s=size, color=color, edgecolors="white", linewidths=0.6, zorder=zorder)


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """Return limits with some room around the values."""
    low, high = min(values), max(values)
    room = (high - low) * 0.12 or max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def _scale_popularity(axes: Axes, values: Sequence[float]) -> str:
    """Choose the scale of the x axis for the values, and return its label."""
    low, high = min(values), max(values)
    if low <= 0 or not LOG_FROM * low <= high <= LOG_TO * low:
        axes.set_xlim(*_padded(values))
        return "popularity"
    start, end = _padded([math.log10(low), math.log10(high)])
    axes.set_xscale("log")
    axes.set_xlim(10**start, 10**end)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if end - start < 3 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    return "popularity (logarithmic)"


def _label(axes: Axes, named: Sequence[_Dot], others: Sequence[_Dot]) -> int:
    """Write the names beside their dots; return how many found no place."""
    pixel = axes.figure.dpi / 72  # pixels a point
    measure = measure_of(TEXT)
    spots = _spots(axes, named, RADIUS * pixel)
    texts = ["\n".join(_lines(names)) for names in spots.values()]
    sizes = [
        (max(map(measure, lines)) * 72 * pixel, len(lines) * LINE * pixel)
        for lines in (text.split("\n") for text in texts)
    ]
    edges = axes.get_window_extent()
    within = Box(edges.x0, edges.y0, edges.x1, edges.y1)
    gap = (RADIUS + 1.5) * pixel
    boxes = place(list(spots), sizes, within, gap, _pixels(axes, others))
    for at, text, box in zip(spots, texts, boxes, strict=True):
        if box is not None:
            _write(axes, at, text, box, gap)
    return sum(len(names) for names, box in zip(spots.values(), boxes, strict=True) if box is None)


def _pixels(axes: Axes, dots: Sequence[_Dot]) -> list[Point]:
    return [(x, y) for x, y in (axes.transData.transform(dot.at) for dot in dots)]


def _spots(axes: Axes, dots: Sequence[_Dot], radius: float) -> dict[Point, list[str]]:
    """Gather the names of dots that lie on one another, under the place of the first."""
    spots: dict[Point, list[str]] = {}
    for dot, at in zip(dots, _pixels(axes, dots), strict=True):
        spot = next((spot for spot in spots if math.dist(spot, at) < radius), at)
        spots.setdefault(spot, []).append(dot.name)
    return spots


def _lines(names: Sequence[str]) -> list[str]:
    """Return the lines of one label: the names, or the first of them and how many follow."""
    if len(names) <= MOST_LINES:
        return list(names)
    return [*names[: MOST_LINES - 1], f"… and {len(names) - MOST_LINES + 1} more"]


def _write(axes: Axes, spot: Point, text: str, box: Box, gap: float) -> None:
    """Write one label at its place, with a line to its spot where it is not beside it."""
    to_data = axes.transData.inverted().transform
    near = (min(max(spot[0], box.x0), box.x1), min(max(spot[1], box.y0), box.y1))
    right = near[0] == box.x1
    x, y = to_data((box.x1 if right else box.x0, (box.y0 + box.y1) / 2))
    axes.text(
        x,
        y,
        text,
        ha="right" if right else "left",
        va="center",
        linespacing=1.15,
        color=INK,
        zorder=4,
        **plain(TEXT),
    )
    if math.dist(spot, near) > 1.6 * gap:
        (x0, y0), (x1, y1) = to_data(spot), to_data(near)
        axes.plot([x0, x1], [y0, y1], color=QUIET, linewidth=0.6, zorder=2)
