"""Levels of clusters, from coarse to fine: a column each, clusters as tall as they are large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.plots.card import (
    INK,
    MARGIN,
    QUIET,
    TINTS,
    WIDTH,
    add_axes,
    add_note,
    card,
    empty_card,
    write,
)
from gpu_kmeans.plots.words import count, fit_name, measure_of, plain

if TYPE_CHECKING:
    from gpu_kmeans.model.hierarchy import Level

__all__ = ["level_tree"]

ROW, HIGH_ROW = 0.2, 0.32
"""Height for each cluster of the finest level at least, and at most, in inches."""
LEAST, MOST = 3.0, 14.0
"""Height of all levels, likewise."""
TEXT = 8.5  # points
LINE = 0.16
"""Height of a line of text, in inches: a lower cell has no name."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cluster on the figure: its level, and the items above it and in it."""

    level: int
    label: int
    start: int
    size: int
    tint: int


def level_tree(levels: Sequence[Level]) -> Figure:
    """Draw levels of clusters as an icicle, from coarse on the left to fine on the right.

    A cluster stands beside the one that it is part of, largest first, and is as tall as it has
    items. Cells that are too low for a name have none, and the figure says how many.
    """
    _check(levels)
    counts = [len(level.names) for level in levels]
    title = f"Clusters on {count(len(levels), 'level')}: {', '.join(map(str, counts))}"
    total = int(levels[0].sizes.sum()) if levels else 0
    if not total:
        return empty_card("Levels of clusters", "", "There are no items in clusters.")
    cells = _cells(levels)
    body = _height(levels[-1], total)
    top, foot = 1.2, 0.5
    subtitle = f"{count(total, 'item')}; a cluster is as tall as it is large, and part of the one "
    figure = card(top + body + foot, title, subtitle + "on its left")
    axes = add_axes(figure, left=MARGIN, top=top, bottom=foot)
    axes.set_xlim(0, len(levels))
    axes.set_ylim(total, 0)
    axes.set_axis_off()
    width = (WIDTH - 2 * MARGIN) / len(levels)
    for number, many in enumerate(counts):
        write(axes, count(many, "cluster"), (number, 0), (3, 10), TEXT, color=QUIET)
    unnamed = sum(
        not _draw(axes, cell, levels[cell.level].names[cell.label], width, body / total)
        for cell in cells
    )
    if unnamed:
        add_note(figure, [f"{count(unnamed, 'cluster')} too small for a name here."])
    return figure


def _height(finest: Level, total: int) -> float:
    """Return a height in which the smallest cluster has room for a name, if that is not much."""
    needed = LINE * total / int(finest.sizes[finest.sizes > 0].min())
    many = len(finest.names)
    return min(MOST, max(LEAST, min(max(needed, ROW * many), HIGH_ROW * many)))


def _cells(levels: Sequence[Level]) -> list[_Cell]:
    """Place the clusters of every level that have items, each within its parent."""
    cells: list[_Cell] = []
    above = {-1: (0, 0)}  # start and tint of each parent
    for depth, level in enumerate(levels):
        parents = [-1] * len(level.names) if level.parents is None else level.parents.tolist()
        next_free = {parent: start for parent, (start, _) in above.items()}
        placed: dict[int, tuple[int, int]] = {}
        for label in (-level.sizes).argsort(kind="stable").tolist():
            size, parent = int(level.sizes[label]), parents[label]
            if not size:
                continue
            start = next_free[parent]
            next_free[parent] += size
            tint = above[parent][1] if depth else len(placed) % len(TINTS)
            placed[label] = (start, tint)
            cells.append(_Cell(depth, label, start, size, tint))
        above = placed
    return cells


def _draw(axes: Axes, cell: _Cell, name: str, width: float, scale: float) -> bool:
    """Draw a cell, and its name and size where there is room; return whether there was.

    ``width`` is that of a column in inches, ``scale`` inches an item.
    """
    axes.add_patch(
        Rectangle(
            (cell.level, cell.start),
            1,
            cell.size,
            facecolor=TINTS[cell.tint],
            edgecolor="white",
            linewidth=0.8,
        )
    )
    if cell.size * scale < LINE:
        return False
    measure = measure_of(TEXT)
    middle = cell.start + cell.size / 2
    number = f"{cell.size:,}"
    shown = fit_name(name, width - measure(number) - 0.25, measure)
    axes.text(
        cell.level + 0.08 / width, middle, shown, color=INK, va="center_baseline", **plain(TEXT)
    )
    axes.text(
        cell.level + 1 - 0.08 / width,
        middle,
        number,
        color=QUIET,
        ha="right",
        va="center_baseline",
        **plain(TEXT),
    )
    return True


def _check(levels: Any) -> None:
    from gpu_kmeans.model.hierarchy import Level

    if (
        not isinstance(levels, Sequence)
        or isinstance(levels, str)
        or not all(isinstance(level, Level) for level in levels)
    ):
        raise InvalidParam(
            f"a figure of levels needs a list of Level, not {a(levels)}: pass what "
            "gpu_kmeans.model.hierarchy.levels gives"
        )
