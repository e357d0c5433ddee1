"""KMeans with scikit-learn's conventions, on sparse and dense rows, on any backend."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans import seeding
from gpu_kmeans.backend import BackendSpec, choose, resolve
from gpu_kmeans.breathe import breathe
from gpu_kmeans.errors import InputError, InvalidParam
from gpu_kmeans.estimator import Estimator
from gpu_kmeans.forking import product
from gpu_kmeans.hartigan import hartigan
from gpu_kmeans.lloyd import Settled, library_kmeans, lloyd
from gpu_kmeans.prepare import (
    Prepared,
    all_distances,
    nearest,
    prepare,
    squared_distances,
)
from gpu_kmeans.protocol import Backend, Callback, Clusters, Progress
from gpu_kmeans.validation import (
    check_features,
    check_integer,
    check_number,
    check_rows,
    check_weight,
    feature_names,
    generator,
)

__all__ = ["FewerClustersWarning", "KMeans"]

ALGORITHMS = ("hartigan", "lloyd")
SETTLING = 3
"""Lloyd iterations before Hartigan's moves: enough to leave a far start, and no more, since a
pass of moves costs the same and gains more (64,000 texts, k = 100 and 1000)."""

LIBRARY_ITERATIONS = 10
"""Iterations of the library's own k-means on dense rows before Hartigan's moves."""


class FewerClustersWarning(UserWarning):
    """Fewer clusters have rows than were asked for, as when rows repeat."""


class KMeans(Estimator):
    """K-means clustering, exact, of sparse rows (CSR, never made dense) or dense ones.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"sketch", "k-means++", "random"} or array of shape (n_clusters, n_features)
        Where the first centroids come from; see :mod:`gpu_kmeans.seeding`.
    n_init : int or "auto", default "auto"
        Independent starts, of which the one with the lowest inertia is kept. "auto" is 10 for
        ``init="random"`` and 1 otherwise.
    max_iter : int, default 300
        Iterations over all rows of one start, of both stages together.
    tol : float, default 1e-4
        Lloyd stops when the summed squared shift of the centroids is at most ``tol`` times the
        mean variance of the features (scikit-learn's scaling). Hartigan's moves go on until none
        is left that lowers the inertia.
    random_state : int, RandomState, Generator or None
        Source of all draws, made on the host. The same seed on the same backend gives the same
        labels, whatever the number of threads; on a GPU as far as cuML, which clusters the sketch
        and dense rows there, repeats itself.
    algorithm : {"hartigan", "lloyd"}, default "hartigan"
        "hartigan" lets Lloyd (sparse rows) or the library's k-means (dense rows) settle for a few
        iterations, exchanges clusters (only from a drawn start, see :mod:`gpu_kmeans.breathe`)
        and then moves single rows until no move lowers the inertia: lower inertia than Lloyd
        from any start, see :mod:`gpu_kmeans.hartigan`. "lloyd" is scikit-learn's algorithm,
        for comparisons.
    backend : {"auto", "cpu", "gpu"} or a Backend, default "auto"
    callback : callable, optional
        Called with a :class:`~gpu_kmeans.protocol.Progress` after each iteration; a true
        answer ends the fit with what it has reached, an exception passes through.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features), dtype of the rows
    labels_ : ndarray of shape (n,), int32
        Equal to ``predict`` of the same rows.
    inertia_ : float
        Weighted sum of squared distances of rows to their centroids, in float64.
    n_iter_ : int
        Iterations over all rows of the kept start.
    history_ : list of Progress
        Of the kept start.
    n_features_in_, feature_names_in_ : int, ndarray of str
        ``feature_names_in_`` only after a fit on a data frame with text column names.
    backend_, backend_reason_ : str
        Which backend ran, and why this one.

    Raises
    ------
    InputError
        Rows that cannot be clustered, or an argument outside its domain (``InvalidParam``);
        see :mod:`gpu_kmeans.errors`.

    Notes
    -----
    Memory beside the rows: two more copies of them while the fit runs (by blocks, for Hartigan's
    moves, and by columns, for sums), ``cluster_centers_`` with its ``n_features * n_clusters``
    numbers of the rows' dtype, and 32 float32 a row for the sketch. Sums of sparse rows take,
    twice, little more than their non-zeros on a CPU for which the kernels were compiled;
    elsewhere, and for dense rows, as much as ``cluster_centers_``. Dense rows are centred in a
    copy.
    Where memory is short, the wide arrays are what to shrink: ``max_features`` on the text side.
    """

    cluster_centers_: NDArray[Any]
    labels_: NDArray[np.int32]
    inertia_: float
    n_iter_: int
    history_: list[Progress]
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    backend_: str
    backend_reason_: str

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Literal["sketch", "k-means++", "random"] | Any = "sketch",
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: Any = None,
        algorithm: Literal["hartigan", "lloyd"] = "hartigan",
        backend: BackendSpec = "auto",
        callback: Callback | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.algorithm = algorithm
        self.backend = backend
        self.callback = callback

    # -- fitting ----------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Cluster the rows of ``X``.

        Parameters
        ----------
        X : CSR, array or data frame of shape (n, n_features)
            Float32 and float64 are computed in as they are, other numbers in float64.
        y : ignored
        sample_weight : array of shape (n,), optional
        """
        names = feature_names(X)
        checked = check_rows(X)
        n, n_features = checked.shape
        plan = self._plan(n, n_features)
        weight = check_weight(sample_weight, n)
        backend, reason = choose(self.backend)
        rows = backend.matrix(checked)  # on the device once and for all
        prepared = prepare(backend, rows, weight)
        best: _Run | None = None
        for _ in range(plan.starts):
            run = _Run(prepared, self.callback)
            run.settle(backend, plan)
            if best is None or run.inertia < best.inertia:
                best = run
            if run.stopped:
                break
        assert best is not None
        # In the rows' own place again; the labels are those that `predict` gives from here.
        centers = prepared.back(best.centers).astype(rows.dtype, copy=False)
        labels = nearest(backend, rows, centers)
        squared = squared_distances(backend, rows, centers, labels)
        _warn_if_fewer(labels, plan.k)
        self.cluster_centers_ = centers
        self.labels_ = labels
        self.inertia_ = float(squared.sum() if weight is None else product(squared, weight))
        self.n_iter_ = best.n_iter
        self.history_ = best.history
        self.n_features_in_ = n_features
        self.backend_ = backend.name
        self.backend_reason_ = reason
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def _plan(self, n: int, n_features: int) -> _Plan:
        """Check all arguments against each other and the rows' shape."""
        k = check_integer("n_clusters", self.n_clusters, 1)
        if n < k:
            raise InvalidParam(f"n_samples={n} should be >= n_clusters={k}.")
        init: Any = self.init
        if isinstance(init, str):
            if init not in seeding.INITS:
                raise InvalidParam(
                    f"init must be one of {', '.join(seeding.INITS)} or an array, got {init!r}"
                )
        else:
            init = self._check_init(init)
            if init.shape != (k, n_features):
                raise InvalidParam(
                    f"the initial centers have shape {init.shape}, but n_clusters={k} and "
                    f"{n_features} features need {(k, n_features)}"
                )
        if self.callback is not None and not callable(self.callback):
            raise InvalidParam(f"callback must be callable or None, got {self.callback!r}")
        if self.algorithm not in ALGORITHMS:
            raise InvalidParam(
                f"algorithm must be one of {', '.join(ALGORITHMS)}, got {self.algorithm!r}"
            )
        if isinstance(self.n_init, str) and self.n_init == "auto":
            starts = 10 if isinstance(init, str) and init == "random" else 1
        else:
            starts = check_integer("n_init", self.n_init, 1)
        if not isinstance(init, str):
            starts = 1
        return _Plan(
            k=k,
            init=init,
            starts=starts,
            max_iter=check_integer("max_iter", self.max_iter, 1),
            tol=check_number("tol", self.tol, 0.0),
            rng=generator(self.random_state),
            moves=self.algorithm == "hartigan",
        )

    @staticmethod
    def _check_init(init: Any) -> NDArray[Any]:
        try:
            checked = check_rows(init)
            return np.asarray(checked.get() if hasattr(checked, "get") else checked)
        except (InputError, TypeError) as error:
            raise InvalidParam(
                f"init must be one of {', '.join(seeding.INITS)} or an array of centroids: {error}"
            ) from None

    # -- using ------------------------------------------------------------------------

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.int32]:
        """Cluster the rows and return their labels."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[Any]:
        """Cluster the rows and return their distances to the centroids."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Return the nearest centroid of each row, ties to the lowest index; shape (n,), int32."""
        host = self._check_new(X)
        return nearest(self._fitted_backend(), host, self._centers_as(host))

    def transform(self, X: Any) -> NDArray[Any]:
        """Return Euclidean distances of the rows to the centroids, shape (n, n_clusters)."""
        host = self._check_new(X)
        out = all_distances(self._fitted_backend(), host, self._centers_as(host))
        return out.astype(host.dtype)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the negative inertia of the rows under the fitted centroids."""
        host = self._check_new(X)
        weight = check_weight(sample_weight, host.shape[0])
        backend, centers = self._fitted_backend(), self._centers_as(host)
        labels = nearest(backend, host, centers)
        squared = squared_distances(backend, host, centers, labels)
        return -float(squared.sum() if weight is None else product(squared, weight))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return ``["kmeans0", "kmeans1", ...]``, one name for each column of ``transform``."""
        self._require_fitted()
        count = len(self.cluster_centers_)
        return np.array([f"kmeans{i}" for i in range(count)], dtype=object)

    def _fitted_backend(self) -> Backend:
        """Return the backend that fitted: nothing switches after the fit."""
        fitted: Any = self.backend if not isinstance(self.backend, str) else self.backend_
        return resolve(fitted)

    def _check_new(self, X: Any) -> Any:
        self._require_fitted()
        host = check_rows(X)
        fitted = getattr(self, "feature_names_in_", None)
        check_features(host, feature_names(X), self.n_features_in_, fitted, "KMeans")
        return host

    def _centers_as(self, host: Any) -> NDArray[Any]:
        return self.cluster_centers_.astype(host.dtype, copy=False)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, TransformerTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "clusterer"
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        tags.input_tags = InputTags(sparse=True)
        return tags


