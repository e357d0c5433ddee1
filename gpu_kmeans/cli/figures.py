"""Which figures a model has, under which names, and how they get into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_kmeans.model import Model
    from gpu_kmeans.recommend import ClusterView, Recommendation

__all__ = ["draw", "names"]

_OF_MODEL = ("clusters", "inertia")
_OF_QUERY = ("popularity", "ratings")


def names(query: bool) -> list[str]:
    """Return the files that :func:`draw` writes, with or without a query's."""
    stems = _OF_MODEL + _OF_QUERY if query else _OF_MODEL
    return [stem + suffix for stem in stems for suffix in (".png", ".svg")]


def draw(
    model: Model,
    clusters: Sequence[ClusterView],
    answer: Recommendation | None,
    folder: Path,
) -> None:
    """Draw every figure as PNG and SVG into a folder that exists."""
    from gpu_kmeans import plots

    figures = {
        "clusters": plots.cluster_sizes(clusters),
        "inertia": plots.inertia_history(model.info.history),
    }
    if answer is not None:
        figures["popularity"] = plots.popularity_bars(answer)
        figures["ratings"] = plots.rating_scatter(answer)
    for name in names(answer is not None):
        plots.save(figures[Path(name).stem], folder / name)
