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
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.estimator import Estimator
from gpu_kmeans.hartigan import hartigan
from gpu_kmeans.lloyd import Rows, Settled, lloyd
from gpu_kmeans.protocol import Backend, Callback, Progress
from gpu_kmeans.validation import (
    check_features,
    check_integer,
    check_number,
    check_rows,
    check_weight,
    feature_names,
    generator,
)

__all__ = ["DistinctRowsWarning", "KMeans"]

ALGORITHMS = ("hartigan", "lloyd")
SETTLING = 3
"""Lloyd iterations before Hartigan's moves: enough to leave a far start, and no more, since a
pass of moves costs the same and gains more (64,000 texts, k = 100 and 1000)."""

LIBRARY_ITERATIONS = 10
"""Iterations of the library's own k-means on dense rows before Hartigan's moves."""


class DistinctRowsWarning(UserWarning):
    """There are fewer distinct rows than clusters were asked for."""


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
        labels, whatever the number of threads.
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
    Memory beside the rows: one more copy of them while Hartigan's moves run, and three arrays of
    ``n_features * n_clusters`` numbers of the rows' dtype (sums, the sums before, and
    ``cluster_centers_``), and 32 float32 a row for the sketch. Dense rows are centred in a copy.
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
        host = check_rows(X)
        n, n_features = host.shape
        plan = self._plan(n, n_features)
        weight = check_weight(sample_weight, n)
        backend, reason = choose(self.backend)
        rows, offset = _prepare(backend, host, weight)
        best: _Run | None = None
        for _ in range(plan.starts):
            run = _Run(self.callback)
            run.settle(backend, rows, plan, offset)
            if best is None or run.inertia < best.inertia:
                best = run
            if run.stopped:
                break
        assert best is not None
        # In the rows' own place again; the labels are those that `predict` gives from here.
        centers = (best.centers + offset).astype(rows.matrix.dtype)
        labels = _nearest(backend, host, centers)
        squared = _distances(backend, host, centers, labels)
        _warn_if_fewer(labels, plan.k)
        self.cluster_centers_ = centers
        self.labels_ = labels
        self.inertia_ = rows.weighted(squared)
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
            init = np.asarray(check_rows(init))
            if init.shape != (k, n_features):
                raise InvalidParam(
                    f"the initial centers have shape {init.shape}, but n_clusters={k} and "
                    f"{n_features} features need {(k, n_features)}"
                )
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
        return _nearest(self._fitted_backend(), host, self._centers_as(host))

    def transform(self, X: Any) -> NDArray[Any]:
        """Return Euclidean distances of the rows to the centroids, shape (n, n_clusters)."""
        host = self._check_new(X)
        backend = self._fitted_backend()
        rows, centers = _centred(backend, host, self._centers_as(host))
        products = backend.to_host(backend.project(rows, centers.T)).astype(np.float64)
        squared = backend.squared_norms(rows)[:, None] - 2 * products
        squared += np.square(centers, dtype=np.float64).sum(axis=1)
        out: NDArray[Any] = np.sqrt(np.maximum(squared, 0)).astype(host.dtype)
        return out

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the negative inertia of the rows under the fitted centroids."""
        host = self._check_new(X)
        weight = check_weight(sample_weight, host.shape[0])
        backend, centers = self._fitted_backend(), self._centers_as(host)
        squared = _distances(backend, host, centers, _nearest(backend, host, centers))
        return -float(squared.sum() if weight is None else squared @ weight)

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
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="clusterer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float64", "float32"]),
            input_tags=InputTags(sparse=True),
        )


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

    def __init__(self, callback: Callback | None) -> None:
        self.callback = callback
        self.history: list[Progress] = []
        self.n_iter = 0
        self.stopped = False

    def report(self, stage: Any, inertia: float, moved: int) -> bool:
        if stage != "sketch":
            self.n_iter += 1
        progress = Progress(stage, self.n_iter, max(inertia, 0.0), moved)
        self.history.append(progress)
        if self.callback is not None and self.callback(progress):
            self.stopped = True
        return self.stopped

    def settle(self, backend: Backend, rows: Rows, plan: _Plan, offset: Any) -> None:
        """Start, settle, and move single rows until nothing is left to gain."""
        init = plan.init if isinstance(plan.init, str) else plan.init - offset
        clusters = seeding.start(backend, rows, plan.k, init, plan.rng, self.report)
        if not plan.moves:
            tol = plan.tol * _mean_variance(backend, rows)
            done = lloyd(
                backend, rows, clusters, max_iter=plan.max_iter, tol=tol, report=self.report
            )
        else:
            done = self._settle_and_move(backend, rows, plan, clusters)
        self.centers = backend.centroids(done.clusters)
        self.inertia = rows.weighted(rows.squared_norms) - done.clusters.explained()

    def _settle_and_move(self, backend: Backend, rows: Rows, plan: _Plan, clusters: Any) -> Settled:
        if hasattr(rows.matrix, "indptr"):
            few = min(SETTLING, plan.max_iter)
            done = lloyd(backend, rows, clusters, max_iter=few, tol=0, report=self.report)
        else:
            init = backend.centroids(clusters)
            few = min(LIBRARY_ITERATIONS, plan.max_iter)
            labels, inertia = backend.dense_kmeans(rows.matrix, init, few, rows.weight)
            stopped = self.report("lloyd", inertia, len(labels))
            self.n_iter += few - 1  # the library says nothing in between
            means = backend.cluster_sums(rows.matrix, labels, plan.k, rows.weight)
            done = Settled(labels, means, few, stopped)
        left = plan.max_iter - done.n_iter
        if left and not done.stopped and isinstance(plan.init, str):
            done = breathe(
                backend,
                rows,
                done.labels,
                plan.k,
                max_iter=left,
                rng=plan.rng,
                report=self.report,
            )
            left -= done.n_iter
        if left <= 0 or done.stopped:
            return done
        return hartigan(backend, rows, done.labels, plan.k, max_iter=left, report=self.report)


def _prepare(backend: Backend, host: Any, weight: NDArray[np.float64] | None) -> tuple[Rows, Any]:
    """Bring the rows to the backend; dense ones around their mean, for float32's sake."""
    matrix = backend.matrix(host)
    offset: Any = 0
    if not hasattr(matrix, "indptr"):
        one = np.zeros(matrix.shape[0], dtype=np.int32)
        offset = backend.centroids(backend.cluster_sums(matrix, one, 1))[0]
        matrix = matrix - backend.matrix(offset[None, :])
    return Rows(matrix, backend.squared_norms(matrix), weight), offset


