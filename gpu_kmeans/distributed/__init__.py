"""The Dask backend: parts of sparse rows on workers, each of which reckons with its own.

What is above the seam is the same as on one machine, and so are the draws. Workers hold the rows
and a copy of the clusters' sums. To assign rows each worker is sent the moves since it was last
asked, and answers with labels and costs; rows that move come to the client and go to all workers
from there. Sums are formed from whole multiples of a unit, as 64-bit integers: the same in any
order, so that labels do not depend on how many workers there are.

Dense rows, tables and texts are read where the client is. A few rows that are looked at by
themselves, as those of one cluster when it is split, come to the client.

Only this package imports Dask, and only :mod:`gpu_kmeans.backends.select` imports this package.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from importlib import import_module
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_kmeans.backends.protocol import (
    Assignment,
    Backend,
    Clusters,
    DenseFit,
    Drift,
    IntArray,
    Iterations,
    Matrix,
)
from gpu_kmeans.distributed.pool import Pool
from gpu_kmeans.distributed.rows import DaskRows
from gpu_kmeans.distributed.sums import DaskSums, unit_of
from gpu_kmeans.distributed.texts import TextPart, files_of, fitted
from gpu_kmeans.distributed.worker import Base, Form, Move, clusters_of, drop
from gpu_kmeans.errors import InputError, InvalidParam, UnsupportedOnBackend, shown
from gpu_kmeans.features.tfidf import TfidfVectorizer
from gpu_kmeans.validation import check_rows

__all__ = ["DaskBackend"]

PARTS_A_WORKER, SMALLEST_PART = 32, 64
"""Number of parts for each worker that rows of the client are cut into, and minimum number of rows
of one. Neighbours lie on different workers, as they are looked at together."""
FOLLOWS = 32
"""Minimum number of rows for each that moves, at which sums follow moves: see ``Clusters``."""


class DaskBackend:
    """Implements :class:`gpu_kmeans.backends.protocol.Backend` over the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Its workers have this package installed, in this version.
    """

    name = "dask"
    updates_bounds = False  # they would travel for every row

    def __init__(self, client: Any) -> None:
        if not hasattr(client, "scheduler_info") or not hasattr(client, "run"):
            raise InvalidParam(f"client must be a distributed.Client, got {shown(client)}")
        self.client = client
        # By its name, as the switch imports this package.
        self.local: Backend = import_module("gpu_kmeans.backends.select").resolve("cpu")
        self._stale: list[str] = []

    # -- rows ------------------------------------------------------------------------------

    def rows(self, parts: Sequence[Any]) -> DaskRows:
        """Hand parts of sparse rows to the workers: those of ``KMeans.fit`` and ``predict``.

        Parameters
        ----------
        parts : sequence of CSR of shape (n_part, n_features)
            One after the other. They stay here, too, to be sent again where a worker is lost.

        Raises
        ------
        InputError
            Rows that cannot be clustered, or parts of different widths.
        UnsupportedOnBackend
            Dense rows.
        WorkersLost
            The cluster has no worker.
        """
        listed: Any = parts
        if not isinstance(listed, (list, tuple)) or not listed:
            raise InvalidParam(f"parts must be a list of CSR matrices, got {shown(parts)}")
        checked = [_check_part(part, number) for number, part in enumerate(parts)]
        widths = [part.shape[1] for part in checked]
        for number, width in enumerate(widths):
            if width != widths[0]:
                raise InvalidParam(
                    f"parts[{number}] has {width} features, and parts[0] has {widths[0]}"
                )
        dtype = np.result_type(*[part.dtype for part in checked])
        checked = [part.astype(dtype, copy=False) for part in checked]
        self._drop_stale()
        pool = self._pool(checked, [part.shape[0] for part in checked])
        lengths = np.concatenate([np.diff(part.indptr) for part in checked])
        indptr = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        least = min(float(part.data.min(initial=0)) for part in checked)
        most = max(float(part.data.max(initial=0)) for part in checked)
        return DaskRows(pool, Form(1.0, dtype.name), indptr, widths[0], (least, most), self._take)

    def read_texts(
        self, files: str | PathLike[str] | Sequence[str | PathLike[str]], column: str, **params: Any
    ) -> tuple[TfidfVectorizer, DaskRows]:
        """Weigh the texts of many files where they are read: on the workers.

        Parameters
        ----------
        files : path or sequence of path
            A pattern such as ``"data/*.parquet"``, or paths, in the order of the rows. CSV, Parquet
            and the other tables; each worker must see them under these names.
        column : str
            Name of the texts' column. Missing texts are empty ones.
        params
            Arguments of :class:`~gpu_kmeans.features.tfidf.TfidfVectorizer`.

        Returns
        -------
        (TfidfVectorizer, DaskRows)
            Fitted as on one machine, and the rows of all texts, one file after the other.

        Raises
        ------
        InputError
            A file or its column cannot be used, or no term is left.
        UnsupportedOnBackend
            ``weighting="log-entropy"``.
        """
        paths = files_of(files)
        vectorizer, counts = fitted(self.client, paths, column, params, self.local)
        parts = [TextPart(path, column, vectorizer) for path in paths]
        self._drop_stale()
        pool = self._pool(parts, counts)
        form = Form(1.0, np.dtype(vectorizer.dtype).name)
        lengths, extremes = np.empty(sum(counts), np.int64), [0.0, 0.0]
        for positions, (its_lengths, least, most) in pool.step("about", form, None, lambda _: ()):
            lengths[positions] = its_lengths
            extremes = [min(extremes[0], least), max(extremes[1], most)]
        indptr = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        width = len(vectorizer.vocabulary_)
        return vectorizer, DaskRows(
            pool, form, indptr, width, (extremes[0], extremes[1]), self._take
        )

    def _pool(self, parts: Sequence[Any], lengths: Sequence[int]) -> Pool:
        pool = Pool(self.client, self.local, parts.__getitem__, lengths)
        weakref.finalize(pool, self._stale.append, pool.session).atexit = False
        return pool

    def matrix(self, rows: Any) -> Matrix:
        """Hand CSR of the client to the workers; rows that are the backend's own stay."""
        if isinstance(rows, DaskRows) or _is_local(rows):
            return rows
        if not sparse.issparse(rows):
            raise UnsupportedOnBackend(
                "the Dask backend clusters sparse rows, and these are dense: use backend='cpu' or "
                "'gpu' on one machine, or, if most values are 0, "
                "scipy.sparse.csr_array(rows)"
            )
        csr: Any = check_rows(rows)
        workers = max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))
        size = max(SMALLEST_PART, -(-csr.shape[0] // (PARTS_A_WORKER * workers)))
        return self.rows([csr[i : i + size] for i in range(0, csr.shape[0], size)])

    def close(self) -> None:
        """Have the workers forget the rows that nobody here holds any more."""
        self._drop_stale()

    def _drop_stale(self) -> None:
        while self._stale:
            self.client.run(drop, self._stale.pop())

    def _take(self, rows: DaskRows) -> Matrix:
        """Bring rows to the client, in their order."""
        gathered = rows.pool.step("gather", rows.form, rows.view, lambda _: ())
        order = np.argsort(np.concatenate([positions for positions, _ in gathered]))
        whole = sparse.vstack([part for _, part in gathered], format="csr")
        return self.local.matrix(whole[order])

    # -- verbs on rows ---------------------------------------------------------------------

    def squared_norms(self, rows: Matrix) -> NDArray[np.float64]:
        if not isinstance(rows, DaskRows):
            return self.local.squared_norms(rows)
        out = np.empty(rows.shape[0])
        for positions, norms in rows.pool.step("squared_norms", rows.form, rows.view, lambda _: ()):
            out[positions] = norms
        return out

    def project(self, rows: Matrix, directions: NDArray[Any]) -> Matrix:
        """The product is the client's: of a sketch 32 numbers a row."""
        if not isinstance(rows, DaskRows):
            return self.local.project(rows, directions)
        dtype = np.result_type(rows.dtype, directions.dtype)
        out = np.empty((rows.shape[0], directions.shape[1]), dtype)
        for positions, product in rows.pool.step(
            "project", rows.form, rows.view, lambda _: (directions,)
        ):
            out[positions] = product
        return out

    def distances(
        self, rows: Matrix, centroids: NDArray[Any], labels: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        if not isinstance(rows, DaskRows):
            return self.local.distances(rows, centroids, labels)
        few = sparse.csr_array(centroids)
        sent = few if 2 * few.nnz < centroids.size else centroids
        out = np.empty(rows.shape[0])
        for positions, squared in rows.pool.step(
            "distances", rows.form, rows.view, lambda where: (sent, labels[where])
        ):
            out[positions] = squared
        return out

    def cluster_sums(
        self,
        rows: Matrix,
        labels: NDArray[np.int32],
        k: int,
        weight: NDArray[np.float64] | None = None,
        into: Clusters | None = None,
        exact: bool = False,
    ) -> Clusters:
        if not isinstance(rows, DaskRows):
            return self.local.cluster_sums(rows, labels, k, weight, exact=exact)
        totals = np.bincount(labels, weight, k).astype(np.float64, copy=False)
        largest = max(abs(rows.data.min()), abs(rows.data.max()))
        unit = unit_of(largest, rows.shape[0] if weight is None else float(totals.sum()))
        whole: Any = None
        for _, sums in rows.pool.step(
            "sums",
            rows.form,
            rows.view,
            lambda where: (labels[where], k, unit, None if weight is None else weight[where]),
        ):
            whole = sums if whole is None else whole + sums
        wide = sparse.csr_array(whole).astype(np.float64) * unit
        base = Base(wide, rows.dtype.name, exact and k > 1 and rows.dtype == np.float32)
        local = clusters_of(self.local, base)
        squared_norms = np.asarray(wide.multiply(wide).sum(axis=1), np.float64).reshape(k)
        follows = FOLLOWS if local.exact else 0
        return Clusters(DaskSums(local, base), totals, squared_norms, local.exact, follows)

    def assign(
        self,
        rows: Matrix,
        clusters: Clusters,
        labels: NDArray[np.int32] | None = None,
        weight: NDArray[np.float64] | None = None,
        squared_norms: NDArray[np.float64] | None = None,
        second: bool = False,
        which: NDArray[np.int64] | None = None,
    ) -> Assignment:
        if not isinstance(rows, DaskRows):
            local = _local(clusters)
            return self.local.assign(rows, local, labels, weight, squared_norms, second, which)
        if which is not None:
            return self.assign(rows[which], clusters, second=second)
        shared = self._shared(clusters)
        sums = shared.used_in(rows.pool)
        n = rows.shape[0]
        nearest, cost = np.empty(n, np.int32), np.empty(n)
        next_best = np.empty(n) if second else None
        own = None if labels is None else np.empty(n)

        def arguments(where: Any) -> tuple[Any, ...]:
            of_rows = None
            if labels is not None and squared_norms is not None:
                its_weight = None if weight is None else weight[where]
                of_rows = labels[where], its_weight, squared_norms[where]
            return sums.number, clusters.weight, clusters.squared_norms, second, of_rows

        for positions, done in rows.pool.step("assign", rows.form, rows.view, arguments, sums):
            for out, answer in zip((nearest, cost, next_best, own), done, strict=True):
                if out is not None:
                    out[positions] = answer
        return Assignment(nearest, cost, next_best, own)

    def move(
        self,
        clusters: Clusters,
        rows: Matrix,
        which: IntArray,
        source: NDArray[np.int32],
        target: NDArray[np.int32],
        weight: NDArray[np.float64] | None = None,
    ) -> None:
        """The rows that move come here, and go to all workers with their next step."""
        if len(which) == 0:
            return
        moved = rows[which]
        moved = self._take(moved) if isinstance(moved, DaskRows) else moved
        w = None if weight is None else weight[which]
        self.local.move(_local(clusters), moved, np.arange(len(which)), source, target, w)
        if isinstance(clusters.sums, DaskSums):
            host = sparse.csr_array(self.local.to_host(moved))
            clusters.sums.shared.moves.append(Move(host, source.copy(), target.copy(), w))

    def halve(
        self,
        rows: Matrix,
        squared_norms: NDArray[np.float64],
        clusters: list[NDArray[np.intp]],
        pairs: NDArray[np.intp],
        coins: list[NDArray[np.bool_]],
        blocks: int,
        passes: int,
        noise: float,
    ) -> tuple[list[NDArray[np.int32]], NDArray[np.float64]] | None:
        """Clusters are split here, their rows all at once; None where these are too many."""
        rest = coins, blocks, passes, noise
        if not isinstance(rows, DaskRows):
            return self.local.halve(rows, squared_norms, clusters, pairs, *rest)
        which = np.sort(np.concatenate(clusters))
        local = rows[which]
        if isinstance(local, DaskRows):
            return None
        numbered = [np.searchsorted(which, one) for one in clusters]
        places = np.searchsorted(which, pairs)
        return self.local.halve(local, squared_norms[which], numbered, places, *rest)

    def iterations(
        self, rows: Matrix, squared_norms: NDArray[np.float64], k: int
    ) -> Iterations | None:
        """None: labels are the client's."""
        return None

    # -- clusters --------------------------------------------------------------------------

    def clusters_from(self, centroids: NDArray[Any], dtype: Any) -> Clusters:
        local = self.local.clusters_from(centroids, dtype)
        base = Base(sparse.csr_array(np.asarray(centroids, dtype)), np.dtype(dtype).name, False)
        return Clusters(DaskSums(local, base), local.weight, local.squared_norms)

    def centroids(self, clusters: Clusters) -> NDArray[Any]:
        return self.local.centroids(_local(clusters))

    def centroid_shift(self, old: Clusters, new: Clusters) -> float:
        return self.local.centroid_shift(_local(old), _local(new))

    def _shared(self, clusters: Clusters) -> DaskSums:
        """Sums as workers can hold them; those of the client's own rows are made such."""
        if isinstance(clusters.sums, DaskSums):
            return clusters.sums
        dense = self.local.to_host(clusters.sums)
        base = Base(sparse.csr_array(np.ascontiguousarray(dense.T)), dense.dtype.name, False)
        return DaskSums(clusters, base)

    # -- what the client's backend does -----------------------------------------------------

    def read_table(self, *args: Any, **kwargs: Any) -> Any:
        return self.local.read_table(*args, **kwargs)

    def join(self, *args: Any, **kwargs: Any) -> Any:
        return self.local.join(*args, **kwargs)

    def names_in_lists(self, *args: Any, **kwargs: Any) -> Any:
        return self.local.names_in_lists(*args, **kwargs)

    def count_terms(self, *args: Any, **kwargs: Any) -> Any:
        return self.local.count_terms(*args, **kwargs)

    def tfidf_transform(self, *args: Any, **kwargs: Any) -> Matrix:
        """Rows that are handed to the workers when they are clustered."""
        return sparse.csr_array(self.local.tfidf_transform(*args, **kwargs))

    def transpose(self, rows: Matrix) -> Matrix:
        return self.local.transpose(
            _only_local(rows, "reduce rows: reduce=0 (--reduce 0) clusters them as they are")
        )

    def inner_products(self, left: Matrix, right: Matrix) -> NDArray[np.float64]:
        return self.local.inner_products(left, right)

    def dense_kmeans(
        self,
        rows: Matrix,
        init: NDArray[Any],
        max_iter: int,
        weight: NDArray[np.float64] | None = None,
        tol: float = 0.0,
    ) -> DenseFit:
        return self.local.dense_kmeans(rows, init, max_iter, weight, tol)

    def dense_regions(
        self, rows: Matrix, least: int, samples: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]] | None:
        local = _only_local(rows, "compare all rows with each other")
        return self.local.dense_regions(local, least, samples)

    def update_bounds(
        self,
        rows: Matrix,
        assignment: Assignment,
        drift: Drift,
        rounding_error: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        _only_local(rows, "keep bounds, which would travel for every row")
        return self.local.update_bounds(rows, assignment, drift, rounding_error)

    def neighbors(
        self, rows: Matrix, count: int, metric: Literal["cosine", "euclidean"] = "cosine"
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        return self.local.neighbors(
            _only_local(rows, "compare all rows with each other"), count, metric
        )

    def to_host(self, value: Any) -> Any:
        """Rows of workers come to the client."""
        if isinstance(value, DaskRows):
            return self.local.to_host(self._take(value))
        return self.local.to_host(value.local if isinstance(value, DaskSums) else value)


def _check_part(part: Any, number: int) -> Any:
    if not sparse.issparse(part):
        raise UnsupportedOnBackend(
            f"the Dask backend clusters sparse rows, and parts[{number}] is "
            f"{shown(type(part).__name__)}: use backend='cpu' or 'gpu' on one machine"
        )
    try:
        return check_rows(part)
    except InputError as problem:
        raise type(problem)(f"parts[{number}]: {problem}") from problem


def _is_local(rows: Any) -> bool:
    """Whether rows are the client's backend's own: some of those that workers hold."""
    return sparse.issparse(rows) and type(rows).__module__.startswith("cpu_fallback.")


def _local(clusters: Clusters) -> Clusters:
    """Clusters for the client's backend, which writes into the same weights and squared norms."""
    if not isinstance(clusters.sums, DaskSums):
        return clusters
    return Clusters(
        clusters.sums.local,
        clusters.weight,
        clusters.squared_norms,
        clusters.exact,
        clusters.follows,
    )


def _only_local(rows: Matrix, why: str) -> Matrix:
    if isinstance(rows, DaskRows):
        raise UnsupportedOnBackend(
            f"the Dask backend does not {why}; or use backend='cpu' or 'gpu' on one machine"
        )
    return rows
