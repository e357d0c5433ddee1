"""How the inertia of a fit fell, stage by stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gpu_kmeans.backends.protocol import Progress
from gpu_kmeans.errors import InvalidParam, shown
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.plots.card import (
    BLUE,
    GREEN,
    INK,
    PURPLE,
    add_axes,
    card,
    empty_card,
    number_axis,
)
from gpu_kmeans.plots.words import count
from gpu_kmeans.validation import check_integer, check_number

__all__ = ["inertia_history"]

# Where a tick may stand, in powers of ten.
_ROUND = [1, 2, 2.5, 5, 10]


class _Look(NamedTuple):
    name: str
    color: str
    marker: str


STAGES = {
    "lloyd": _Look("Lloyd", BLUE, "o"),
    "hartigan": _Look("Hartigan", GREEN, "^"),
    "breathe": _Look("breathing", PURPLE, "D"),
    "minibatch": _Look("batches that grow", BLUE, "v"),
    "spherical": _Look("spherical", BLUE, "s"),
}


class _Step(NamedTuple):
    stage: str
    iteration: int
    inertia: float


def inertia_history(history: Iterable[tuple[str, int, float] | Progress]) -> Figure:
    """Draw the inertia after each iteration, its stages told apart.

    Parameters
    ----------
    history : iterable of (stage, iteration, inertia), or of Progress
        As a fitted model's ``info.history``, or a KMeans' ``history_``; the stage is that of
        :class:`gpu_kmeans.backends.protocol.Progress`. A sketch is left out: its inertia is that of
        projected rows, in a unit of its own.
    """
    steps = [step for step in _steps(history) if step.stage != "sketch"]
    if not steps:
        return empty_card("Inertia over the iterations", "", "The fit recorded no iteration.")
    figure = card(4.8, *_header(steps))
    _draw_steps(add_axes(figure, left=1.15), steps)
    return figure


def _steps(history: Any) -> Iterator[_Step]:
    if not isinstance(history, Iterable):
        raise InvalidParam(
            f"a figure of inertia needs a history, not {a(history)}: pass model.info.history, or "
            "history_ of a KMeans"
        )
    for place, entry in enumerate(history):
        if isinstance(entry, Progress):
            yield _Step(entry.stage, entry.iteration, entry.inertia)
            continue
        if not isinstance(entry, tuple | list) or len(entry) != len(_Step._fields):
            raise InvalidParam(
                f"history[{place}] is {shown(entry)}, not (stage, iteration, inertia)"
            )
        stage, iteration, inertia = entry
        if not isinstance(stage, str) or stage not in (*STAGES, "sketch"):
            raise InvalidParam(
                f"the stage of history[{place}] must be one of sketch, {', '.join(STAGES)}, got "
                f"{shown(stage)}"
            )
        yield _Step(
            stage,
            check_integer(f"the iteration of history[{place}]", iteration, 0),
            check_number(f"the inertia of history[{place}]", inertia, 0.0),
        )


def _header(steps: Sequence[_Step]) -> tuple[str, str]:
    first, last = _precise(steps[0].inertia), _precise(steps[-1].inertia)
    title = f"Inertia over {count(len(steps), 'iteration')}"
    return title, f"from {first} to {last}" if len(steps) > 1 else last


def _draw_steps(axes: Axes, steps: Sequence[_Step]) -> None:
    """Draw the iterations on the full rows, one line in the colours of its stages."""
    before: list[_Step] = []  # the last step of the run before: no gap between two runs
    for stage, group in groupby(steps, key=lambda step: step.stage):
        run = [*before, *group]
        axes.plot(
            [step.iteration for step in run],
            [step.inertia for step in run],
            color=STAGES[stage].color,
            linewidth=1.6,
        )
        before = run[-1:]
    for stage, look in STAGES.items():
        if taken := [step for step in steps if step.stage == stage]:
            axes.plot(
                [step.iteration for step in taken],
                [step.inertia for step in taken],
                color=look.color,
                marker=look.marker,
                markersize=5 if len(steps) <= 60 else 3,
                linewidth=0,
                label=f"{look.name}, {count(len(taken), 'iteration')}",
            )
    axes.margins(x=0.06, y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=_ROUND))
    number_axis(axes, "x", "iteration")
    number_axis(axes, "y", "inertia")
    font = {"family": "DejaVu Sans", "size": 9}
    axes.legend(loc="upper right", frameon=False, labelcolor=INK, prop=font)


def _precise(inertia: float) -> str:
    """Return an inertia with the digits that tell good from better."""
    if 100 <= inertia < 1e9:
        return f"{inertia:,.1f}" if inertia < 1e6 else f"{inertia:,.0f}"
    return f"{inertia:.5g}"
