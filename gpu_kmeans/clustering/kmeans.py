"""KMeans with scikit-learn's conventions, on sparse and dense rows, on any backend."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Callback, Clusters, Matrix, Progress
from gpu_kmeans.backends.select import BackendSpec, choose, resolve
from gpu_kmeans.clustering import init as seeding
from gpu_kmeans.clustering.breathing import breathe
from gpu_kmeans.clustering.dense_start import settle_dense
from gpu_kmeans.clustering.distances import all_distances, nearest, squared_distances
from gpu_kmeans.clustering.hartigan import hartigan
from gpu_kmeans.clustering.init_param import call_init, check_init, count_starts
from gpu_kmeans.clustering.lloyd import StageResult, library_kmeans, lloyd
from gpu_kmeans.clustering.minibatch import minibatch
from gpu_kmeans.clustering.narration import Narrator
from gpu_kmeans.clustering.scaling import ScaledRows, is_drowned, is_sparse, scale_rows
from gpu_kmeans.errors import InvalidParam, shown
from gpu_kmeans.estimator import Estimator, become, join_scikit_learn
from gpu_kmeans.forking import product
from gpu_kmeans.validation import (
    check_centers,
    check_flag,
    check_input_features,
    check_integer,
    check_named_rows,
    check_new_rows,
    check_number,
    check_weight,
    generator,
)

__all__ = ["FewerClustersWarning", "KMeans"]

ALGORITHMS = ("hartigan", "lloyd", "elkan", "minibatch")
SETTLING = 3
"""Number of Lloyd iterations before Hartigan's moves: enough to leave a far start; a pass of
moves costs the same and gains more (64,000 texts, k = 100 and 1000)."""

LIBRARY_ITERATIONS = 10
"""Number of iterations of the library's own k-means on dense rows before Hartigan's moves."""


class _FitWarning(UserWarning):
    """Base of a fit's own warnings."""


class FewerClustersWarning(_FitWarning):
    """Fewer clusters have rows than were asked for, as when rows repeat.

    Also scikit-learn's ``ConvergenceWarning`` where that is loaded.
    """


