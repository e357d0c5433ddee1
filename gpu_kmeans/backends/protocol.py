"""The protocol between the algorithms and the libraries that do the work.

A backend is an object with the verbs below. They are coarse, and cut only where
pandas, Arrow, FAISS and SciPy differ from cuDF, cuML and CuPy; everything else
(Lloyd, Hartigan, seeding, TF-IDF weighting rules, recommending) is written once,
above this seam, and never asks which backend it has.

Two kinds of value cross the seam. *Rows* (``Matrix``) and *frames* (``Frame``) are
the backend's own: SciPy CSR, NumPy and pandas on the CPU, their cupyx, CuPy and cuDF
counterparts on the GPU; they stay on their device until ``to_host``. Everything else
is a host NumPy array or one of the small frozen types of this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.text_rules import TokenRules, Weighting

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Assignment",
    "Backend",
    "Callback",
    "Clusters",
    "DenseFit",
    "Drift",
    "FloatArray",
    "Frame",
    "IntArray",
    "Iteration",
    "Iterations",
    "JoinCounts",
    "Matrix",
    "Moves",
    "NamesRead",
    "Progress",
    "TokenRules",
    "Weighting",
    "is_sparse",
]

Frame: TypeAlias = Any
"""A table of the backend: ``pandas.DataFrame`` or ``cudf.DataFrame``."""

Matrix: TypeAlias = Any
"""Rows of the backend: CSR (SciPy or cupyx), or a dense 2-d array (NumPy or CuPy)."""

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]


def is_sparse(matrix: Matrix) -> bool:
    """Whether rows are CSR, on any backend."""
    return hasattr(matrix, "indptr")


@dataclass(frozen=True, slots=True)
class JoinCounts:
    """Numbers of rows that a one-to-one join on the id matched and left over."""

    matched: int
    left_only: int
    right_only: int


@dataclass(frozen=True, slots=True, eq=False)
class NamesRead:
    """Names that a backend read from a column of JSON lists, and rows that it leaves to the host.

    Attributes
    ----------
    names : pyarrow.ListArray of texts
        One list a row; of a row that was left unread, any list.
    unread : ndarray of shape (n,), bool
        Rows whose cells the host must read.
    empty : int
        Cells among those read that were null, ``null``, empty or nothing but spaces.
    """

    names: pa.ListArray
    unread: NDArray[np.bool_]
    empty: int


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a fit that a callback is passed once an iteration.

    Attributes
    ----------
    stage : {"sketch", "lloyd", "breathe", "hartigan", "minibatch", "spherical"}
    iteration : int
        Counted from 1 within the fit, over all stages on the full rows.
    inertia : float
        Sum of squared distances of the rows to their centroids (weighted); while it breathes,
        the lowest so far; of a batch, as if all rows were like its rows.
    moved : int
        Rows that changed their cluster in this iteration.
    """

    stage: Literal["sketch", "lloyd", "breathe", "hartigan", "minibatch", "spherical"]
    iteration: int
    inertia: float
    moved: int


Callback: TypeAlias = Callable[[Progress], "bool | None"]
"""Called after each iteration; a true answer ends the fit with what it has reached."""


