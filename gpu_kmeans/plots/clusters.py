"""Sizes of clusters as horizontal bars, what sets each apart beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.plots.card import (
    BLUE,
    MARGIN,
    WIDTH,
    add_axes,
    add_note,
    card,
    empty_card,
    write,
)
from gpu_kmeans.plots.items import check_texts
from gpu_kmeans.plots.words import count, fit_list, measure_of, plain
from gpu_kmeans.validation import check_integer

if TYPE_CHECKING:
    from gpu_kmeans.recommend import ClusterView

__all__ = ["cluster_sizes"]

MOST = 50  # clusters shown all together; of more, the largest
LARGEST = 40
TERMS = 3.6  # inches from the left edge to the terms, and below
GAP = 0.1
TEXT = 9.0  # points


def cluster_sizes(clusters: Sequence[ClusterView]) -> Figure:
    """Draw the size of each cluster as a bar with its top terms beside it, largest first.

    Of more than 50 clusters the largest 40 are shown, and the figure says what is left out.
    """
    _check(clusters)
    if not clusters:
        return empty_card("Clusters by size", "", "There are no clusters.")
    ordered = sorted(clusters, key=lambda cluster: (-cluster.size, cluster.label))
    shown = ordered if len(ordered) <= MOST else ordered[:LARGEST]
    rest = ordered[len(shown) :]
    names = [f"cluster {cluster.label}" for cluster in shown]
    sizes = [cluster.size for cluster in shown]
    measure = measure_of(TEXT)
    left = MARGIN + max(map(measure, names)) + 0.08
    span = TERMS - GAP - left
    foot = 0.55 if rest else 0.25
    figure = card(
        1.0 + foot + 0.25 * len(shown),
        f"{count(len(clusters), 'cluster')} by size, and what sets each apart",
        f"{count(sum(cluster.size for cluster in clusters), 'item')}, the largest cluster first",
    )
    axes = add_axes(figure, left=left, right=WIDTH - left - span, bottom=foot)
    axes.barh(range(len(shown)), sizes, height=0.68, color=BLUE)
    axes.set_xlim(0, max(sizes[0], 1) * span / (span - measure(f"{sizes[0]:,}") - 0.1))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks(range(len(shown)), labels=names, **plain(TEXT))
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    end = axes.get_xlim()[1]
    for row, cluster in enumerate(shown):
        write(axes, f"{cluster.size:,}", (cluster.size, row), (4, 0), TEXT)
        terms = fit_list(cluster.top_terms, WIDTH - TERMS - MARGIN, measure) or "no terms"
        write(axes, terms, (end, row), (72 * GAP, 0), TEXT)
    if rest:
        items = count(sum(cluster.size for cluster in rest), "item")
        add_note(figure, [f"Not shown: {count(len(rest), 'smaller cluster')} with {items}."])
    return figure


def _check(clusters: Any) -> None:
    from gpu_kmeans.recommend import ClusterView

    if not isinstance(clusters, Sequence) or isinstance(clusters, str):
        raise InvalidParam(
            f"a figure of clusters needs a list of ClusterView, not {a(clusters)}: pass "
            "evaluate(model).clusters"
        )
    for number, cluster in enumerate(clusters):
        if not isinstance(cluster, ClusterView):
            raise InvalidParam(f"clusters[{number}] is {a(cluster)}, not a ClusterView")
        check_integer(f"the label of clusters[{number}]", cluster.label, -1)
        check_integer(f"the size of clusters[{number}]", cluster.size, 0)
        check_texts(f"the top terms of clusters[{number}]", cluster.top_terms)
