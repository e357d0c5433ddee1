"""What a worker does: it holds parts of rows, sums of clusters, and reckons with its own rows.

Every function of this module is run on a worker by :class:`gpu_kmeans.distributed.pool.Pool`. What
a worker holds belongs to a session, one for all rows that were handed out together.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_kmeans.backends.protocol import Backend, Clusters, Matrix

__all__ = ["Base", "Form", "Move", "StateLost", "Target", "clusters_of", "drop", "work"]


class StateLost(RuntimeError):
    """The worker does not hold what it is asked about: it was started anew."""


@dataclass(frozen=True)
class Form:
    """How rows differ from the parts that were handed out: times a scale, and of a dtype."""

    scale: float
    dtype: str

    def apply(self, rows: Any) -> Any:
        """Return the rows in this form."""
        out = rows if rows.dtype == self.dtype else rows.astype(self.dtype)
        return out if self.scale == 1 else out * out.dtype.type(self.scale)


@dataclass(frozen=True)
class Target:
    """Rows that a step is about: all of a worker's, or a view of some of them.

    Attributes
    ----------
    form : Form
    view : int or None
    which : ndarray of int64 or None
        Numbers of the view's rows among the worker's; None where the worker knows them.
    """

    form: Form
    view: int | None = None
    which: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Base:
    """Sums of clusters as they were formed: rows of shape (k, n_features), one a cluster.

    ``exact``: the rows are float64, of which the rows' dtype keeps the leading digits and a second
    number of it the rest, so that a backend's sums in float64 are as good as these.
    """

    rows: Any
    dtype: str
    exact: bool


@dataclass(frozen=True)
class Move:
    """Rows that left the sums of some clusters for others."""

    rows: Any
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    weight: NDArray[np.float64] | None


def clusters_of(backend: Backend, base: Base) -> Clusters:
    """Sums of clusters as an array, of weight 1 and to be given their own.

    Not in a backend's own layout: that counts the rows that a sum was formed of, which a sum does
    not tell, and has no room for those that come.
    """
    k = base.rows.shape[0]
    sums = np.ascontiguousarray(base.rows.astype(base.dtype).toarray().T)
    return Clusters(sums, np.ones(k), np.zeros(k))


def apply_move(backend: Backend, clusters: Clusters, move: Move) -> None:
    """Bring sums up to date, and weights and squared norms with them."""
    rows = backend.matrix(move.rows)
    which = np.arange(rows.shape[0])
    backend.move(clusters, rows, which, move.source, move.target, move.weight)


@dataclass
class _Session:
    """What the worker holds of the rows that were handed out together."""

    backend: Backend
    parts: dict[int, Any] = field(default_factory=dict)
    rows: dict[Form, Matrix] = field(default_factory=dict)
    views: dict[tuple[Form, int], Matrix] = field(default_factory=dict)
    clusters: dict[int, Clusters] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)

    # -- what is held ------------------------------------------------------------------

    def load(self, parts: dict[int, Any]) -> None:
        """Take parts of the rows, beside those that are held."""
        for number, part in parts.items():
            self.parts[number] = part.read(self.backend) if hasattr(part, "read") else part
        self.rows.clear()
        self.views.clear()

    def forget(self, views: list[tuple[Form, int]], clusters: list[int]) -> None:
        """Let go what nobody will ask for again."""
        for view in views:
            self.views.pop(view, None)
        for number in clusters:
            self.clusters.pop(number, None)

    def follow(self, number: int, base: Base | None, moves: list[Move]) -> None:
        """Bring sums of clusters up to date: anew from their base, or by the moves alone."""
        if base is not None:
            self.clusters[number] = clusters_of(self.backend, base)
        for move in moves:
            apply_move(self.backend, self.clusters[number], move)

    def _all(self, form: Form) -> Matrix:
        if form not in self.rows:
            parts = [self.parts[number] for number in sorted(self.parts)]
            whole = parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")
            self.rows[form] = self.backend.matrix(form.apply(whole))
        return self.rows[form]

    def _rows(self, target: Target) -> Matrix:
        if target.view is None:
            return self._all(target.form)
        key = target.form, target.view
        if target.which is not None:
            self.views[key] = self._all(target.form)[target.which]
        return self.views[key]

    # -- steps -------------------------------------------------------------------------

    def squared_norms(self, target: Target) -> NDArray[np.float64]:
        """See the verb of this name."""
        return self.backend.squared_norms(self._rows(target))

    def about(self, target: Target) -> tuple[NDArray[np.int64], float, float]:
        """Lengths of the rows, and the least and the largest value."""
        rows = self.backend.to_host(self._rows(target))
        data = rows.data
        least, most = data.min(initial=0), data.max(initial=0)
        return np.diff(rows.indptr).astype(np.int64), float(least), float(most)

    def project(self, target: Target, directions: NDArray[Any]) -> Any:
        """See the verb of this name; brought to the host."""
        return self.backend.to_host(self.backend.project(self._rows(target), directions))

    def gather(self, target: Target) -> Any:
        """The rows themselves."""
        return sparse.csr_array(self.backend.to_host(self._rows(target)))

    def sums(
        self,
        target: Target,
        labels: NDArray[np.int32],
        k: int,
        unit: float,
        weight: NDArray[np.float64] | None,
    ) -> Any:
        """Sum the rows of each cluster as multiples of ``unit``, which are exact in any order."""
        rows = self.backend.to_host(self._rows(target))
        values = rows.data.astype(np.float64)
        if weight is not None:
            values *= np.repeat(weight, np.diff(rows.indptr))
        counts = sparse.csr_array(
            (np.rint(values / unit).astype(np.int64), rows.indices, rows.indptr), shape=rows.shape
        )
        n = rows.shape[0]
        members = sparse.csc_array((np.ones(n, np.int64), labels, np.arange(n + 1)), shape=(k, n))
        sums = members.tocsr() @ counts
        sums.sum_duplicates()
        return sparse.csr_array(sums)

    def assign(
        self,
        target: Target,
        number: int,
        weight: NDArray[np.float64],
        squared_norms: NDArray[np.float64],
        second: bool,
        rows: tuple[Any, Any, Any] | None,
    ) -> tuple[Any, Any, Any, Any]:
        """See the verb of this name; ``rows`` are labels, weights and squared norms."""
        clusters = Clusters(self.clusters[number].sums, weight, squared_norms)
        labels, row_weight, norms = rows if rows is not None else (None, None, None)
        done = self.backend.assign(
            self._rows(target), clusters, labels, row_weight, norms, second=second
        )
        return done.nearest, done.cost, done.second, done.own

    def distances(
        self, target: Target, centroids: Any, labels: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """See the verb of this name."""
        dense = centroids.toarray() if hasattr(centroids, "toarray") else centroids
        return self.backend.distances(self._rows(target), dense, labels)


_SESSIONS: dict[str, _Session] = {}


async def work(
    session: str, backend: Backend | None, steps: list[tuple[str, tuple[Any, ...]]]
) -> list[Any]:
    """Do steps one after the other, beside the worker's own business; return their results.

    ``backend`` begins the session where there is none; without it, there must be one.
    """
    return await asyncio.to_thread(_work, session, backend, steps)


def _work(
    session: str, backend: Backend | None, steps: list[tuple[str, tuple[Any, ...]]]
) -> list[Any]:
    if session not in _SESSIONS:
        if backend is None:
            raise StateLost(f"this worker knows nothing of session {session}")
        _SESSIONS[session] = _Session(backend)
    held = _SESSIONS[session]
    with held.lock:
        return [getattr(held, name)(*arguments) for name, arguments in steps]


async def drop(session: str) -> None:
    """Let go all that belongs to a session."""
    _SESSIONS.pop(session, None)
