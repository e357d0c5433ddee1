"""Results to figures: nothing is computed here that a result does not already hold.

Every function returns a ``matplotlib.figure.Figure`` and leaves Matplotlib's own state (its
current figure, its settings) alone; :func:`save` writes a figure as PNG or SVG.

>>> from gpu_kmeans import plots
>>> plots.save(plots.rating_scatter(recommendation), "scatter.svg")  # doctest: +SKIP

A figure is an opaque white card with its own margin, so that it reads the same on paper, on a
light page and on a dark one; :func:`dark` makes it a dark card. No colour carries a meaning alone:
what a colour tells, a mark, a hatching, an edge or a word tells, too.
"""

from __future__ import annotations

from gpu_kmeans.plots.bars import popularity_bars
from gpu_kmeans.plots.choices import choice_curves
from gpu_kmeans.plots.clusters import cluster_sizes
from gpu_kmeans.plots.dark import dark
from gpu_kmeans.plots.drift import drift_shares
from gpu_kmeans.plots.files import save
from gpu_kmeans.plots.flows import cluster_flows
from gpu_kmeans.plots.grid import profile_grid
from gpu_kmeans.plots.inertia import inertia_history
from gpu_kmeans.plots.outliers import outlier_scores
from gpu_kmeans.plots.scatter import rating_scatter
from gpu_kmeans.plots.tree import level_tree

__all__ = [
    "choice_curves",
    "cluster_flows",
    "cluster_sizes",
    "dark",
    "drift_shares",
    "inertia_history",
    "level_tree",
    "outlier_scores",
    "popularity_bars",
    "profile_grid",
    "rating_scatter",
    "save",
]
