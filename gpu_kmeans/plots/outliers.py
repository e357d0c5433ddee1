"""How badly items fit, cluster by cluster, the worst ones named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.plots.card import (
    BLUE,
    INK,
    MARGIN,
    PALE,
    QUIET,
    RED,
    add_axes,
    add_note,
    card,
    empty_card,
    number_axis,
    write,
)
from gpu_kmeans.plots.words import count, fit_list, fit_name, measure_of, plain

if TYPE_CHECKING:
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.outliers import Outliers

__all__ = ["outlier_scores"]

MOST = 50  # clusters shown all together; of more, the largest
LARGEST = 40
WORST = 30
"""Number of items that are marked as worst, over all clusters."""
LOGARITHMIC_FROM = 8.0
"""Highest score from which on the axis is logarithmic."""
LOWEST = 0.1
"""Score at which a logarithmic axis begins; lower ones are drawn there."""
NAME, TITLES = 2.5, 2.2  # inches for the names on the left, and for the worst items on the right
TEXT = 8.5  # points


class _Row(NamedTuple):
    name: str
    scores: NDArray[np.float64]
    worst: list[int]
    """Rows of the worst items of all that are here, the worst first."""
    is_junk: bool


def outlier_scores(model: Model, scored: Outliers, junk: Sequence[int] = ()) -> Figure:
    """Draw the outlier scores of each cluster's items, the worst items named.

    Parameters
    ----------
    model : Model
    scored : Outliers
        Of the model: see :func:`gpu_kmeans.model.outliers.outliers`.
    junk : sequence of int
        Labels of clusters to mark: see :func:`gpu_kmeans.model.outliers.junk_clusters`.
    """
    _check(model, scored)
    title = "How badly items fit, by cluster"
    rows = _rows(model, scored, set(junk))
    if not rows:
        return empty_card(title, "", "No item has a score.")
    shown = rows if len(rows) <= MOST else _most_telling(rows)
    subtitle = "distance to the cluster, in median distances of its items: 1 is ordinary"
    height = 1.95 + 0.25 * len(shown)
    figure = card(height, title, subtitle)
    axes = add_axes(figure, left=MARGIN + NAME, right=MARGIN + TITLES, top=1.1)
    _scale(axes, max(float(row.scores.max()) for row in shown))
    low = axes.get_xlim()[0]
    for position, row in enumerate(shown):
        _draw(axes, position, row, scored, max(low, 0.0))
        _name(axes, position, row, model)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    for x, shift, text, align in (
        (0, -7, "cluster (items)", "right"),
        (1, 8, "items that fit worst", "left"),
    ):
        axes.annotate(
            text,
            (x, 1),
            xycoords="axes fraction",
            xytext=(shift, 8),
            textcoords="offset points",
            ha=align,
            color=QUIET,
            **plain(TEXT),
        )
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    number_axis(axes, "x", "score")
    notes = ["Bar: the middle half of the items; line: nine in ten; dots: the worst of all."]
    if left := len(rows) - len(shown):
        notes.append(f"{count(left, 'ordinary cluster')} not shown.")
    add_note(figure, notes)
    return figure


def _rows(model: Model, scored: Outliers, junk: set[int]) -> list[_Row]:
    """Return the clusters that have scores, largest first, and what is in none of them last."""
    from gpu_kmeans.model.naming import cluster_names

    names = cluster_names(model)
    worst = scored.first(WORST).tolist()
    rows = []
    for label in [*(-model.sizes).argsort(kind="stable").tolist(), -1]:
        scores = scored.scores[model.labels == label]
        scores = scores[~np.isnan(scores)]
        if len(scores):
            inside = [row for row in worst if model.labels[row] == label]
            name = names[label] if label >= 0 else "in no cluster"
            rows.append(_Row(name, scores, inside, label in junk))
    return rows


def _most_telling(rows: list[_Row]) -> list[_Row]:
    """Return the clusters with the worst items or marked as junk, and the largest others."""
    order = sorted(rows, key=lambda row: (not (row.worst or row.is_junk), -len(row.scores)))
    chosen = {id(row) for row in order[:LARGEST]}
    return [row for row in rows if id(row) in chosen]


def _scale(axes: Axes, highest: float) -> None:
    if highest < LOGARITHMIC_FROM:
        axes.set_xlim(0, max(1.5, highest * 1.05))
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    else:
        axes.set_xscale("log")
        axes.set_xlim(LOWEST, highest * 1.6)
        wide = highest > LOWEST * 1000
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 3), numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())


def _draw(axes: Axes, position: int, row: _Row, scored: Outliers, low: float) -> None:
    """Draw a cluster's scores: nine in ten, the middle half, the median, the worst."""
    five, quarter, middle, three, most = np.maximum(
        np.quantile(row.scores, (0.05, 0.25, 0.5, 0.75, 0.95)), low
    )
    color = RED if row.is_junk else BLUE
    axes.plot([five, most], [position] * 2, color=color, linewidth=1.2, solid_capstyle="butt")
    axes.barh(
        position,
        three - quarter,
        left=quarter,
        height=0.5,
        facecolor="white" if row.is_junk else PALE,
        edgecolor=color,
        linewidth=0.9,
        hatch="////" if row.is_junk else None,
        zorder=2.2,
    )
    axes.plot([middle] * 2, [position - 0.33, position + 0.33], color=INK, linewidth=1.6, zorder=3)
    points = np.maximum(scored.scores[row.worst], low)
    axes.scatter(
        points,
        [position] * len(points),
        s=20,
        color=RED,
        edgecolors="white",
        linewidths=0.5,
        zorder=3,
    )


def _name(axes: Axes, position: int, row: _Row, model: Model) -> None:
    """Write the cluster's name and its items on the left, and the worst of them on the right."""
    measure = measure_of(TEXT)
    start, end = axes.get_xlim()
    size = f" ({len(row.scores):,})"
    mark = "junk: " if row.is_junk else ""
    room = NAME - 0.15 - measure(size + mark)
    name = mark + fit_name(row.name, room, measure) + size
    write(axes, name, (start, position), (-7, 0), TEXT, align="right")
    if row.worst:
        titles = [_title(model, item) for item in row.worst]
        write(axes, fit_list(titles, TITLES - 0.15, measure), (end, position), (8, 0), TEXT)


def _title(model: Model, row: int) -> str:
    title = model.items["title"][row].as_py() if "title" in model.items.column_names else None
    return title or f"id {model.items['id'][row].as_py()}"


def _check(model: Any, scored: Any) -> None:
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.outliers import Outliers

    if not isinstance(model, Model) or not isinstance(scored, Outliers):
        raise InvalidParam(
            f"a figure of outliers needs a Model and its Outliers, not {a(model)} and {a(scored)}: "
            "pass model and outliers(model)"
        )
    if len(scored.scores) != len(model.labels):
        raise InvalidParam(
            f"there are {len(scored.scores)} scores and {len(model.labels)} items: pass the "
            "outliers of this model"
        )
