"""New rows beyond the distances that a model knows, by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.plots.card import (
    BLUE,
    INK,
    MARGIN,
    PALE,
    add_axes,
    add_note,
    card,
    empty_card,
    number_axis,
    write,
)
from gpu_kmeans.plots.items import check_texts
from gpu_kmeans.plots.words import count, fit_name, measure_of

if TYPE_CHECKING:
    from gpu_kmeans.questions.compare import Drift

__all__ = ["drift_shares"]

MOST = 50  # clusters shown all together; of more, those with most rows beyond
FIRST = 40
NAME, NUMBERS = 2.5, 1.3  # inches
TEXT = 9.0  # points


def drift_shares(drift: Drift, names: Sequence[str] = ()) -> Figure:
    """Draw the share of each cluster's new rows that lie beyond the known distances.

    Parameters
    ----------
    drift : Drift
        See :func:`gpu_kmeans.questions.compare.drift`.
    names : sequence of str
        Of the clusters, by label; without any they are numbered.
    """
    _check(drift, names)
    title = drift.verdict[:1].upper() + drift.verdict[1:]
    rows = sorted(drift.clusters.items(), key=lambda row: (-row[1][1], -row[1][0], row[0]))
    if not rows:
        return empty_card(title, "", "There are no new rows.")
    shown = rows if len(rows) <= MOST else rows[:FIRST]
    subtitle = "farther from their cluster than 99 in 100 of its own items: share of its new rows"
    figure = card(1.9 + 0.27 * len(shown), title, subtitle)
    axes = add_axes(figure, left=MARGIN + NAME, right=MARGIN + NUMBERS)
    shares = [far / max(1, many) for _, (many, far) in shown]
    end = min(1.0, max(0.05, *shares) * 1.06)
    axes.barh(range(len(shown)), shares, height=0.66, color=PALE, edgecolor=BLUE, linewidth=0.8)
    axes.set_xlim(0, end)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    usual = drift.expected / max(1, drift.n_rows)
    axes.axvline(usual, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    measure = measure_of(TEXT)
    for position, (label, (many, far)) in enumerate(shown):
        name = names[label] if 0 <= label < len(names) else f"cluster {label}"
        name = name if label >= 0 else "in no cluster: no known word"
        text = fit_name(name, NAME - 0.12, measure)
        write(axes, text, (0, position), (-6, 0), TEXT, align="right")
        write(axes, f"{far:,} of {many:,}", (end, position), (8, 0), TEXT)
    number_axis(axes, "x", "share of the new rows")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    notes = [f"Dashed line: {usual:.0%}, as many as were to be expected."]
    if left := len(rows) - len(shown):
        notes.append(f"{count(left, 'cluster')} with fewer not shown.")
    add_note(figure, notes)
    return figure


def _check(drift: Drift, names: Sequence[str]) -> None:
    from gpu_kmeans.questions.compare import Drift

    if not isinstance(drift, Drift):
        raise InvalidParam(
            f"a figure of drift needs a Drift, not {a(drift)}: pass what "
            "gpu_kmeans.questions.compare.drift gives"
        )
    check_texts("names", list(names) if isinstance(names, tuple) else names or [])