class KMeans(Estimator):
    """K-means clustering, exact, of sparse rows (CSR, never made dense) or dense ones.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"auto", "sketch", "k-means++", "random"}, array or callable, default "auto"
        Where the first centroids come from; see :mod:`gpu_kmeans.clustering.init`. An array, a
        sparse one or a data frame has shape (n_clusters, n_features). A callable is called with the
        rows, ``n_clusters`` and ``random_state`` (a ``numpy.random.RandomState``) at each start,
        and returns such an array.
    n_init : int or "auto", default "auto"
        Independent starts, of which the one with the lowest inertia is kept. "auto" is 10 for
        ``init="random"`` or a callable, and 1 otherwise.
    max_iter : int, default 300
        Iterations over all rows of one start, of both stages together.
    tol : float, default 1e-4
        Lloyd stops when the summed squared shift of the centroids is at most ``tol`` times the
        mean variance of the features (scikit-learn's scaling). Hartigan's moves of sparse rows, and
        of dense ones from a given start, go on until none is left that lowers the inertia; those of
        dense rows from a drawn start as long as a pass saves a ten-thousandth of it.
    verbose : int, default 0
        Above 0, each iteration is printed, as scikit-learn does.
    random_state : int, RandomState, Generator or None
        Source of all draws, made on the host; None draws from NumPy's global state, which
        ``numpy.random.seed`` sets. The same seed on the same backend gives the same
        labels, whatever the number of threads; on a GPU as far as cuML, which clusters the sketch
        and dense rows there, repeats itself.
    copy_x : bool, default True
        As in scikit-learn, where False lets the rows be written to while the fit runs. Here they
        never are, and nothing depends on it.
    algorithm : {"hartigan", "lloyd", "elkan", "minibatch"}, default "hartigan"
        "hartigan" fits dense rows from a drawn start on a sample, and then all of them; see
        :mod:`gpu_kmeans.clustering.dense_start`. Otherwise it lets Lloyd (sparse rows) or the
        library's k-means (dense rows) settle for a few
        iterations, exchanges clusters (only from a drawn start, see
        :mod:`gpu_kmeans.clustering.breathing`) and then moves single rows until no move lowers the
        inertia: lower inertia than Lloyd from any start, see :mod:`gpu_kmeans.clustering.hartigan`.
        "lloyd" is scikit-learn's algorithm, for comparisons; "elkan", which computes the same in
        another way, is another name for it. "minibatch" settles a sample, which grows to all rows:
        sooner done, at a higher inertia, see :mod:`gpu_kmeans.clustering.minibatch`.
    backend : {"auto", "cpu", "gpu", "dask"}, a Backend or a distributed.Client, default "auto"
        "dask" takes the client that was made last, see :mod:`gpu_kmeans.distributed`.
    callback : callable, optional
        Called with a :class:`~gpu_kmeans.backends.protocol.Progress` after each iteration; a true
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
        Iterations of the kept start.
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

    _estimator_type = "clusterer"
    """Kind of estimator, for older libraries around scikit-learn, which know no tags."""

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Literal["auto", "sketch", "k-means++", "random"] | Any = "auto",
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: Literal["hartigan", "lloyd", "elkan", "minibatch"] = "hartigan",
        backend: BackendSpec = "auto",
        callback: Callback | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
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
        join_scikit_learn()
        checked, names = check_named_rows(X)
        n, n_features = checked.shape
        plan = self._plan(n, n_features)
        if callable(plan.init):
            plan = replace(plan, init=partial(call_init, plan.init, checked, plan.k, plan.rng))
        narrator = Narrator(plan.callback) if self.verbose else None
        if narrator is not None:
            plan = replace(plan, callback=narrator)
        weight = check_weight(sample_weight, n)
        backend, reason = choose(self.backend)
        rows = backend.matrix(checked)  # on the device once and for all
        result = self._best_of(backend, rows, plan, scale_rows(backend, rows, weight))
        if result.run.is_drowned and result.inertia > 0 and not result.run.stopped:
            del result
            wide = scale_rows(backend, rows, weight, wide=True)
            result = self._best_of(backend, rows, plan, wide)
        best = result.run
        if narrator is not None:
            narrator.end(best.history, plan.max_iter, plan.tol)
        _warn_if_fewer(result.labels, plan.k)
        self.cluster_centers_ = result.centers
        self.labels_ = result.labels
        self.inertia_ = result.inertia
        self.n_iter_ = best.n_iter
        self.history_ = best.history
        self.n_features_in_ = n_features
        self._n_features_out = plan.k
        self._seen = np.bincount(result.labels, weights=weight, minlength=plan.k).astype(float)
        self._n_init = plan.starts
        self.backend_ = backend.name
        self.backend_reason_ = reason
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Go on with more rows: each moves the centroid that it is nearest to.

        The first rows are fitted. Those that follow are assigned to the centroids as they are, and
        these become the means of all rows that they have had so far. Clusters keep their numbers.
        ``labels_``, ``inertia_`` and ``n_iter_`` are those of the last rows.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`; the first rows are at least ``n_clusters``.
        """
        if not hasattr(self, "cluster_centers_"):
            return self.fit(X, sample_weight=sample_weight)
        host, centers = self._check_new(X)
        weight = check_weight(sample_weight, host.shape[0])
        backend = self._fitted_backend()
        labels = nearest(backend, host, centers)
        k = len(centers)
        clusters = backend.cluster_sums(backend.matrix(host), labels, k, weight)
        means = backend.centroids(clusters)
        total = self._seen + clusters.weight
        share = np.divide(clusters.weight, total, out=np.zeros(k), where=total > 0)[:, None]
        # Centroids of words are many numbers: in few arrays, and no wider than they are.
        means *= share.astype(means.dtype)
        self.cluster_centers_ = self.cluster_centers_ * (1 - share).astype(means.dtype)
        self.cluster_centers_ += means.astype(self.cluster_centers_.dtype, copy=False)
        self._seen = total
        squared = squared_distances(backend, host, centers, labels)
        self.labels_ = labels
        self.inertia_ = float(squared.sum() if weight is None else product(squared, weight))
        self.n_iter_ = 1
        self.history_ = []
        return self

    def _best_of(self, backend: Backend, rows: Matrix, plan: _Plan, scaled: ScaledRows) -> _Result:
        """Run all starts and keep the best, in the rows' own units again."""
        best: _Run | None = None
        for _ in range(plan.starts):
            run = _Run(scaled, plan.callback)
            run.start_and_settle(backend, plan)
            if best is None or run.inertia < best.inertia:
                best = run
            if run.stopped or run.is_drowned:
                break
        assert best is not None
        best_inertia = max(best.inertia, 0.0)
        centers = scaled.from_scaled(best.centers, best.weight, best_inertia, rows.dtype)
        labels = nearest(backend, rows, centers)  # as `predict` gives them
        squared = squared_distances(backend, rows, centers, labels) * scaled.scale * scaled.scale
        return _Result(best, centers, labels, scaled.rows.weighted(squared))

    def _plan(self, n: int, n_features: int) -> _Plan:
        """Check all arguments against each other and the rows' shape."""
        k = check_integer("n_clusters", self.n_clusters, 1)
        if n < k:
            raise InvalidParam(f"n_samples={n} should be >= n_clusters={k}.")
        init = check_init(self.init, k, n_features)
        if self.callback is not None and not callable(self.callback):
            raise InvalidParam(f"callback must be callable or None, got {shown(self.callback)}")
        algorithm: Any = self.algorithm
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise InvalidParam(
                f"algorithm must be one of {', '.join(ALGORITHMS)}, got {shown(algorithm)}"
            )
        if algorithm == "elkan" and k == 1:
            warnings.warn(
                "algorithm='elkan' doesn't make sense for a single cluster: it is 'lloyd'",
                RuntimeWarning,
                stacklevel=3,
            )
        check_flag("verbose", self.verbose)
        check_flag("copy_x", self.copy_x)
        return _Plan(
            k=k,
            init=init,
            starts=count_starts(self.n_init, init),
            max_iter=check_integer("max_iter", self.max_iter, 1),
            tol=check_number("tol", self.tol, 0.0),
            rng=generator(self.random_state),
            moves=self.algorithm in ("hartigan", "minibatch"),
            grows=self.algorithm == "minibatch",
            callback=self.callback,
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
        host, centers = self._check_new(X)
        return nearest(self._fitted_backend(), host, centers)

    def transform(self, X: Any) -> NDArray[Any]:
        """Return Euclidean distances of the rows to the centroids, shape (n, n_clusters)."""
        host, centers = self._check_new(X)
        out = all_distances(self._fitted_backend(), host, centers)
        return out.astype(host.dtype)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the negative inertia of the rows under the fitted centroids."""
        host, centers = self._check_new(X)
        weight = check_weight(sample_weight, host.shape[0])
        backend = self._fitted_backend()
        labels = nearest(backend, host, centers)
        squared = squared_distances(backend, host, centers, labels)
        return -float(squared.sum() if weight is None else product(squared, weight))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return ``["kmeans0", "kmeans1", ...]``, one name for each column of ``transform``.

        Raises
        ------
        FeatureMismatch
            ``input_features`` are not the features of the fit.
        """
        self._require_fitted()
        fitted = getattr(self, "feature_names_in_", None)
        check_input_features(input_features, fitted, self.n_features_in_)
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self._n_features_out)], dtype=object)

    def _fitted_backend(self) -> Backend:
        """Return the backend that fitted: nothing switches after the fit."""
        fitted: Any = self.backend if not isinstance(self.backend, str) else self.backend_
        return resolve(fitted)

    def _check_new(self, X: Any) -> tuple[Any, NDArray[Any]]:
        """Return the rows and the centers, in one dtype, held to each other and to the fit."""
        self._require_fitted()
        fitted = getattr(self, "feature_names_in_", None)
        host = check_new_rows(X, self.n_features_in_, fitted, type(self).__name__)
        made = self._n_features_out, self.n_features_in_
        return host, check_centers(self.cluster_centers_, *made, host.dtype)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, TransformerTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "clusterer"
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        tags.input_tags = InputTags(sparse=True)
        return tags