@dataclass(frozen=True, slots=True)
class _Plan:
    """The arguments of a fit, checked."""

    k: int
    init: str | NDArray[Any]
    starts: int
    max_iter: int
    tol: float
    rng: np.random.Generator
    moves: bool


class _Run:
    """One start, brought to rest; keeps the history and asks the callback."""

    def __init__(self, prepared: Prepared, callback: Callback | None) -> None:
        self.prepared = prepared
        self.callback = callback
        self.history: list[Progress] = []
        self.n_iter = 0
        self.stopped = False

    def report(self, stage: Any, inertia: float, moved: int, iterations: int = 1) -> bool:
        if stage != "sketch":
            self.n_iter += iterations
        given = self.prepared.inertia(max(inertia, 0.0))
        self.history.append(Progress(stage, self.n_iter, given, moved))
        if self.callback is not None and self.callback(self.history[-1]):
            self.stopped = True
        return self.stopped

    def settle(self, backend: Backend, plan: _Plan) -> None:
        """Start, settle, and move single rows until nothing is left to gain."""
        rows = self.prepared.rows
        init = plan.init if isinstance(plan.init, str) else self.prepared.into(plan.init)
        clusters = seeding.start(backend, rows, plan.k, init, plan.rng, self.report)
        if not self.stopped:
            clusters = self._settle_from(backend, plan, clusters)
        self.centers = backend.centroids(clusters)
        self.inertia = rows.weighted(rows.squared_norms) - clusters.explained()

    def _settle_from(self, backend: Backend, plan: _Plan, clusters: Clusters) -> Clusters:
        rows, report = self.prepared.rows, self.report
        if not plan.moves:
            tol = plan.tol * self.prepared.mean_variance
            return lloyd(
                backend, rows, clusters, max_iter=plan.max_iter, tol=tol, report=report
            ).clusters
        if hasattr(rows.matrix, "indptr"):
            few = min(SETTLING, plan.max_iter)
            done = lloyd(backend, rows, clusters, max_iter=few, tol=0, report=report)
        else:
            done = self._settle_by_library(backend, plan, clusters)
        left = plan.max_iter - done.n_iter
        if left and not done.stopped and isinstance(plan.init, str):
            labels = done.labels
            del done  # and its sums, which are as wide as the next stage's own
            done = breathe(
                backend, rows, labels, plan.k, max_iter=left, rng=plan.rng, report=report
            )
            left -= done.n_iter
        if left > 0 and not done.stopped:
            done = hartigan(backend, rows, done.labels, plan.k, max_iter=left, report=report)
        return done.clusters

    def _settle_by_library(self, backend: Backend, plan: _Plan, clusters: Clusters) -> Settled:
        """The library's k-means, which says nothing between its iterations."""
        rows = self.prepared.rows
        few = min(LIBRARY_ITERATIONS, plan.max_iter)
        init = backend.centroids(clusters)
        labels, _ = library_kmeans(backend, rows.matrix, init, few, rows.weight)
        means = backend.cluster_sums(rows.matrix, labels, plan.k, rows.weight)
        inertia = rows.weighted(rows.squared_norms) - means.explained()
        stopped = self.report("lloyd", inertia, len(labels), iterations=few)
        return Settled(labels, means, few, stopped)


def _warn_if_fewer(labels: NDArray[np.int32], k: int) -> None:
    found = len(np.unique(labels))
    if found < k:
        warnings.warn(
            f"Number of distinct clusters ({found}) found smaller than n_clusters ({k}). "
            "Possibly due to duplicate rows in X, rows of weight 0, or an early stop",
            FewerClustersWarning,
            stacklevel=3,
        )