def _centred(backend: Backend, host: Any, centers: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
    """Rows on the backend and centroids, both around the centroids' mean where rows are dense."""
    matrix = backend.matrix(host)
    if hasattr(matrix, "indptr"):
        return matrix, centers
    offset = centers.mean(axis=0, dtype=np.float64).astype(centers.dtype)
    return matrix - backend.matrix(offset[None, :]), centers - offset


def _nearest(backend: Backend, host: Any, centers: NDArray[Any]) -> NDArray[np.int32]:
    matrix, around = _centred(backend, host, centers)
    return backend.assign(matrix, backend.clusters_from(around, matrix.dtype)).nearest


def _distances(
    backend: Backend, host: Any, centers: NDArray[Any], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    return backend.distances(backend.matrix(host), centers, labels)


def _mean_variance(backend: Backend, rows: Rows) -> float:
    """Mean over the features of their variance over the rows, unweighted as in scikit-learn."""
    n, n_features = rows.matrix.shape
    all_rows = backend.cluster_sums(rows.matrix, np.zeros(n, dtype=np.int32), 1)
    mean_square = rows.squared_norms.sum() / n
    return float(max(mean_square - all_rows.squared_norms[0] / n**2, 0) / n_features)


def _warn_if_fewer(labels: NDArray[np.int32], k: int) -> None:
    found = len(np.unique(labels))
    if found < k:
        warnings.warn(
            f"Number of distinct clusters ({found}) found smaller than n_clusters ({k}): "
            "there are not enough distinct rows",
            DistinctRowsWarning,
            stacklevel=3,
        )
