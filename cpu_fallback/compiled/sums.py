"""The sums of clusters of sparse rows, as wide as they need to be.

Most terms of a text corpus are rare: of 79,522 terms of 63,956 texts, 78,337 are in 250 texts or
fewer, and in a few clusters each. For these a list of the clusters that have them takes less
memory than a number for each cluster, and less time to multiply with: such a list is in one or
two lines of the cache, and a thousand numbers are in 63 that must come from far.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import threads
from cpu_fallback.compiled.library import addresses, aligned, vector_bytes
from gpu_kmeans.protocol import IntArray

__all__ = ["Layout", "Sums", "rare_at_most"]

RARE = 4
"""A feature is rare when at most one row for this many clusters has it,"""
FEWEST_CLUSTERS = 64
"""and where there are fewer clusters, no feature is: a run is then a line or two of the cache."""
NUMBERS_AT_ONCE = 1 << 18
SMALL = 1 << 20
"""Of so few sums there is a run for each feature, whether it has any or not."""


class _SumsOfC(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("k", "n_vectors", "width", "lists")),
        *(
            (name, ctypes.c_void_p)
            for name in ("place", "start", "runs", "length", "entries", "members")
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
    room : int
        Of all lists.
    """

    place: NDArray[np.int32]
    start: NDArray[np.int32]
    frequent: NDArray[np.intp]
    room: int

    @classmethod
    def of(cls, counts: IntArray, k: int) -> Layout:
        """The layout for k clusters of rows, of which so many have each feature."""
        rare = counts <= rare_at_most(k)
        room = np.where(rare, counts, 0)
        start = np.cumsum(room) - room
        frequent = np.flatnonzero(~rare)
        frequent = frequent[np.argsort(-counts[frequent], kind="stable")]
        place = np.full(len(counts), -1 if room.any() else len(frequent), np.int32)
        place[frequent] = np.arange(len(frequent), dtype=np.int32)
        return cls(place, start.astype(np.int32), frequent, int(room.sum()))


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of rows by cluster, as wide as they need to be: shape (n_features, k).

    Of a frequent feature there is a run of a sum for each cluster, filled up with zeros to
    whole vectors. Of a rare one there is a list of the clusters that have it, with the sum of each
    and how many members have it.
    """

    layout: Layout
    k: int
    runs: NDArray[Any]
    length: NDArray[np.int32]
    entries: NDArray[Any]
    members: NDArray[np.int32]

    @classmethod
    def empty(cls, layout: Layout, k: int, dtype: Any) -> Sums:
        """Make room for sums of any value."""
        entry = np.dtype([("cluster", np.int32), ("value", dtype)], align=True)
        return cls(
            layout,
            k,
            aligned(np.zeros, (len(layout.frequent) + 1, _width(k, dtype)), dtype),
            np.zeros(len(layout.place), np.int32),
            np.zeros(layout.room, entry),
            np.zeros(layout.room, np.int32),
        )

    @classmethod
    def of(cls, centroids: NDArray[Any], dtype: Any) -> Sums:
        """Take each of k centroids, shape (k, n_features), for the sums of a cluster of one."""
        k, n_features = centroids.shape
        if centroids.size <= SMALL and not rare_at_most(k):
            every = np.arange(n_features)
            layout = Layout(every.astype(np.int32), np.zeros(n_features, np.int32), every, 0)
            sums = cls.empty(layout, k, dtype)
            sums.runs[:-1, :k] = centroids.T
            return sums
        found: list[Any] = [None] * k

        def find(c: int) -> None:
            found[c] = np.flatnonzero(centroids[c])

        threads.each(find, range(k))
        ends = np.cumsum([0, *map(len, found)])
        values = np.concatenate([centroids[c][found[c]] for c in range(k)]).astype(dtype)
        by_row = sparse.csr_array((values, np.concatenate(found), ends), shape=centroids.shape)
        columns = by_row.tocsc()
        counts = np.diff(columns.indptr)
        layout = Layout.of(counts, k)
        sums = cls.empty(layout, k, dtype)
        place = np.repeat(layout.place, counts)
        in_run, listed = place >= 0, place < 0
        sums.runs[place[in_run], columns.indices[in_run]] = columns.data[in_run]
        sums.entries["cluster"] = columns.indices[listed]
        sums.entries["value"] = columns.data[listed]
        sums.members[:] = 1
        sums.length[:] = np.where(layout.place < 0, counts, 0)
        return sums

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
        feature, at = self._listed(self.layout.start[part], length)
        listed = self.entries[at]
        out[feature, listed["cluster"]] = listed["value"]
        return out

    def scaled(self, scale: NDArray[Any]) -> NDArray[Any]:
        """One row a cluster, shape (k, n_features), each times a number."""
        out = np.zeros((self.k, len(self.layout.place)), self.dtype)
        out[:, self.layout.frequent] = self.runs[:-1, : self.k].T * scale[:, None]
        feature, at = self._listed(self.layout.start, self.length)
        listed = self.entries[at]
        out[listed["cluster"], feature] = listed["value"] * scale[listed["cluster"]]
        return out

    def select(self, which: NDArray[np.intp]) -> Sums:
        """The columns of some clusters."""
        place = np.full(self.k, -1, np.int32)
        place[which] = np.arange(len(which), dtype=np.int32)
        chosen = Sums.empty(self.layout, len(which), self.dtype)

        def work(start: int) -> None:
            part = slice(start, start + step)
            chosen.runs[part, : len(which)] = self.runs[part].take(which, axis=1, mode="clip")

        step = max(1, NUMBERS_AT_ONCE // max(1, len(which)))
        threads.each(work, range(0, len(self.runs), step))
        feature, at = self._listed(self.layout.start, self.length)
        cluster = place[self.entries["cluster"][at]]
        feature, at, cluster = (one[cluster >= 0] for one in (feature, at, cluster))
        chosen.length[:] = np.bincount(feature, minlength=len(self.length))
        _, to = self._listed(self.layout.start, chosen.length)
        chosen.entries["cluster"][to] = cluster
        chosen.entries["value"][to] = self.entries["value"][at]
        chosen.members[to] = self.members[at]
        return chosen

    @staticmethod
    def _listed(
        start: NDArray[np.int32], length: IntArray
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Feature and place of all that is listed."""
        feature = np.repeat(np.arange(len(length)), length)
        before = np.cumsum(length) - length
        return feature, np.repeat(start - before, length) + np.arange(len(feature))

    @cached_property
    def of_c(self) -> int:
        """Address of the same for the kernels, as long as this object lives."""
        return ctypes.addressof(self._struct)

    @cached_property
    def _struct(self) -> _SumsOfC:
        lanes = vector_bytes(self.k, self.dtype) // self.dtype.itemsize
        arrays = (self.layout.place, self.layout.start, self.runs, self.length)
        pointers = addresses((*arrays, self.entries, self.members))
        numbers = (self.k, -(-self.k // lanes), self.runs.shape[1], self.layout.room)
        return _SumsOfC(*numbers, *pointers)


def rare_at_most(k: int) -> int:
    """How many rows have a rare feature at most, for k clusters."""
    return k // RARE if k >= FEWEST_CLUSTERS else 0


def _width(k: int, dtype: Any) -> int:
    """Numbers from run to run: no power of two, or all runs would compete for the same cache."""
    lanes: int = vector_bytes(k, dtype) // np.dtype(dtype).itemsize
    width = -(-k // lanes) * lanes
    return width + (lanes if width * np.dtype(dtype).itemsize % 1024 == 0 else 0)
