"""Which cluster became which: bands of items from the clusters of one model to another's."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.plots.card import (
    BLUE,
    MARGIN,
    PALE,
    QUIET,
    SAND,
    WIDTH,
    add_axes,
    add_note,
    card,
    empty_card,
    write,
)
from gpu_kmeans.plots.words import count, fit_name, measure_of

if TYPE_CHECKING:
    from gpu_kmeans.questions.compare import Comparison

__all__ = ["cluster_flows"]

MOST = 40
"""Number of clusters of a side that are drawn each for itself: the smaller ones are one."""
REST = -2
"""Label of the smaller ones together."""
NAME = 2.45  # inches of the names on either side, and below
NODE = 0.14
SHIFT = 6
"""Distance of a name from its cluster, in points."""
SLOT = 0.2
"""Height that a cluster takes at least, for its name."""
PER_CLUSTER = 0.34
"""Height of all items for each cluster of the longer side, between the two below."""
LEAST, HIGHEST = 2.4, 8.0
TEXT = 8.5  # points


@dataclass(slots=True)
class _Node:
    """A cluster on one side: where it begins, its items, and how many have their band already."""

    name: str
    items: int
    top: float = 0.0
    drawn: float = 0.0


def cluster_flows(comparison: Comparison) -> Figure:
    """Draw the items that clusters of two models share as bands from the first to the second.

    What a cluster became stands beside it where it can. Of more than 40 clusters the smaller ones
    are drawn as one.
    """
    _check(comparison)
    title = f"Agreement {comparison.agreement:.2f}: {comparison.verdict.split(':')[0]}"
    bands = _bands(comparison)
    if not bands:
        return empty_card(title, "", "The two share no item that is in a cluster of both.")
    before, after = _nodes(comparison, bands)
    total = sum(items for items, _ in bands.values())
    many = max(len(before), len(after))
    body = min(HIGHEST, max(LEAST, PER_CLUSTER * many))
    scale = body / total
    height = max(_stack(side, scale) for side in (before, after))
    subtitle = (
        f"{comparison.n_moved:,} of {count(total, 'item')} moved (adjusted Rand index: 1 is the "
        f"same, 0 is chance; V-measure {comparison.v_measure:.2f})"
    )
    figure = card(1.35 + height + 0.55, title, subtitle)
    axes = add_axes(figure, left=MARGIN + NAME, right=MARGIN + NAME, top=1.35, bottom=0.55)
    width = WIDTH - 2 * (MARGIN + NAME)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    _draw_bands(axes, bands, before, after, width, scale)
    write(axes, "before", (0, 0), (-SHIFT, 12), TEXT, align="right", color=QUIET)
    write(axes, "after", (width, 0), (SHIFT, 12), TEXT, color=QUIET)
    for node in before.values():
        _draw_node(axes, node, 0.0, scale, on_left=True)
    for node in after.values():
        _draw_node(axes, node, width, scale, on_left=False)
    add_note(figure, _notes(comparison))
    return figure


def _bands(comparison: Comparison) -> dict[tuple[int, int], tuple[int, bool]]:
    """Return items, and whether it is what the first became, by pairs of labels."""
    kept = [_largest(comparison, side) for side in ("before", "after")]
    bands: dict[tuple[int, int], tuple[int, bool]] = {}
    for flow in comparison.flows:
        pair = (
            flow.before if flow.before in kept[0] else REST,
            flow.after if flow.after in kept[1] else REST,
        )
        items, _ = bands.get(pair, (0, False))
        bands[pair] = (items + flow.items, flow.matched and REST not in pair)
    return bands


def _largest(comparison: Comparison, side: str) -> set[int]:
    sizes: dict[int, int] = defaultdict(int)
    for flow in comparison.flows:
        sizes[getattr(flow, side)] += flow.items
    largest_first = sorted(sizes, key=lambda label: (-sizes[label], label))
    return set(largest_first if len(sizes) <= MOST else largest_first[: MOST - 1])


def _nodes(
    comparison: Comparison, bands: dict[tuple[int, int], tuple[int, bool]]
) -> tuple[dict[int, _Node], dict[int, _Node]]:
    """Return the clusters of both sides from the top: the first by size, the others beside them."""
    names = (
        {flow.before: flow.before_name for flow in comparison.flows},
        {flow.after: flow.after_name for flow in comparison.flows},
    )
    sizes: tuple[dict[int, int], dict[int, int]] = (defaultdict(int), defaultdict(int))
    for pair, (items, _) in bands.items():
        for side, label in enumerate(pair):
            sizes[side][label] += items
    first = sorted(sizes[0], key=lambda label: (label == REST, -sizes[0][label], label))
    position = {label: at for at, label in enumerate(first)}
    weights: dict[int, float] = defaultdict(float)
    for (one, other), (items, matched) in bands.items():
        # What a cluster became belongs beside it; all others go where most of their items are.
        weights[other] += position[one] * items * (1000 if matched else 1)
    shares: dict[int, float] = defaultdict(float)
    for (_, other), (items, matched) in bands.items():
        shares[other] += items * (1000 if matched else 1)
    second = sorted(
        sizes[1], key=lambda label: (label == REST, weights[label] / shares[label], label)
    )
    return (
        {label: _Node(_name(comparison, names[0], label), sizes[0][label]) for label in first},
        {label: _Node(_name(comparison, names[1], label), sizes[1][label]) for label in second},
    )


def _name(comparison: Comparison, names: dict[int, str], label: int) -> str:
    return names[label] if label != REST else f"{len(names) - MOST + 1} smaller clusters"


def _stack(nodes: dict[int, _Node], scale: float) -> float:
    """Place the clusters of a side one below the other; return the height in inches."""
    top = 0.0
    for node in nodes.values():
        slot = max(SLOT, node.items * scale + 0.05)
        node.top = top + (slot - node.items * scale) / 2
        top += slot
    return top


def _draw_bands(
    axes: Axes,
    bands: dict[tuple[int, int], tuple[int, bool]],
    before: dict[int, _Node],
    after: dict[int, _Node],
    width: float,
    scale: float,
) -> None:
    """Draw every band; at each cluster they stand in the order of their other ends."""
    order = {label: at for at, label in enumerate(after)}
    other = {label: at for at, label in enumerate(before)}
    tops: dict[tuple[int, int], float] = {}
    for pair in sorted(bands, key=lambda pair: order[pair[1]]):
        node = before[pair[0]]
        tops[pair] = node.top + node.drawn * scale
        node.drawn += bands[pair][0]
    for pair in sorted(bands, key=lambda pair: other[pair[0]]):
        items, matched = bands[pair]
        node = after[pair[1]]
        start, end = tops[pair], node.top + node.drawn * scale
        node.drawn += items
        axes.add_patch(
            PathPatch(
                _ribbon(start, end, items * scale, NODE, width - NODE),
                facecolor=PALE if matched else SAND,
                edgecolor=BLUE if matched else "none",
                linewidth=0.5,
                zorder=1.0 if matched else 2.0,
                alpha=1.0 if matched else 0.75,
            )
        )


def _ribbon(start: float, end: float, height: float, left: float, right: float) -> Path:
    """Return a band between two heights, level at both ends."""
    middle = (left + right) / 2
    points = [
        *((left, start), (middle, start), (middle, end), (right, end)),
        *((right, end + height), (middle, end + height), (middle, start + height)),
        *((left, start + height), (left, start)),
    ]
    curve = [Path.CURVE4] * 3
    return Path(points, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])


def _draw_node(axes: Axes, node: _Node, x: float, scale: float, *, on_left: bool) -> None:
    """Draw a cluster at the edge of the axes, its name and its items beyond it."""
    height = node.items * scale
    left = x if on_left else x - NODE
    axes.add_patch(Rectangle((left, node.top), NODE, height, color=BLUE, linewidth=0.8))
    measure = measure_of(TEXT)
    number = f"{node.items:,}"
    name = fit_name(node.name, NAME - 0.12 - measure(f"  {number}"), measure)
    middle = (x, node.top + height / 2)
    if on_left:
        write(axes, f"{name}  {number}", middle, (-SHIFT, 0), TEXT, align="right")
    else:
        write(axes, f"{number}  {name}", middle, (SHIFT, 0), TEXT)


def _notes(comparison: Comparison) -> list[str]:
    notes = ["Edged, blue: what the cluster became. Without an edge: items that moved."]
    if comparison.n_gone or comparison.n_new:
        notes.append(
            f"{comparison.n_gone:,} only in the first, {comparison.n_new:,} in the second."
        )
    return notes


def _check(comparison: Comparison) -> None:
    from gpu_kmeans.questions.compare import Comparison

    if not isinstance(comparison, Comparison):
        raise InvalidParam(
            f"a figure of flows needs a Comparison, not {a(comparison)}: pass what "
            "gpu_kmeans.questions.compare.compare gives"
        )
