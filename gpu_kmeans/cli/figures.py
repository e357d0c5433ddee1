"""Which figures a model has, under which names, and how they get into a folder or a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_kmeans.cli import show, signals, tables
from gpu_kmeans.cli.output import Answer
from gpu_kmeans.errors import InvalidParam

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gpu_kmeans.model import Model
    from gpu_kmeans.recommend import ClusterView, Recommendation

__all__ = ["check_plot", "draw", "names", "with_plot"]

_OF_QUERY = ("popularity", "ratings")
SUFFIXES = (".png", ".svg")
LEVELED_FROM = 4
"""Number of clusters from which on a model has a figure of levels."""


def names(model: Model, query: bool) -> list[str]:
    """Return the files that :func:`draw` writes for a model, with or without a query's."""
    stems = ["clusters", "inertia", "outliers"]
    if (model.sizes > 0).sum() >= LEVELED_FROM:
        stems.append("levels")
    if not model.is_text:
        stems.append("profiles")
    stems += _OF_QUERY if query else ()
    return [stem + suffix for stem in stems for suffix in SUFFIXES]


def draw(
    model: Model,
    clusters: Sequence[ClusterView],
    answer: Recommendation | None,
    folder: Path,
    *,
    dark: bool = False,
) -> None:
    """Draw every figure as PNG and SVG into a folder that exists."""
    from gpu_kmeans import plots
    from gpu_kmeans.model.hierarchy import levels, natural_levels
    from gpu_kmeans.model.outliers import junk_clusters, outliers
    from gpu_kmeans.model.profiles import profiles

    drawings: dict[str, Callable[[], Figure]] = {
        "clusters": lambda: plots.cluster_sizes(clusters),
        "inertia": lambda: plots.inertia_history(model.info.history),
        "outliers": lambda: plots.outlier_scores(model, outliers(model), junk_clusters(model)),
        "levels": lambda: plots.level_tree(levels(model, natural_levels(model))),
        "profiles": lambda: plots.profile_grid(profiles(model, n_reasons=model.n_features)),
    }
    if answer is not None:
        drawings["popularity"] = lambda: plots.popularity_bars(answer)
        drawings["ratings"] = lambda: plots.rating_scatter(answer)
    files = names(model, answer is not None)
    for stem in dict.fromkeys(Path(name).stem for name in files):
        signals.check()
        figure = drawings[stem]()
        if dark:
            plots.dark(figure)
        for suffix in SUFFIXES:
            plots.save(figure, folder / f"{stem}{suffix}")


def check_plot(options: argparse.Namespace) -> None:
    """Find out before the long work whether the figure that ``--plot`` names can be written."""
    if options.plot is None:
        if options.dark:
            raise InvalidParam("--dark goes with --plot FILE")
        return
    if options.plot.suffix.lower() not in SUFFIXES:
        raise InvalidParam(
            f"{options.plot}: a figure is saved as .png or .svg, not {options.plot.suffix!r}"
        )
    tables.check_free(options.plot, options.overwrite)


def with_plot(answer: Answer, options: argparse.Namespace, drawing: Callable[[], Figure]) -> Answer:
    """Return an answer as it is, or with the figure that ``--plot`` asks for, drawn and named."""
    if options.plot is None:
        return answer
    from gpu_kmeans import plots

    figure = drawing()
    if options.dark:
        plots.dark(figure)
    signals.check()
    plots.save(figure, options.plot)
    return replace(
        answer,
        data={**answer.data, "figure": options.plot},
        render=lambda: show.paragraphs(answer.render(), show.files("Figure", [options.plot])),
    )
