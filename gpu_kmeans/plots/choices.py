"""What speaks for each number of clusters: one small picture for each kind of evidence."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.plots.card import (
    BLUE,
    HEADER,
    INK,
    MARGIN,
    ORANGE,
    QUIET,
    WIDTH,
    add_axes,
    card,
    empty_card,
    number_axis,
)
from gpu_kmeans.plots.words import plain

if TYPE_CHECKING:
    from gpu_kmeans.clustering.choose import Candidate, Choice

__all__ = ["choice_curves"]

LOGARITHMIC_FROM = 24
"""Largest number of clusters from which on the axis of numbers is logarithmic."""
PANEL = 1.75  # inches, as the three below
BETWEEN = 0.9  # room for a panel's heading and its numbers
HEADING = 0.45
GAP = 0.55
TEXT = 9.0  # points
LINE = 0.19  # inches


class _Panel(NamedTuple):
    name: str
    meaning: str
    lines: tuple[tuple[str, str, str], ...]
    """Attribute of a candidate, marker and name of the line; no name where it is alone."""
    most: float | None = None
    """Upper end of the axis; that of the values where there is none. It begins at 0."""


PANELS = (
    _Panel("Explained share", "only ever rises: no evidence alone", (("explained", "o", ""),), 1.0),
    _Panel("Silhouette", "own cluster nearer than the next", (("silhouette", "o", ""),)),
    _Panel("Stability", "found again in other draws of rows", (("stability", "o", ""),), 1.0),
    _Panel(
        "Cluster sizes",
        "shares of the rows",
        (("largest", "^", "largest"), ("smallest", "v", "smallest")),
    ),
    _Panel("Coherence", "words of a cluster occur together", (("coherence", "o", ""),)),
)


def choice_curves(choice: Choice) -> Figure:
    """Draw what speaks for each number of clusters, the recommended ones marked.

    Each kind of evidence has a panel of its own: explained share, silhouette, stability, sizes,
    and the coherence of texts. The reason stands below them in words.
    """
    _check(choice)
    title = _title(choice.recommended)
    if not choice.candidates:
        return empty_card(title, "", choice.reason)
    candidates = choice.candidates
    panels = [panel for panel in PANELS if _is_known(panel, candidates)]
    columns = 3 if len(panels) > 4 else 2
    rows = -(-len(panels) // columns)
    reason = textwrap.wrap(_sentence(choice.reason), 104)
    header = HEADER + LINE * len(reason)
    height = header + rows * (PANEL + BETWEEN)
    counts = [candidate.k for candidate in candidates]
    marked = "; diamonds are recommended" if choice.recommended else ""
    figure = card(height, title, f"{_compared(counts)}{marked}")
    y = 1 - (HEADER - 0.12) / height
    figure.text(MARGIN / WIDTH, y, "\n".join(reason), color=INK, va="top", **plain(TEXT))
    width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP - 0.3) / columns
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left = MARGIN + 0.3 + column * (width + GAP)
        top = header + HEADING + row * (PANEL + BETWEEN)
        axes = add_axes(
            figure, left=left, right=WIDTH - left - width, top=top, bottom=height - top - PANEL
        )
        _draw(axes, panel, candidates, choice.recommended)
    return figure


def _compared(counts: Sequence[int]) -> str:
    if len(counts) == 1:
        return f"{counts[0]} clusters alone"
    return f"{len(counts)} numbers of clusters compared, from {counts[0]} to {counts[-1]}"


def _title(recommended: Sequence[int]) -> str:
    if not recommended:
        return "Number of clusters: none stands out"
    first, *others = map(str, recommended)
    also = f", then {' and '.join(others)}" if others else ""
    return f"Number of clusters: {first} stands out{also}"


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:] + ("" if reason.endswith(".") else ".")


def _is_known(panel: _Panel, candidates: Sequence[Candidate]) -> bool:
    return all(
        getattr(candidate, line[0]) is not None for candidate in candidates for line in panel.lines
    )


def _draw(
    axes: Axes, panel: _Panel, candidates: Sequence[Candidate], recommended: Sequence[int]
) -> None:
    counts = [candidate.k for candidate in candidates]
    styles = ("-", (0, (4, 2)))
    for (attribute, marker, name), style in zip(panel.lines, styles, strict=False):
        values = [float(getattr(candidate, attribute)) for candidate in candidates]
        axes.plot(
            counts,
            values,
            color=BLUE,
            linestyle=style,
            linewidth=1.4,
            marker=marker,
            markersize=3.2,
            label=name,
        )
        chosen = [i for i, k in enumerate(counts) if k in recommended]
        axes.plot(
            [counts[i] for i in chosen],
            [values[i] for i in chosen],
            color=ORANGE,
            marker="D",
            markersize=6.5,
            markeredgecolor=INK,
            markeredgewidth=0.8,
            linewidth=0,
            zorder=4,
        )
    for k in recommended:
        axes.axvline(k, color=ORANGE, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
    if len(panel.lines) > 1:
        font = {"family": "DejaVu Sans", "size": 8}
        axes.legend(loc="upper right", frameon=False, labelcolor=INK, prop=font, borderpad=0)
    _scale(axes, counts, recommended, panel.most)
    axes.annotate(
        panel.name,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 21),
        textcoords="offset points",
        color=INK,
        **plain(10, bold=True),
    )
    axes.annotate(
        panel.meaning,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 8),
        textcoords="offset points",
        color=QUIET,
        **plain(8),
    )


def _scale(
    axes: Axes, counts: Sequence[int], recommended: Sequence[int], most: float | None
) -> None:
    """Set the axes: numbers of clusters below, the recommended ones among them, values beside."""
    axes.margins(x=0.06, y=0.14)
    low, high = axes.get_ylim()
    axes.set_ylim(low if axes.dataLim.y0 < 0 else 0.0, max(high, most or high))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    number_axis(axes, "y", "")
    if counts[-1] >= LOGARITHMIC_FROM:
        axes.set_xscale("log")
    ticks = _ticks(counts, recommended, counts[-1] >= LOGARITHMIC_FROM)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    number_axis(axes, "x", "")
    for tick, k in zip(axes.get_xticklabels(), ticks, strict=True):
        if k in recommended:
            tick.set_fontweight("bold")


def _ticks(counts: Sequence[int], recommended: Sequence[int], logarithmic: bool) -> list[int]:
    """Return numbers to write below: the recommended ones, and others with room around them."""
    at = log if logarithmic else float
    span = max(at(counts[-1]) - at(counts[0]), 1e-9)
    ticks: list[int] = []
    for k in (*recommended, counts[0], counts[-1], *counts):
        if all(abs(at(k) - at(other)) >= 0.11 * span for other in ticks):
            ticks.append(k)
    return sorted(ticks)


def _check(choice: Choice) -> None:
    from gpu_kmeans.clustering.choose import Choice

    if not isinstance(choice, Choice):
        raise InvalidParam(
            f"a figure of numbers of clusters needs a Choice, not {a(choice)}: pass what choose_k "
            "gives"
        )
