"""The sums of clusters of sparse rows, as wide as they need to be.

Most terms of a text corpus are rare: of 79,522 terms of 63,956 texts, 78,337 are in 250 texts or
fewer, and in a few clusters each. For these a list of the clusters that have them takes less
memory than a number for each cluster, and less time to multiply with: such a list is in one or
two lines of the cache, and a thousand numbers are in 63 that must come from far.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import threads
from cpu_fallback.compiled.library import addresses, aligned, function, vector_bytes
from gpu_kmeans.backends.protocol import IntArray

__all__ = ["Layout", "Sums", "nonzeros", "rare_at_most"]

RARE = 4
"""Minimum number of clusters for each row that a rare feature is in."""
FEWEST_CLUSTERS = 64
"""Minimum number of clusters with which features can be rare: a run of fewer is a line or two."""
PLAIN = 1 << 18
"""Maximum number of sums that stay in the features' order, where no index is looked up."""
SMALL = 1 << 20
"""Maximum number of sums at which each feature has a run, whether it has any non-zeros or not."""


class _SumsOfC(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("k", "n_vectors", "width")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "place",
                "runs",
                "spans",
                "entries",
                "members",
                "exact",
                "exact_entries",
            )
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Which features are frequent, and where the sums of each stand.

    Attributes
    ----------
    run : ndarray of shape (n_features,), int32
        Index of a frequent feature's run; -1 for a rare one. Where there is no list at all, a
        feature that no row has is given the last run, of zeros.
    start : ndarray of shape (n_features,), int32
        Index in the lists at which a rare feature's begins.
    frequent : ndarray of int
        The frequent features by run, the most frequent first: what is often read is together.
    columns : ndarray of int
        All features that any row has, those of as many rows together.
    room : int
        Number of entries of all lists.
    plain : bool
        Whether each feature has a run, in their order.
    """

    run: NDArray[np.int32]
    start: NDArray[np.int32]
    frequent: NDArray[np.intp]
    columns: NDArray[np.intp]
    room: int
    plain: bool = False

    @classmethod
    def plainly(cls, n_features: int) -> Layout:
        """Lay out one run for each feature, in their order."""
        every, none = np.arange(n_features), np.zeros(n_features, np.int32)
        return cls(every.astype(np.int32), none, every, every, 0, plain=True)

    @classmethod
    def from_counts(cls, counts: IntArray, k: int, rare: int | None = None) -> Layout:
        """Lay out the sums of k clusters of rows; ``counts`` is how many rows have each feature.

        Features that at most ``rare`` rows have are rare; None takes the number that suits k.
        """
        rare_at = rare_at_most(k) if rare is None else rare
        # Of two bytes each, numbers are sorted several times as fast.
        less = counts.max(initial=0) - counts
        narrow = np.uint16 if less.max(initial=0) <= np.iinfo(np.uint16).max else np.int64
        order = np.argsort(less.astype(narrow), kind="stable")
        if not rare_at and len(counts) * k <= PLAIN:
            return replace(cls.plainly(len(counts)), columns=order)
        n_frequent = int(np.count_nonzero(counts > rare_at))
        frequent, listed = order[:n_frequent], order[n_frequent:]
        room = counts[listed]
        run = np.full(len(counts), -1 if room.any() else n_frequent, np.int32)
        run[frequent] = np.arange(n_frequent, dtype=np.int32)
        start = np.zeros(len(counts), np.int32)
        start[listed] = np.cumsum(room) - room
        columns = np.concatenate((frequent, listed[room > 0]))
        return cls(run, start, frequent, columns, int(room.sum()))


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of rows by cluster, as wide as they need to be: shape (n_features, k).

    A frequent feature has a run of a sum for each cluster, filled up with zeros to whole vectors. A
    rare one has a list of the clusters that have it, with the sum of each and the number of members
    that have it.

    Attributes
    ----------
    exact, exact_entries : ndarray of float64, or None
        Runs and what is listed, before they were rounded: where rows come and go.
    """

    layout: Layout
    k: int
    runs: NDArray[Any]
    spans: NDArray[np.int32]
    entries: NDArray[Any]
    members: NDArray[np.int32]
    exact: NDArray[np.float64] | None
    exact_entries: NDArray[np.float64] | None

    @classmethod
    def empty(cls, layout: Layout, k: int, dtype: Any, exact: bool = False) -> Sums:
        """Make room for sums of any value."""
        entry = np.dtype([("cluster", np.int32), ("value", dtype)], align=True)
        spans = np.zeros((len(layout.run), 2), np.int32)
        spans[:, 0] = layout.start
        shape = len(layout.frequent) + 1, _width(k, dtype)
        room = layout.room
        return cls(
            layout,
            k,
            aligned(np.zeros, shape, dtype),
            spans,
            np.zeros(room, entry),
            np.zeros(room, np.int32),
            np.zeros((shape[0], k)) if exact else None,
            np.zeros(room) if exact else None,
        )

    @classmethod
    def over(cls, spare: Any, layout: Layout, k: int, dtype: Any, exact: bool) -> Sums:
        """Reuse sums that are not needed any more, where they are alike, or make room."""
        if not isinstance(spare, Sums) or spare.layout is not layout:
            return cls.empty(layout, k, dtype, exact=exact)
        if (spare.k, spare.dtype) != (k, dtype):
            return cls.empty(layout, k, dtype, exact=exact)
        if exact == (spare.exact is not None):
            return spare
        return replace(
            spare,
            exact=np.zeros((len(spare.runs), k)) if exact else None,
            exact_entries=np.zeros(layout.room) if exact else None,
        )

    @classmethod
    def from_centroids(cls, centroids: NDArray[Any], dtype: Any) -> Sums:
        """Make the sums of clusters of weight 1 from centroids, shape (k, n_features)."""
        k, n_features = centroids.shape
        if centroids.size <= SMALL and not rare_at_most(k):
            sums = cls.empty(Layout.plainly(n_features), k, dtype)
            sums.runs[:-1, :k] = centroids.T
            return sums
        centroids = np.ascontiguousarray(centroids, dtype)
        nonzero_counts, _ = nonzeros(centroids)
        ends = np.zeros(k + 1, np.int64)
        np.cumsum(nonzero_counts, out=ends[1:])
        features, values = np.empty(ends[-1], np.int32), np.empty(ends[-1], dtype)
        arguments = addresses((centroids, ends, features, values))
        function("gather", 1, centroids.dtype)(threads.count(), *centroids.shape, *arguments)
        columns = sparse.csr_array((values, features, ends), shape=centroids.shape).tocsc()
        counts = np.diff(columns.indptr)
        # A start is used once: where sums are few, parting the rows takes longer than lists save.
        few = np.count_nonzero(counts) * k <= PLAIN
        layout = Layout.from_counts(counts, k, 0 if few else None)
        sums = cls.empty(layout, k, dtype)
        run = np.repeat(layout.run, counts)
        in_run, listed = run >= 0, run < 0
        sums.runs[run[in_run], columns.indices[in_run]] = columns.data[in_run]
        sums.length[:] = np.where(layout.run < 0, counts, 0)
        _, to = sums._listed(sums.spans[:, 0], sums.length)
        sums.entries["cluster"][to] = columns.indices[listed]
        sums.entries["value"][to] = columns.data[listed]
        sums.members[:] = 1
        return sums

    @property
    def length(self) -> NDArray[np.int32]:
        """Length of each feature's list."""
        return self.spans[:, 1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.runs.dtype

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.layout.run), self.k

    def dense(self, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """The sums of the features from ``first`` to before ``last``, one column a cluster."""
        part = slice(first, last)
        run, length = self.layout.run[part], self.length[part]
        out = np.zeros((len(run), self.k), self.dtype)
        frequent = run >= 0
        out[frequent] = self.runs[run[frequent], : self.k]
        feature, entry = self._listed(self.spans[part, 0], length)
        listed = self.entries[entry]
        out[feature, listed["cluster"]] = listed["value"]
        return out

    def scaled(self, scale: NDArray[Any]) -> NDArray[Any]:
        """One row a cluster, shape (k, n_features), each times a number."""
        out = np.zeros((self.k, len(self.layout.run)), self.dtype)
        factors = np.ascontiguousarray(scale, self.dtype)
        spread = function("spread", self.k, self.dtype)
        spread(threads.count(), out.shape[1], self.of_c, *addresses((factors, out)))
        return out

    @staticmethod
    def _listed(
        start: NDArray[np.int32], length: IntArray
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Feature and index of each entry of the lists."""
        feature = np.repeat(np.arange(len(length)), length)
        before = np.cumsum(length) - length
        return feature, np.repeat(start - before, length) + np.arange(len(feature))

    @cached_property
    def filled(self) -> int:
        """Number of values in a run's whole vectors; the next run may begin later."""
        return self._vectors * (vector_bytes(self.k, self.dtype) // self.dtype.itemsize)

    @cached_property
    def _vectors(self) -> int:
        return -(-self.k * self.dtype.itemsize // vector_bytes(self.k, self.dtype))

    @cached_property
    def of_c(self) -> int:
        """Address of the kernels' view of these sums, valid as long as this object lives."""
        return ctypes.addressof(self._struct)

    @cached_property
    def _struct(self) -> _SumsOfC:
        arrays = (self.layout.run, self.runs, self.spans, self.entries, self.members)
        pointers = addresses((*arrays, self.exact, self.exact_entries))
        numbers = (self.k, self._vectors, self.runs.shape[1])
        return _SumsOfC(*numbers, *pointers)


def nonzeros(centroids: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number of non-zeros of each centroid, and its squared norm."""
    counts, squares = np.empty(len(centroids), np.int64), np.empty(len(centroids))
    arguments = addresses((centroids, counts, squares))
    function("find", 1, centroids.dtype)(threads.count(), *centroids.shape, *arguments)
    return counts, squares


def rare_at_most(k: int) -> int:
    """Maximum number of rows that have a rare feature, for k clusters."""
    return k // RARE if k >= FEWEST_CLUSTERS else 0


def _width(k: int, dtype: Any) -> int:
    """Numbers from run to run: no power of two, or all runs would compete for the same cache."""
    lanes: int = vector_bytes(k, dtype) // np.dtype(dtype).itemsize
    width = -(-k // lanes) * lanes
    return width + (lanes if width and width * np.dtype(dtype).itemsize % 1024 == 0 else 0)
