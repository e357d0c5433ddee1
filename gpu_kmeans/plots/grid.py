"""What sets clusters of numbers and categories apart, as a table of shades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.plots.card import (
    INK,
    MARGIN,
    QUIET,
    WIDTH,
    add_axes,
    add_note,
    card,
    empty_card,
    write,
)
from gpu_kmeans.plots.words import count, fit, fit_name, measure_of, number, plain

if TYPE_CHECKING:
    from gpu_kmeans.features.base import Reason
    from gpu_kmeans.model.profiles import Profile

__all__ = ["profile_grid"]

MOST = 50  # clusters shown all together; of more, the largest
LARGEST = 40
COLUMNS = 8
"""Number of columns at most: those that set clusters apart most."""
FULL = 2.0
"""Deviation from which on the shade is the darkest, in standard deviations."""
MARKED = 0.5
"""Deviation from which on a mark says high or low, likewise."""
NAME = 2.2  # inches, as the three below
ROW = 0.27
RIGHT = 0.95
LONGEST = 1.3
"""Width of a column's name at most."""
TURN = 40
"""Angle of the columns' names, in degrees."""
SLOPE = math.sin(math.radians(TURN))
TEXT = 8.5  # points
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
KINDS = ("number", "category", "feature")
LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", ["#f3c9a0", "#ffffff", "#9cc7e4"])


def profile_grid(profiles: Sequence[Profile]) -> Figure:
    """Draw what clusters have more and less of: means of numbers, shares of categories.

    One row is a cluster, one column a number, a value of a category or a feature of a matrix; the
    shade is the deviation from all items. A cell is empty where it is no reason of the profile.
    """
    _check(profiles)
    title = "What sets the clusters apart"
    clusters = sorted((p for p in profiles if p.size), key=lambda p: (-p.size, p.label))
    columns = _columns(clusters)
    if not columns:
        return empty_card(title, "", "No number, category or feature sets a cluster apart.")
    shown = clusters if len(clusters) <= MOST else clusters[:LARGEST]
    headings = [_heading(column) for column in columns]
    heading = SLOPE * max(map(measure_of(TEXT), headings)) + 0.2
    figure = card(
        0.95 + heading + ROW * (len(shown) + 1) + 0.45,
        title,
        "means of numbers, shares of categories; ▲ higher, ▼ lower than in all items",
    )
    axes = add_axes(figure, left=MARGIN + NAME, right=RIGHT, top=0.95 + heading, bottom=0.45)
    axes.set_axis_off()
    width = (WIDTH - MARGIN - NAME - RIGHT) / len(columns)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(shown) + 1, 0)
    _draw_headings(axes, headings)
    for position, profile in enumerate(shown):
        reasons = {_key(reason): reason for reason in profile.reasons}
        _write_name(axes, position, f"{profile.name}", f" ({profile.size:,})")
        for column, key in enumerate(columns):
            if key in reasons:
                _draw_cell(axes, position, column, reasons[key], width)
    _draw_overall(axes, len(shown), columns, clusters, width)
    notes = ["Empty: not among what sets the cluster apart most."]
    if left := len(clusters) - len(shown):
        notes.append(f"{count(left, 'smaller cluster')} not shown.")
    add_note(figure, notes)
    return figure


def _key(reason: Reason) -> tuple[str, str, str]:
    return (reason.kind, reason.column, reason.name)


def _columns(clusters: Sequence[Profile]) -> list[tuple[str, str, str]]:
    """Return what deviates most anywhere, numbers before categories before features."""
    strongest: dict[tuple[str, str, str], float] = {}
    for profile in clusters:
        for reason in profile.reasons:
            if reason.kind in KINDS:
                key = _key(reason)
                strongest[key] = max(strongest.get(key, 0.0), abs(reason.deviation))
    first = sorted(strongest, key=lambda key: -strongest[key])[:COLUMNS]
    return sorted(first, key=lambda key: (KINDS.index(key[0]), key[1]))


def _heading(column: tuple[str, str, str]) -> str:
    kind, of, name = column
    text = f"{of}: {name}" if kind == "category" else name
    return fit(text, LONGEST, measure_of(TEXT))


def _draw_headings(axes: Axes, headings: Sequence[str]) -> None:
    for column, text in enumerate(headings):
        axes.annotate(
            text,
            (column + 0.5, 0),
            xytext=(0, 6),
            textcoords="offset points",
            rotation=TURN,
            rotation_mode="anchor",
            ha="left",
            va="baseline",
            color=INK,
            **plain(TEXT),
        )


def _write_name(axes: Axes, position: int, name: str, size: str) -> None:
    measure = measure_of(TEXT)
    text = fit_name(name, NAME - 0.12 - measure(size), measure) + size
    write(axes, text, (0, position + 0.5), (-6, 0), TEXT, align="right")


def _draw_cell(axes: Axes, position: int, column: int, reason: Reason, width: float) -> None:
    shade = 0.5 + max(-1.0, min(1.0, reason.deviation / FULL)) / 2
    axes.add_patch(
        Rectangle(
            (column, position),
            1,
            1,
            facecolor=LOW_TO_HIGH(shade),
            edgecolor="white",
            linewidth=1.0,
        )
    )
    mark = "" if abs(reason.deviation) < MARKED else "▲ " if reason.deviation > 0 else "▼ "
    text = fit(mark + _value(reason.kind, reason.mean), width - 0.06, measure_of(TEXT - 0.5))
    write(axes, text, (column + 0.5, position + 0.5), (0, 0), TEXT - 0.5, align="center")


def _draw_overall(
    axes: Axes,
    position: int,
    columns: Sequence[tuple[str, str, str]],
    clusters: Sequence[Profile],
    width: float,
) -> None:
    """Write the means of all items in a last row."""
    overall = {_key(r): r.overall for profile in clusters for r in profile.reasons}
    items = sum(profile.size for profile in clusters)
    _write_name(axes, position, "all items", f" ({items:,})")
    axes.plot([0, len(columns)], [position] * 2, color=QUIET, linewidth=0.8)
    for column, key in enumerate(columns):
        text = fit(_value(key[0], overall[key]), width - 0.06, measure_of(TEXT - 0.5))
        at = (column + 0.5, position + 0.5)
        write(axes, text, at, (0, 0), TEXT - 0.5, align="center", color=QUIET)


def _value(kind: str, mean: float) -> str:
    if kind == "category":
        return f"{mean:.0%}"
    if 1e4 <= abs(mean) < 1e12:
        unit, name = next(pair for pair in UNITS if abs(mean) >= pair[0])
        return f"{mean / unit:.3g}{name}"
    return number(round(mean)) if abs(mean) >= 100 else number(mean)


def _check(profiles: Any) -> None:
    from gpu_kmeans.model.profiles import Profile

    if (
        not isinstance(profiles, Sequence)
        or isinstance(profiles, str)
        or not all(isinstance(profile, Profile) for profile in profiles)
    ):
        raise InvalidParam(
            f"a figure of profiles needs a list of Profile, not {a(profiles)}: pass what "
            "gpu_kmeans.model.profiles.profiles gives"
        )
