"""A backend whose verbs lie in modules: which verb lies in which, once for every backend.

The modules of a backend are named alike. One, and with it the library that it wraps, is imported
when its first verb is used, so that a program pays for what it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from gpu_kmeans.backends.protocol import Backend

__all__ = ["DelegatingBackend", "delegated"]

P = ParamSpec("P")
R = TypeVar("R")


def delegated(
    declared: Callable[Concatenate[Any, P], R], module: str
) -> Callable[Concatenate[Any, P], R]:
    """Make a verb as the protocol declares it, done by the function of its name in ``module``."""
    name = declared.__name__

    @wraps(declared)
    def verb(self: DelegatingBackend, /, *args: P.args, **kwargs: P.kwargs) -> R:
        function: Callable[P, R] = getattr(import_module(f"{self.package}.{module}"), name)
        return function(*args, **kwargs)

    return verb


class DelegatingBackend:
    """The verbs of :class:`gpu_kmeans.backends.protocol.Backend`; see there for each."""

    package: ClassVar[str]
    """The package that has the modules."""

    read_table = delegated(Backend.read_table, "frames")
    join = delegated(Backend.join, "frames")
    names_in_lists = delegated(Backend.names_in_lists, "lists")
    count_terms = delegated(Backend.count_terms, "text")
    tfidf_transform = delegated(Backend.tfidf_transform, "text")
    matrix = delegated(Backend.matrix, "rows")
    squared_norms = delegated(Backend.squared_norms, "rows")
    project = delegated(Backend.project, "rows")
    transpose = delegated(Backend.transpose, "rows")
    inner_products = delegated(Backend.inner_products, "rows")
    dense_kmeans = delegated(Backend.dense_kmeans, "dense")
    dense_regions = delegated(Backend.dense_regions, "dense")
    clusters_from = delegated(Backend.clusters_from, "rows")
    cluster_sums = delegated(Backend.cluster_sums, "rows")
    assign = delegated(Backend.assign, "rows")
    update_bounds = delegated(Backend.update_bounds, "rows")
    move = delegated(Backend.move, "rows")
    iterations = delegated(Backend.iterations, "iterations")
    halve = delegated(Backend.halve, "halves")
    distances = delegated(Backend.distances, "rows")
    centroids = delegated(Backend.centroids, "rows")
    neighbors = delegated(Backend.neighbors, "neighbors")
    centroid_shift = delegated(Backend.centroid_shift, "rows")

    def to_host(self, value: Any) -> Any:
        """SciPy CSR, NumPy or a ``pyarrow.Table`` (for a frame) of the same content."""
        if hasattr(value, "columns") and hasattr(value, "dtypes"):
            return import_module(f"{self.package}.frames").to_arrow(value)
        return import_module(f"{self.package}.rows").to_host(value)
