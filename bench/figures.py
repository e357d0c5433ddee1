"""Figures of a report, on the cards that the package's own figures are drawn on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from bench.contestants import CONTESTANTS
from bench.growth import MEASURES, SERIES, Line, fitted, points
from bench.measure import spread
from bench.records import Record, machine_of
from gpu_kmeans.plots import save
from gpu_kmeans.plots.card import (
    BLUE,
    GREEN,
    HEADER,
    INK,
    MARGIN,
    PURPLE,
    QUIET,
    add_axes,
    add_note,
    card,
    number_axis,
    write,
)
from gpu_kmeans.plots.words import number, plain

__all__ = ["draw"]

# Okabe and Ito's colours, and beside each a shape: no colour carries a meaning alone.
COLOURS = ("#d55e00", "#e69f00", PURPLE, GREEN, "#56b4e9", INK)
SHAPES = ("o", "D", "s", "^", "v", "P", "X", "*", "<", ">", "p", "h", "d", "8")


def _ours(name: str) -> bool:
    return name.startswith("gpu_kmeans")


LOOKS = {
    name: (BLUE if _ours(name) else COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)])
    for i, name in enumerate(CONTESTANTS)
}

ROW = 0.27
PANEL = 1.05
"""Inches around the rows of one panel: its heading and its axis."""
NAMES = 2.0


def draw(records: list[Record], folder: Path) -> dict[str, list[str]]:
    """Draw all figures that the records allow; return file names by question or series."""
    names: dict[str, list[str]] = {}

    def keep(about: str, name: str, figure: Figure) -> None:
        for suffix in ("png", "svg"):
            save(figure, folder / f"{name}.{suffix}")
        names.setdefault(about, []).append(f"{name}.png")

    done = [record for record in records if record["status"] == "done"]
    for question, picture in PICTURES.items():
        mine = [r for r in done if r["question"] == question and not r["series"]]
        for corpus in dict.fromkeys(record["corpus"]["name"] for record in mine):
            of_corpus = [record for record in mine if record["corpus"]["name"] == corpus]
            if len({record["contestant"] for record in of_corpus}) < 2:
                continue  # nothing to compare
            keep(question, f"{question}-{corpus}", picture(of_corpus))
    for series in SERIES:
        lines = points(records, series)
        if any(len(line.sizes) > 1 for line in lines.values()):
            first = next(record for record in done if record["series"] == series)
            keep(series, f"growth-{series}", growth(series, lines, first))
    return names


def _about(record: Record) -> str:
    """The subtitle: the rows, and the machine."""
    about = record["corpus"]
    kind = f"{about['nonzeros']:,} non-zeros" if about["sparse"] else "dense"
    shape = f"{about['rows']:,} x {about['features']:,}, {kind}"
    return f"{shape}; {machine_of(record)}"


def _by_case(records: list[Record]) -> list[list[Record]]:
    """Records case by case, by the number of clusters."""
    cases = dict.fromkeys(record["case"] for record in sorted(records, key=lambda r: r["k"]))
    return [[record for record in records if record["case"] == case] for case in cases]


# -- seconds an iteration ----------------------------------------------------------------------


def iteration(records: list[Record]) -> Figure:
    """One line a contestant, fastest first: median and extremes on a logarithmic axis."""
    panels = _by_case(records)
    height = HEADER + sum(PANEL + ROW * len(panel) for panel in panels) + 0.2
    title = f"Seconds an iteration: {records[0]['corpus']['name']}"
    figure = card(height, title, _about(records[0]))
    seconds = [record["seconds"] for record in records]
    top = HEADER
    for panel in panels:
        size = ROW * len(panel)
        bottom = height - top - 0.3 - size
        axes = add_axes(figure, NAMES, right=1.0, top=top + 0.3, bottom=bottom)
        _dots(axes, sorted(panel, key=lambda record: record["seconds"]["median"]))
        lows, highs = zip(*map(_spread, seconds), strict=True)
        low, high = min(lows), max(highs)
        axes.set_xlim(low / 1.3, high * 1.3)
        _decades(axes, "x")
        number_axis(
            axes, "x", "seconds an iteration (median; lowest to highest, of many the middle half)"
        )
        n_iter = panel[0]["iterations"]
        _heading(axes, f"k = {panel[0]['k']:,}, {n_iter} iterations from one start")
        top += PANEL + size
    return figure


def _dots(axes: Axes, records: list[Record]) -> None:
    for row, record in enumerate(records):
        seconds = record["seconds"]
        color = BLUE if _ours(record["contestant"]) else QUIET
        low, high = _spread(seconds)
        axes.plot([low, high], [row, row], color=color, linewidth=2)
        axes.plot(seconds["median"], row, "o", color=color, markersize=7)
        write(axes, _short(seconds["median"]), (high, row), (9, 0), 9)
    axes.set_xscale("log")
    axes.set_ylim(len(records) - 0.5, -0.5)
    titles = [CONTESTANTS[record["contestant"]].title for record in records]
    axes.set_yticks(range(len(records)), titles)
    axes.grid(visible=False, axis="y")


def _spread(seconds: dict[str, float]) -> tuple[float, float]:
    """As far as it can be drawn: a difference of two fits can fall below zero."""
    low, high = spread(seconds)
    return max(low, seconds["median"] / 10), high


def _short(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


# -- inertia and seconds at convergence ---------------------------------------------------------


def convergence(records: list[Record]) -> Figure:
    """A mark a fit: how long it took, and how far above the best known it ended."""
    panels = _by_case(records)
    names = [name for name in CONTESTANTS if any(r["contestant"] == name for r in records)]
    legend, size = 2.15, 2.4
    size = max(size, 0.24 * len(names)) if len(panels) == 1 else size
    height = HEADER + len(panels) * (size + 1.0) + 0.2
    title = f"Inertia at convergence: {records[0]['corpus']['name']}"
    figure = card(height, title, _about(records[0]))
    for position, panel in enumerate(panels):
        top = HEADER + position * (size + 1.0) + 0.3
        bottom = height - top - size
        axes = add_axes(figure, 0.85, right=MARGIN + legend, top=top, bottom=bottom)
        best = min(record["inertia"]["min"] for record in panel)
        for record in panel:
            color, shape = LOOKS[record["contestant"]]
            axes.plot(
                [fit["seconds"] for fit in record["fits"]],
                [100 * (fit["inertia"] / best - 1) for fit in record["fits"]],
                linestyle="none",
                marker=shape,
                color=color,
                markersize=6,
                alpha=0.75,
                markeredgewidth=0,
            )
        axes.set_xscale("log")
        axes.margins(0.06, 0.08)
        axes.set_ylim(bottom=-0.05 * axes.get_ylim()[1])
        _decades(axes, "x")
        number_axis(axes, "x", "seconds of a fit, its start included")
        number_axis(axes, "y", "% above the best known")
        _heading(axes, f"k = {panel[0]['k']:,}, a mark for each seed")
        if position == 0:
            _legend(axes, [(CONTESTANTS[name].title, *LOOKS[name]) for name in names])
    return figure


# -- growth ---------------------------------------------------------------------------------------


def growth(series: str, lines: dict[tuple[str, str], Line], record: Record) -> Figure:
    """Time and memory along a series, on logarithmic axes, each with its fitted slope."""
    shown = [measure for measure in MEASURES if any(about[1] == measure for about in lines)]
    legend, size = 2.65, 2.3
    height = HEADER + len(shown) * (size + 1.0) + 0.3
    machine = machine_of(record) if series != "threads" else record["machine"]["processor"]
    rest = {
        "documents": f"79,000 terms, k = {record['k']}",
        "terms": f"32,000 documents, k = {record['k']}",
        "clusters": "32,000 documents, 79,000 terms",
        "threads": f"32,000 documents, 79,000 terms, k = {record['k']}",
    }[series]
    figure = card(height, f"Growth with the number of {series}", f"{rest}; {machine}")
    for position, measure in enumerate(shown):
        top = HEADER + position * (size + 1.0) + 0.2
        axes = add_axes(figure, 0.85, MARGIN + legend, top, height - top - size)
        named = []
        for (name, quantity), line in lines.items():
            if quantity != measure:
                continue
            color, shape = LOOKS[name]
            axes.plot(line.sizes, line.values, shape, color=color, markersize=6)
            slope = fitted(line)
            suffix = "" if slope is None else f", slope {slope:.2f}"
            named.append((CONTESTANTS[name].title + suffix, color, shape))
            if slope is not None:
                _line(axes, line, color)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(x=0.08)
        values = [
            value
            for (_, quantity), line in lines.items()
            if quantity == measure
            for value in line.values
        ]
        # At least a factor of four, so that what hardly changes looks so.
        middle, reach = math.sqrt(min(values) * max(values)), max(4, max(values) / min(values))
        axes.set_ylim(middle / reach**0.65, middle * reach**0.65)
        for which, label in (("x", series), ("y", measure)):
            _decades(axes, which)
            number_axis(axes, which, label)
        sizes = sorted({size for line in lines.values() for size in line.sizes})
        axes.set_xticks(sizes, [number(size) for size in sizes])
        _legend(axes, named)
    add_note(figure, ["Dashed: the straight line through the logarithms, whose slope is given."])
    return figure


def _line(axes: Axes, line: Line, color: str) -> None:
    import numpy as np

    slope, offset = np.polyfit(np.log(line.sizes), np.log(line.values), 1)
    ends = np.array([min(line.sizes), max(line.sizes)])
    axes.plot(ends, np.exp(offset) * ends**slope, "--", color=color, linewidth=1)


# -- parts ---------------------------------------------------------------------------------------


def _heading(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", color=INK, pad=7, **plain(10))


def _legend(axes: Axes, entries: list[tuple[str, str, str]]) -> None:
    """Name shapes and colours to the right of the axes."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="none", marker=shape, color=color, label=title)
        for title, color, shape in entries
    ]
    look: dict[str, Any] = {"family": "DejaVu Sans", "size": 8.5}
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.03),
        frameon=False,
        prop=look,
        handletextpad=0.2,
        labelspacing=0.45,
    )


def _decades(axes: Axes, which: str) -> None:
    """Label a logarithmic axis at 1, 2 and 5 of each decade where it spans few, else at 1."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    steps = (1.0, 2.0, 5.0) if high / low < 500 else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())


PICTURES: dict[str, Callable[[list[Record]], Figure]] = {
    "iteration": iteration,
    "convergence": convergence,
}