@dataclass(frozen=True, slots=True)
class _Result:
    """The best start, its centroids and labels in the rows' own units, and its inertia."""

    run: _Run
    centers: NDArray[Any]
    labels: NDArray[np.int32]
    scaled_inertia: float

    @property
    def inertia(self) -> float:
        return self.run.scaled.inertia(self.scaled_inertia)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The arguments of a fit, checked."""

    k: int
    init: str | NDArray[Any] | Callable[..., NDArray[Any]]
    starts: int
    max_iter: int
    tol: float
    rng: np.random.Generator
    moves: bool
    grows: bool
    callback: Callback | None

    @property
    def draws(self) -> bool:
        """Whether exchanges follow a start that is ours to choose."""
        return self.moves and isinstance(self.init, str) and self.init == "auto"

    def start(self) -> str | NDArray[Any]:
        """Name the way to the first centroids, or give them."""
        return self.init() if callable(self.init) else self.init


class _Run:
    """One start, brought to rest; keeps the history and asks the callback."""

    def __init__(self, scaled: ScaledRows, callback: Callback | None) -> None:
        self.scaled = scaled
        self.callback = callback
        self.history: list[Progress] = []
        self.n_iter = 0
        self.stopped = False
        self.is_drowned = False
        """Whether the rows' precision was too low for what was found, see :mod:`.scaling`."""

    def report(self, stage: Any, inertia: float, moved: int, iterations: int = 1) -> bool:
        if stage != "sketch":
            self.n_iter += iterations
        unscaled = self.scaled.inertia(max(inertia, 0.0))
        self.history.append(Progress(stage, self.n_iter, unscaled, moved))
        if self.callback is not None and self.callback(self.history[-1]):
            self.stopped = True
        return self.stopped

    def start_and_settle(self, backend: Backend, plan: _Plan) -> None:
        """Start, settle, and move single rows until nothing is left to gain."""
        rows, start = self.scaled.rows, plan.start()
        if isinstance(start, str):
            init: Any = seeding.chosen(start, rows, plan.moves)
        else:
            init = self.scaled.to_scaled(start)
        settled: StageResult | None = None
        if plan.grows:
            settled = minibatch(
                *(backend, rows, plan.k, init),
                max_iter=plan.max_iter,
                rng=plan.rng,
                report=self.report,
            )
        elif plan.draws and not (is_sparse(rows.matrix) or rows.wide):
            settled = settle_dense(
                *(backend, rows, plan.k),
                max_iter=plan.max_iter,
                tol=plan.tol * self.scaled.mean_variance,
                rng=plan.rng,
                report=self.report,
            )
        else:
            clusters = seeding.start(backend, rows, plan.k, init, plan.rng, self.report)
            if not self.stopped:
                settled = self._settle_from(backend, plan, clusters)
        if settled is None:
            self.inertia = rows.total - clusters.explained()
        else:
            clusters = settled.clusters
            self.inertia = rows.inertia(clusters, settled.labels)
            self.is_drowned = is_drowned(self.scaled, self.inertia)
        self.centers = backend.centroids(clusters)
        self.weight = clusters.weight

    def _settle_from(self, backend: Backend, plan: _Plan, clusters: Clusters) -> StageResult:
        rows, report = self.scaled.rows, self.report
        if not plan.moves:
            tol = plan.tol * self.scaled.mean_variance
            return lloyd(backend, rows, clusters, max_iter=plan.max_iter, tol=tol, report=report)
        if is_sparse(rows.matrix) or rows.wide:  # the library's k-means has single precision
            few = min(SETTLING, plan.max_iter)
            done = lloyd(backend, rows, clusters, max_iter=few, tol=0, report=report)
        else:
            done = self._settle_by_library(backend, plan, clusters)
        remaining = plan.max_iter - done.n_iter
        if is_drowned(self.scaled, rows.inertia(done.clusters, done.labels)):
            return done
        if remaining and not done.stopped and isinstance(plan.init, str):
            labels = done.labels
            del done  # and its sums, which are as wide as the next stage's own
            done = breathe(
                backend, rows, labels, plan.k, max_iter=remaining, rng=plan.rng, report=report
            )
            remaining -= done.n_iter
        if remaining > 0 and not done.stopped:
            done = hartigan(backend, rows, done.labels, plan.k, max_iter=remaining, report=report)
        return done

    def _settle_by_library(self, backend: Backend, plan: _Plan, clusters: Clusters) -> StageResult:
        """The library's k-means, which says nothing between its iterations."""
        rows = self.scaled.rows
        few = min(LIBRARY_ITERATIONS, plan.max_iter)
        init = backend.centroids(clusters)
        labels, n_iter = library_kmeans(backend, rows.matrix, init, few, rows.weight)
        means = backend.cluster_sums(rows.matrix, labels, plan.k, rows.weight)
        inertia = rows.inertia(means, labels)
        stopped = self.report("lloyd", inertia, len(labels), iterations=n_iter)
        return StageResult(labels, means, n_iter, stopped)


def _warn_if_fewer(labels: NDArray[np.int32], k: int) -> None:
    n_distinct = np.count_nonzero(np.bincount(labels, minlength=k))
    if n_distinct < k:
        warnings.warn(
            f"Number of distinct clusters ({n_distinct}) found smaller than n_clusters ({k}). "
            "Possibly due to duplicate points in X, points of weight 0, or an early stop",
            FewerClustersWarning,
            stacklevel=3,
        )


become(KMeans, "sklearn.base", "TransformerMixin", "ClusterMixin", "BaseEstimator")
become(FewerClustersWarning, "sklearn.exceptions", "ConvergenceWarning")