@dataclass(slots=True)
class Clusters:
    """Cluster sums in the layout the assignment reads, and what goes with them.

    Attributes
    ----------
    sums : Matrix of shape (n_features, k)
        Weighted sums of the members of each cluster, one *column* a cluster, so that a
        non-zero of a row touches one contiguous run of k numbers. On the backend.
    weight : ndarray of shape (k,), float64
        Total weight of each cluster; 0 for an empty one.
    squared_norms : ndarray of shape (k,), float64
        Squared Euclidean norm of each column of ``sums``.
    exact : bool
        Whether :meth:`Backend.move` leaves the sums as they would be if they were formed anew, but
        for rounding in float64.
    follows : int
        Minimum number of rows for each that moves: where more move, forming such sums anew takes
        less time. 0 where they cannot be exact.
    """

    sums: Matrix
    weight: NDArray[np.float64]
    squared_norms: NDArray[np.float64]
    exact: bool = False
    follows: int = 0

    def sizes_and_spreads(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights, and ``|sum|^2 / weight``, as :meth:`Backend.assign` computes with them.

        An empty cluster has size 1, so that it can be divided by, and an infinite spread, so
        that it is never the cheapest.
        """
        full = self.weight > 0
        size = np.where(full, self.weight, 1.0)
        return size, np.where(full, self.squared_norms / size, np.inf)

    def inverse_weight(self) -> NDArray[np.float64]:
        """``1 / weight``, and 0 for an empty cluster."""
        full = self.weight > 0
        return np.where(full, 1 / np.where(full, self.weight, 1.0), 0.0)

    def mean_sources(self) -> NDArray[np.intp]:
        """For each cluster, the one whose mean it has: an empty one takes the heaviest's.

        Any mean would do for it; as in scikit-learn.
        """
        return np.where(self.weight > 0, np.arange(len(self.weight)), np.argmax(self.weight))

    def spreads(self) -> NDArray[np.float64]:
        """``|sum|^2 / weight`` of each cluster, shape (k,), and 0 of an empty one."""
        out = np.zeros(len(self.weight))
        return np.divide(self.squared_norms, self.weight, out=out, where=self.weight > 0)

    def explained(self) -> float:
        """The part of the squared norms that the clusters explain: sum of ``|sum|^2 / weight``.

        Inertia is the (weighted) sum of the rows' squared norms less this.
        """
        full = self.weight > 0
        return float((self.squared_norms[full] / self.weight[full]).sum())


@dataclass(frozen=True, slots=True)
class Assignment:
    """For each row: the cheapest cluster, its cost, and optional results.

    Attributes
    ----------
    nearest : ndarray of shape (n,), int32
    cost : ndarray of shape (n,), float64
        See :meth:`Backend.assign`.
    second : ndarray of shape (n,), float64, or None
        Cost of the next best cluster, infinite where there is none; where it was asked for.
    own : ndarray of shape (n,), float64, or None
        Product of the row with the sum of its present cluster, where labels were given.
    """

    nearest: NDArray[np.int32]
    cost: NDArray[np.float64]
    second: NDArray[np.float64] | None
    own: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """Changes of clusters since rows were assigned to them, as some rows moved.

    With ``D_b`` the sum of ``w x`` over the rows ``x`` that came to cluster ``b``, less that over
    those that left, a cost ``c`` of a row ``x`` in it has become
    ``offset_b + factor_b c - 2 x . D_b / weight_b``.

    Attributes
    ----------
    which : ndarray of shape (n_moved,), int64
        The rows that moved, from cluster ``source`` to ``target``, int32.
    weight : ndarray of shape (n,), float64, or None
        Of all rows; None when every row counts once.
    changed : ndarray of int
        The clusters that changed, in rising order, without single ones.
    inverse_weight, offset, factor : ndarray of shape (k,), float64
        Where a cluster did not change, 0, 0 and 1.
    singles : ndarray of int
        The few other clusters that changed, of whose costs too little was known. A row costs them
        ``single_cost``, float64, less twice its product with their mean.
    """

    which: NDArray[np.int64]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    weight: NDArray[np.float64] | None
    changed: NDArray[np.intp]
    inverse_weight: NDArray[np.float64]
    offset: NDArray[np.float64]
    factor: NDArray[np.float64]
    singles: NDArray[np.intp]
    single_cost: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Iteration:
    """What a Lloyd iteration, or the means of given labels, came to.

    Attributes
    ----------
    moved : int
        Rows whose label changed.
    empty : int
        Clusters without rows.
    explained : float
        See :meth:`Clusters.explained`.
    shift : float
        Sum of the squared shifts of the means, where it was asked for.
    """

    moved: int
    empty: int
    explained: float
    shift: float


@dataclass(frozen=True, slots=True)
class Moves:
    """What became of the rows of a block that were to move.

    Attributes
    ----------
    moving : int
        Rows whose best move gains more than noise.
    taken : bool
        Whether they moved. They do together, where that lowers the inertia and leaves no cluster
        without rows.
    explained : float
        See :meth:`Clusters.explained`.
    """

    moving: int
    taken: bool
    explained: float


class DenseFit(NamedTuple):
    """Labels of shape (n,), int32, of a library's k-means, and how many iterations it made."""

    labels: NDArray[np.int32]
    n_iter: int


class Iterations(Protocol):
    """Lloyd's and Hartigan's steps over the same rows, whose labels stay with the backend.

    Rows count once each. What they do is said of the verbs on rows, and by
    :mod:`gpu_kmeans.clustering.hartigan` of the gain of a move; what is asked after each step is
    small.
    """

    def start(self, clusters: Clusters) -> None:
        """Begin from clusters, which may be written over."""
        ...

    def iterate(self, shifted: bool) -> Iteration:
        """Assign all rows and form the means; with ``shifted``, ask how far these went."""
        ...

    def place(self, labels: NDArray[np.int32], noise: float) -> Iteration:
        """Begin from labels, and form their means.

        A gain is noise up to ``noise`` times the row's squared norm and the mean of all.
        """
        ...

    def block(self, which: slice | NDArray[np.intp]) -> Any:
        """Some rows as :meth:`improve` takes them, more than once."""
        ...

    def improve(self, block: Any) -> Moves:
        """Move all rows of a block that gain by it, if that lowers the inertia."""
        ...

    def candidates(self, block: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The gains of the block that was looked at last, and which of its rows were to move."""
        ...

    def move(self, block: Any, moving: NDArray[np.bool_]) -> Moves:
        """Likewise the rows that are marked, of the block that was looked at last."""
        ...

    def gains(self) -> NDArray[np.float64]:
        """What the inertia gained by the best move of each row when it was last looked at."""
        ...

    def labels(self) -> NDArray[np.int32]:
        """The labels, on the host."""
        ...

    def assignment(self) -> Assignment:
        """Labels and costs of the last iteration, on the host."""
        ...

    def clusters(self) -> Clusters:
        """The clusters of the labels, given away: a step needs :meth:`start` or :meth:`place`."""
        ...


class Backend(Protocol):
    """Everything the package asks of a device's libraries."""

    name: str
    """``"cpu"`` or ``"gpu"``."""

    updates_bounds: bool
    """Whether it takes less time to :meth:`update_bounds` bounds than to assign the rows."""

    # -- tables ---------------------------------------------------------------------

    def read_table(
        self,
        path: Path,
        columns: Sequence[str],
        optional: Sequence[str],
        encoding: str | None = None,
        delimiter: str | None = None,
    ) -> Frame:
        """Read a file of a table strictly; keep ``columns`` and those of ``optional`` present.

        Which files are tables, :mod:`gpu_kmeans.tables.table_file` says. Columns come as text,
        exactly as written, except those of Parquet, which keep their types. A CSV is in
        ``encoding`` and separated by ``delimiter``, where these are not None.
        Rows keep the file's order.
        Raises the errors of :class:`~gpu_kmeans.errors.InputError` that concern files.
        """
        ...

    def join(self, left: Frame, right: Frame, key: str) -> tuple[Frame, JoinCounts]:
        """Left join, one to one on ``key``, in the order of ``left``."""
        ...

    def names_in_lists(self, frame: Frame, column: str, job: str | None) -> NamesRead | None:
        """Read a column of JSON lists of names where it lies, as far as that is certain.

        What :func:`gpu_kmeans.data.json_lists.read_lists` says of a cell is right: a cell that is
        read here gives the same names, and one that it would refuse is left unread. With
        ``job``, the names are those of members whose ``"job"`` it is, or every name where no
        member of the cell has one. None leaves the whole column to the host.
        """
        ...

    # -- text -----------------------------------------------------------------------

    def count_terms(
        self, texts: Any, rules: TokenRules, vocabulary: Sequence[str] | None
    ) -> tuple[list[str], Matrix]:
        """Count terms of each text: ``(terms, counts)`` with CSR counts of shape (n, n_terms).

        Terms come in code-point order; with ``vocabulary`` given, columns follow it and
        other terms are dropped. Column indices are sorted in each row.

        Raises
        ------
        InputError
            A text is missing or not a ``str``; its position is named, counted from 0.
        InvalidParam
            A term of the vocabulary is not a ``str``, or stands twice.
        """
        ...

    def tfidf_transform(
        self, counts: Matrix, idf: FloatArray | None, weighting: Weighting
    ) -> Matrix:
        """Turn counts into weighted rows: CSR of the weighting's dtype, computed in float64.

        ``idf`` is the weight of each term, shape (n_terms,); without it all weigh 1. Raises the
        errors of :func:`gpu_kmeans.features.weighting.check_counts`, on whatever is given.
        """
        ...

    # -- rows -----------------------------------------------------------------------

    def matrix(self, rows: Any) -> Matrix:
        """Bring host or device rows (CSR or dense, float32 or float64) to this backend."""
        ...

    def squared_norms(self, rows: Matrix) -> NDArray[np.float64]:
        """Squared Euclidean norm of each row, summed in float64."""
        ...

    def project(self, rows: Matrix, directions: NDArray[Any]) -> Matrix:
        """``rows @ directions`` as a dense matrix (n, n_directions), in the wider dtype of both."""
        ...

    def transpose(self, rows: Matrix) -> Matrix:
        """Columns of the rows as rows, of the same kind, (n_features, n): a copy.

        ``project(transpose(rows), dense)`` is then ``rows.T @ dense``; of sparse rows each number
        is summed in their order, whatever the number of threads.
        """
        ...

    def inner_products(self, left: Matrix, right: Matrix) -> NDArray[np.float64]:
        """``left.T @ right`` of dense rows, host's or the backend's, summed in float64."""
        ...

    def dense_kmeans(
        self,
        rows: Matrix,
        init: NDArray[Any],
        max_iter: int,
        weight: NDArray[np.float64] | None = None,
        tol: float = 0.0,
    ) -> DenseFit:
        """The library's own k-means on all dense rows from given centroids. Single precision.

        It may end before ``max_iter`` iterations once the summed squared shift of the centroids is
        at most ``tol``; a library that knows no such end makes all of them.
        """
        ...

    def dense_regions(
        self, rows: Matrix, least: int, samples: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]] | None:
        """The library's own HDBSCAN on all rows: labels, -1 for noise, and how firm each is.

        A region has ``least`` rows at least, and a row is as dense as the farthest of ``samples``
        nearest ones is near. None where the other verbs, and scikit-learn, do it.
        """
        ...

    def clusters_from(self, centroids: NDArray[Any], dtype: Any) -> Clusters:
        """Clusters of weight 1 whose sums are the given centroids, shape (k, n_features)."""
        ...

    def cluster_sums(
        self,
        rows: Matrix,
        labels: NDArray[np.int32],
        k: int,
        weight: NDArray[np.float64] | None = None,
        into: Clusters | None = None,
        exact: bool = False,
    ) -> Clusters:
        """Sum the rows of each cluster in float64; the result does not depend on threads.

        ``into``: clusters of as many features and of the rows' dtype that are not needed any
        more; the new sums may be written over theirs. ``exact``: keep the sums in float64, too,
        where that is possible: moves then leave them exact, see :class:`Clusters`.
        """
        ...

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
        """Find the cheapest cluster of every row, empty clusters left out.

        With ``P = row . sum_b``, ``n = weight_b`` and ``q = |sum_b|^2 / n``, the cost of a
        row of squared norm ``x2`` and weight ``w`` in cluster ``b`` is
        ``(q - 2 P - w x2) / (n + w)``.

        Without ``labels``, ``w`` is 0: ``cost + x2`` is the squared distance to the nearest
        centroid, as Lloyd needs it. With ``labels`` (and ``squared_norms``, and ``weight``
        where it is not 1) the row's own cluster is left out, and ``w (cost + x2)`` is what
        the inertia gains when the row enters ``b``, as Hartigan needs it. Ties go to the
        lowest index. Without labels only: with ``second``, the next best's cost is kept; with
        ``which``, those rows alone are assigned, in that order.
        """
        ...

    def update_bounds(
        self,
        rows: Matrix,
        assignment: Assignment,
        drift: Drift,
        rounding_error: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """Bound the cost of each sparse row's cluster above, and of others below, after moves.

        ``assignment`` has these bounds before the moves: ``cost`` for ``nearest``, ``second`` for
        all others. Costs are off by ``rounding_error``, shape (n,), at most. Returned with the
        bounds are the rows, in rising order, for which a full assignment might find another
        cluster.
        """
        ...

    def move(
        self,
        clusters: Clusters,
        rows: Matrix,
        which: IntArray,
        source: NDArray[np.int32],
        target: NDArray[np.int32],
        weight: NDArray[np.float64] | None = None,
    ) -> None:
        """Take ``rows[which]`` out of the sums of ``source`` and into those of ``target``.

        Sparse rows have sorted indices, as :meth:`matrix` leaves them.

        Updates ``clusters`` in place, its weights and squared norms included.
        """
        ...

    def iterations(
        self, rows: Matrix, squared_norms: NDArray[np.float64], k: int
    ) -> Iterations | None:
        """Steps over these rows for k clusters that bring no labels to the host.

        None where the other verbs take no more time, or where such steps have no room or would
        be less exact than they.
        """
        ...

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
        """Split clusters of rows in two, as one problem, and move single rows between the halves.

        ``clusters`` are row numbers, each at most once; ``pairs``, shape (len(clusters), 2), the
        rows whose nearer one decides the half that a row begins in, or its coin where that is
        even. Rows move as those of :class:`Iterations` do, ``passes`` times, in so many blocks of
        each cluster. Returned are the halves of each cluster's rows, 0 or 1, and the sum of
        ``|sum|^2 / weight`` over both. None where one cluster after the other takes no more
        time, or where there is no room.
        """
        ...

    def distances(
        self, rows: Matrix, centroids: NDArray[Any], labels: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Squared distance of each row to the centroid of its label, computed in float64."""
        ...

    def neighbors(
        self, rows: Matrix, count: int, metric: Literal["cosine", "euclidean"] = "cosine"
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Find the ``count`` nearest other rows of each row, exactly: the nearest first.

        Returned are their numbers and, shape (n, count) both, their cosine similarities or
        Euclidean distances, in float64. Equally near rows, as identical ones are, come in the order
        of their numbers. A row without any value but 0 is as similar to all others as rows are
        that have no feature in common: 0. No array of n times n numbers is made.

        Raises
        ------
        InvalidParam
            There are no more than ``count`` rows, or sparse ones are to be compared by their
            Euclidean distances.
        """
        ...

    def centroids(self, clusters: Clusters) -> NDArray[Any]:
        """Means on the host, shape (k, n_features), in the dtype of the sums.

        An empty cluster is given the mean of the heaviest one.
        """
        ...

    def centroid_shift(self, old: Clusters, new: Clusters) -> float:
        """Sum over clusters of the squared distance between old and new mean."""
        ...

    # -- the device -----------------------------------------------------------------

    def to_host(self, value: Any) -> Any:
        """SciPy CSR, NumPy or a ``pyarrow.Table`` (for a frame) of the same content."""
        ...
