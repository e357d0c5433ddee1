"""Clusterers: rows in, labels and means out; and the registry of all that there are.

Pipeline, command line and service read names and meanings from :data:`ALGORITHMS`. A new
algorithm is a file with a :class:`Clusterer`, and a line here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from gpu_kmeans.errors import InvalidParam

if TYPE_CHECKING:  # the command line reads the registry, and has no use for arrays until it works
    import numpy as np
    from numpy.typing import NDArray

    from gpu_kmeans.backends.protocol import Backend, Matrix

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Clusterer",
    "Clustering",
    "check_algorithm",
    "check_rows_suit",
    "clusterer",
    "inertia_of",
    "learned",
    "means_of",
]

Callback: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Clustering:
    """What a clusterer found; arrays are on the host.

    Attributes
    ----------
    labels : ndarray of shape (n,), int32
        From 0 to k - 1; -1 for a row that is in no cluster.
    means : ndarray of shape (k, n_features)
        Center of each cluster. A row belongs to the nearest one. Mean of its rows, or their
        direction where clusters are told apart by angles.
    inertia : float
        Sum of squared distances of the rows to the means of their clusters.
    n_iter : int
    history : list of (stage, iteration, inertia)
    outlier_scores : ndarray of shape (n,), float64, or None
        The higher, the less a row belongs where it is.
    """

    labels: NDArray[np.int32]
    means: NDArray[Any]
    inertia: float
    n_iter: int
    history: list[tuple[str, int, float]] = field(default_factory=list)
    outlier_scores: NDArray[np.float64] | None = None


class Clusterer(ABC):
    """An algorithm with its parameters.

    Parameters
    ----------
    n_clusters : int
        Says nothing to an algorithm that finds their number.
    max_iter : int
        Iterations at most.
    seed : int
        All random draws come from it.
    callback : callable or None
        Told of every iteration; a true answer ends the clustering with what it has reached.
    """

    def __init__(
        self, *, n_clusters: int, max_iter: int, seed: int, callback: Callback | None
    ) -> None:
        self.n_clusters = n_clusters
        self.max_iter = max_iter
        self.seed = seed
        self.callback = callback

    @abstractmethod
    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        """Cluster rows, shape (n, n_features): the backend's or the host's, CSR or dense.

        Raises
        ------
        InputError
            The rows, or a parameter, cannot be used.
        Cancelled
            The callback raised it.
        """


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An entry of the registry.

    Attributes
    ----------
    meaning : str
        What it is, in a line for people who choose.
    home : str
        Module of :mod:`gpu_kmeans.clustering` and class of the :class:`Clusterer`.
    finds_k : bool
        Whether the number of clusters follows from the rows, and is not asked for.
    needs_dense : bool
        Whether it takes dense rows alone, as numbers and reduced texts are.
    least_rows : int
        Number of rows that it needs at least.
    """

    meaning: str
    home: str
    finds_k: bool = False
    needs_dense: bool = False
    least_rows: int = 1


ALGORITHMS: dict[str, Algorithm] = {
    "hartigan": Algorithm(
        "k-means to the end: Lloyd's iterations, then moves of single rows", "partition:Hartigan"
    ),
    "lloyd": Algorithm(
        "k-means with Lloyd's iterations alone: stops earlier, at a higher inertia",
        "partition:Lloyd",
    ),
    "minibatch": Algorithm(
        "k-means of a sample that grows to all rows: for many rows, at a higher inertia",
        "partition:MiniBatch",
    ),
    "spherical": Algorithm(
        "k-means by angles, the best of several starts: for texts and embeddings",
        "spherical:Spherical",
    ),
    "bisecting": Algorithm("k-means that splits the widest cluster in two", "bisecting:Bisecting"),
    "agglomerative": Algorithm("Ward's method over fine clusters", "agglomerative:Agglomerative"),
    "hdbscan": Algorithm(
        "dense regions and noise between them; finds their number",
        "density:Hdbscan",
        finds_k=True,
        least_rows=10,
    ),
    "mixture": Algorithm(
        "Gaussians that differ in spread; dense or reduced rows",
        "mixture:DiagonalMixture",
        needs_dense=True,
    ),
    "mixture-full": Algorithm(
        "Gaussians that differ in shape, too; dense or reduced rows",
        "mixture:FullMixture",
        needs_dense=True,
    ),
}
"""All algorithms by their names."""


def clusterer(
    algorithm: str, *, n_clusters: int, max_iter: int, seed: int, callback: Callback | None = None
) -> Clusterer:
    """Return an algorithm by its name.

    Raises
    ------
    InvalidParam
        There is none of this name.
    """
    check_algorithm(algorithm)
    module, _, name = ALGORITHMS[algorithm].home.partition(":")
    kind: Callable[..., Clusterer] = getattr(import_module(f"gpu_kmeans.clustering.{module}"), name)
    return kind(n_clusters=n_clusters, max_iter=max_iter, seed=seed, callback=callback)


def inertia_of(backend: Backend, rows: Matrix, labels: NDArray[np.int32], k: int) -> float:
    """Return the sum of squared distances of the backend's rows to the means of their labels."""
    squares = float(backend.squared_norms(rows).sum())
    left = squares - backend.cluster_sums(rows, labels, k).explained()
    # What rounding leaves of rows that are all the same is not an inertia.
    return left if left > 1e-12 * squares else 0.0


def means_of(backend: Backend, rows: Matrix, labels: NDArray[np.int32], k: int) -> NDArray[Any]:
    """Return the mean of the backend's rows of each label on the host, shape (k, n_features)."""
    return backend.centroids(backend.cluster_sums(rows, labels, k))


def check_rows_suit(algorithm: str, n: int, is_sparse: bool, n_features: int | None = None) -> None:
    """Refuse rows that an algorithm cannot take, before any work on them.

    Raises
    ------
    InvalidParam
        They are too few, or sparse where it needs dense ones; the message names the way out.
    """
    about = ALGORITHMS[algorithm]
    if n < about.least_rows:
        raise InvalidParam(
            f"{algorithm} needs at least {about.least_rows} rows, and there are {n}: use another "
            "algorithm, such as hartigan"
        )
    if is_sparse and about.needs_dense:
        width = "" if n_features is None else f", of {n_features} features"
        raise InvalidParam(
            f"{algorithm} needs dense rows, and these are sparse{width}: reduce them (reduce=50, "
            "on the command line --reduce 50), or use another algorithm, such as spherical"
        )


def learned(module: str, algorithm: str) -> Any:
    """Import a module of scikit-learn, which some algorithms come from.

    Raises
    ------
    InvalidParam
        It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InvalidParam(
            f"algorithm {algorithm!r} comes from scikit-learn, which is not installed; in a clone "
            'of gpu-kmeans: pip install ".[algorithms]"'
        ) from None


def check_algorithm(algorithm: object) -> None:
    """Raise ``InvalidParam`` unless there is an algorithm of this name."""
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidParam(
            f"algorithm must be one of {', '.join(ALGORITHMS)}, got {algorithm!r:.60}"
        )
