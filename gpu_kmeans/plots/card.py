"""The card that every figure is drawn on: its colours, its header and the room it leaves."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter

from gpu_kmeans.plots.words import drawable, fit, measure_of, number, plain

__all__ = [
    "BLUE",
    "GREEN",
    "HEADER",
    "INK",
    "MARGIN",
    "ORANGE",
    "PALE",
    "PURPLE",
    "QUIET",
    "RED",
    "SAND",
    "TINTS",
    "WIDTH",
    "Steps",
    "add_axes",
    "add_note",
    "card",
    "empty_card",
    "number_axis",
    "write",
]

INK, QUIET, GRID = "#1f2328", "#5b626b", "#e3e6e9"
# Okabe and Ito's colours, which colour-blind readers can tell apart (Color Universal Design).
BLUE, GREEN, PURPLE, ORANGE = "#0072b2", "#009e73", "#cc79a7", "#e69f00"
RED = "#b23a00"
PALE, SAND = "#a8cbe2", "#e0bf77"
TINTS = ("#cfe2ef", "#f0e6c8", "#d8ead9", "#ead9e4")

WIDTH = 8.0  # of every card, and below: all lengths in inches
MARGIN = 0.3
HEADER = 1.0  # title and subtitle
DPI = 160


def card(height: float, title: str, subtitle: str) -> Figure:
    """Return an empty card of ``height`` inches with its header."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    for text, size, bold, y in ((title, 13, True, 0.46), (subtitle, 9.5, False, 0.72)):
        shown = fit(text, WIDTH - 2 * MARGIN, measure_of(size, bold))
        color = INK if bold else QUIET
        figure.text(MARGIN / WIDTH, 1 - y / height, shown, color=color, **plain(size, bold))
    return figure


def add_axes(
    figure: Figure, left: float, right: float = MARGIN, top: float = HEADER, bottom: float = 0.85
) -> Axes:
    """Add axes at these distances from the card's edges, with no more lines than needed."""
    width, height = figure.get_size_inches()
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    axes = figure.add_axes(box, facecolor="white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=0.8)
    axes.tick_params(
        colors=QUIET, labelcolor=INK, labelsize=9, length=0, pad=5, labelfontfamily="DejaVu Sans"
    )
    return axes


class Steps(Formatter):
    """Numbers of an evenly divided axis, with as many decimals as tell neighbours apart."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        return number(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        step = min((abs(b - a) for a, b in pairwise(values)), default=0.0)
        largest = max(map(abs, values), default=0.0)
        if step == 0 or largest >= 1e9 or step < 1e-6:
            return [f"{value:g}" for value in values]
        # A hair more than the step, as 0.1 is not quite a tenth.
        digits = max(0, -math.floor(math.log10(step * 1.0001)))
        if round(step, digits) != round(step, digits + 1):
            digits += 1  # steps of 2.5
        return [f"{value:,.{digits}f}" for value in values]


def number_axis(axes: Axes, which: str, label: str) -> None:
    """Name an axis and write its numbers plainly: no powers, no offsets."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    logarithmic = axis.get_scale() == "log"
    formatter = FuncFormatter(lambda value, _: number(value)) if logarithmic else Steps()
    axis.set_major_formatter(formatter)
    axis.set_label_text(label, color=QUIET, **plain(9.5))
    axis.labelpad = 6


def write(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    shift: tuple[float, float],
    size: float,
    *,
    align: Literal["left", "center", "right"] = "left",
    color: str = INK,
) -> None:
    """Write text at a point of the data, moved by ``shift`` points of type."""
    axes.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        ha=align,
        va="center_baseline",
        color=color,
        **plain(size),
    )


def add_note(figure: Figure, sentences: Iterable[str]) -> None:
    """Write what the figure leaves out at the foot of the card."""
    height = figure.get_size_inches()[1]
    shown = fit(" ".join(sentences), WIDTH - 2 * MARGIN, measure_of(8.5))
    figure.text(MARGIN / WIDTH, 0.19 / height, shown, color=QUIET, **plain(8.5))


def empty_card(title: str, subtitle: str, reason: str) -> Figure:
    """Return a card that says why there is nothing on it."""
    lines = textwrap.wrap(drawable(reason), 88, max_lines=4, placeholder=" …")
    height = HEADER + 0.6 + 0.2 * len(lines)
    figure = card(height, title, subtitle)
    y = 1 - (HEADER + 0.1) / height
    figure.text(MARGIN / WIDTH, y, "\n".join(lines), color=INK, va="top", **plain(10.5))
    return figure
