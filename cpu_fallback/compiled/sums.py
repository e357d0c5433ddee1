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
"""Number of clusters for each of which a rare feature is in at most one row;"""
FEWEST_CLUSTERS = 64
"""minimum number of clusters with which features can be rare: a run of fewer is a line or two."""
PLAIN = 1 << 18
"""Maximum number of sums that stay in the features' order, in which no place is looked up."""
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
    place : ndarray of shape (n_features,), int32
        Of a frequent feature, the place of its run; -1 for a rare one. Where there is no list at
        all, a feature that no row has has the place of a run of zeros, the last.
    start : ndarray of shape (n_features,), int32
        Of a rare feature, where its list starts.
    frequent : ndarray of int
        The frequent features by place, the most frequent first: what is often read is together.
    columns : ndarray of int
        All features that any row has, those of as many rows together.
    room : int
        Of all lists.
    plain : bool
        Whether each feature's run is in its own place.
    """

    place: NDArray[np.int32]
    start: NDArray[np.int32]
    frequent: NDArray[np.intp]
    columns: NDArray[np.intp]
    room: int
    plain: bool = False

    @classmethod
    def plainly(cls, n_features: int) -> Layout:
        """Each feature's run in its own place."""
        every, none = np.arange(n_features), np.zeros(n_features, np.int32)
        return cls(every.astype(np.int32), none, every, every, 0, plain=True)

    @classmethod
    def of(cls, counts: IntArray, k: int, rare: int | None = None) -> Layout:
        """The layout for k clusters of rows, of which so many have each feature.

        Features that ``rare`` rows have at most are rare, where that is not given as many as k
        calls for.
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
        place = np.full(len(counts), -1 if room.any() else n_frequent, np.int32)
        place[frequent] = np.arange(n_frequent, dtype=np.int32)
        start = np.zeros(len(counts), np.int32)
        start[listed] = np.cumsum(room) - room
        columns = np.concatenate((frequent, listed[room > 0]))
        return cls(place, start, frequent, columns, int(room.sum()))


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of rows by cluster, as wide as they need to be: shape (n_features, k).

    Of a frequent feature there is a run of a sum for each cluster, filled up with zeros to
    whole vectors. Of a rare one there is a list of the clusters that have it, with the sum of each
    and how many members have it.

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
        spans = np.zeros((len(layout.place), 2), np.int32)
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
        """Take sums that are not needed any more, where they are alike, or make room."""
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
    def of(cls, centroids: NDArray[Any], dtype: Any) -> Sums:
        """Take each of k centroids, shape (k, n_features), for the sums of a cluster of one."""
        k, n_features = centroids.shape
        if centroids.size <= SMALL and not rare_at_most(k):
            sums = cls.empty(Layout.plainly(n_features), k, dtype)
            sums.runs[:-1, :k] = centroids.T
            return sums
        centroids = np.ascontiguousarray(centroids, dtype)
        found, _ = nonzeros(centroids)
        ends = np.zeros(k + 1, np.int64)
        np.cumsum(found, out=ends[1:])
        features, values = np.empty(ends[-1], np.int32), np.empty(ends[-1], dtype)
        given = addresses((centroids, ends, features, values))
        function("gather", 1, centroids.dtype)(threads.count(), *centroids.shape, *given)
        columns = sparse.csr_array((values, features, ends), shape=centroids.shape).tocsc()
        counts = np.diff(columns.indptr)
        # A start is met once: of few sums, lists would take longer to part the rows for than
        # they save.
        few = np.count_nonzero(counts) * k <= PLAIN
        layout = Layout.of(counts, k, 0 if few else None)
        sums = cls.empty(layout, k, dtype)
        place = np.repeat(layout.place, counts)
        in_run, listed = place >= 0, place < 0
        sums.runs[place[in_run], columns.indices[in_run]] = columns.data[in_run]
        sums.length[:] = np.where(layout.place < 0, counts, 0)
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
        return len(self.layout.place), self.k

    def dense(self, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """The sums of the features from ``first`` to before ``last``, one column a cluster."""
        part = slice(first, last)
        place, length = self.layout.place[part], self.length[part]
        out = np.zeros((len(place), self.k), self.dtype)
        frequent = place >= 0
        out[frequent] = self.runs[place[frequent], : self.k]
        feature, at = self._listed(self.spans[part, 0], length)
        listed = self.entries[at]
        out[feature, listed["cluster"]] = listed["value"]
        return out

    def scaled(self, scale: NDArray[Any]) -> NDArray[Any]:
        """One row a cluster, shape (k, n_features), each times a number."""
        out = np.zeros((self.k, len(self.layout.place)), self.dtype)
        factors = np.ascontiguousarray(scale, self.dtype)
        spread = function("spread", self.k, self.dtype)
        spread(threads.count(), out.shape[1], self.of_c, *addresses((factors, out)))
        return out

    @staticmethod
    def _listed(
        start: NDArray[np.int32], length: IntArray
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Feature and place of all that is listed."""
        feature = np.repeat(np.arange(len(length)), length)
        before = np.cumsum(length) - length
        return feature, np.repeat(start - before, length) + np.arange(len(feature))

    @cached_property
    def filled(self) -> int:
        """Count of numbers in a run's whole vectors; more may stand between it and the next."""
        return self._vectors * (vector_bytes(self.k, self.dtype) // self.dtype.itemsize)

    @cached_property
    def _vectors(self) -> int:
        return -(-self.k * self.dtype.itemsize // vector_bytes(self.k, self.dtype))

    @cached_property
    def of_c(self) -> int:
        """Address of the same for the kernels, as long as this object lives."""
        return ctypes.addressof(self._struct)

    @cached_property
    def _struct(self) -> _SumsOfC:
        arrays = (self.layout.place, self.runs, self.spans, self.entries, self.members)
        pointers = addresses((*arrays, self.exact, self.exact_entries))
        numbers = (self.k, self._vectors, self.runs.shape[1])
        return _SumsOfC(*numbers, *pointers)


def nonzeros(centroids: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many numbers of each centroid are not zero, and its squared norm."""
    counts, squares = np.empty(len(centroids), np.int64), np.empty(len(centroids))
    given = addresses((centroids, counts, squares))
    function("find", 1, centroids.dtype)(threads.count(), *centroids.shape, *given)
    return counts, squares


def rare_at_most(k: int) -> int:
    """How many rows have a rare feature at most, for k clusters."""
    return k // RARE if k >= FEWEST_CLUSTERS else 0


def _width(k: int, dtype: Any) -> int:
    """Numbers from run to run: no power of two, or all runs would compete for the same cache."""
    lanes: int = vector_bytes(k, dtype) // np.dtype(dtype).itemsize
    width = -(-k // lanes) * lanes
    return width + (lanes if width and width * np.dtype(dtype).itemsize % 1024 == 0 else 0)
