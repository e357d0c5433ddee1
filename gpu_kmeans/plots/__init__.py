"""Results to figures: nothing is computed here that a result does not already hold.

Every function returns a ``matplotlib.figure.Figure`` and leaves Matplotlib's own state (its
current figure, its settings) alone; :func:`save` writes a figure as PNG or SVG.

>>> from gpu_kmeans import plots
>>> plots.save(plots.rating_scatter(recommendation), "scatter.svg")  # doctest: +SKIP

A figure is an opaque white card with its own margin, so that it reads the same on paper, on a
light page and on a dark one. No colour carries a meaning alone.
"""

from __future__ import annotations

from gpu_kmeans.plots.bars import popularity_bars
from gpu_kmeans.plots.clusters import cluster_sizes
from gpu_kmeans.plots.files import save
from gpu_kmeans.plots.inertia import inertia_history
from gpu_kmeans.plots.scatter import rating_scatter

__all__ = ["cluster_sizes", "inertia_history", "popularity_bars", "rating_scatter", "save"]
