"""Breathing: take away the clusters that matter least, split those that gain most by it.

Moves of single rows end in a basin that depends on the start. A breath leaves it: clusters whose
rows have the nearest other home are dissolved, as many others are split in two, single-row
moves settle the result, and it is kept where it is better.

What a split gains is found by making it: the rows of each of the clusters that hold most inertia
are settled in two, and what is known of a cluster is kept as long as nine in ten rows of each half
stay. What it costs to dissolve a cluster is at most what its rows cost more in their next best
ones, so long as these stay: of a cluster and the one that most of its rows would go to only one is
dissolved. While that promises a gain, all pairs of clusters that help are exchanged at once, and
two passes of moves follow. Then some breaths are tried in which the exchange itself costs: of a
tenth of the clusters, of half as many after each breath that was not better, and at last of single
ones that are drawn. A breath that would come too late at its pace is given up.

To split by inertia alone, as in the source, is far weaker. Medians over three to ten seeds with
twelve breaths of that kind, and with these, on 2 cores: on 63,000 synthetic documents an inertia
of 60,710 in 3.0 s and 60,420 in 4.8 s at 100 clusters, 43,669 in 12 s and 43,608 (from every seed)
in 8 s at 1,000; on 5,000 such documents and 10 clusters 4836.0 and 4831.3; on 4,803 films and 300
clusters 4190.1 and 4187.3; and the same within 0.01 % on the films at 10, 50 and 100 clusters.

Source: B. Fritzke, The breathing k-means algorithm (arXiv 2006.15666, 2020), which breathes
around Lloyd's iterations; here around Hartigan's moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, is_sparse
from gpu_kmeans.clustering.hartigan import BLOCKS, NOISE, SMALLEST_BLOCK, hartigan
from gpu_kmeans.clustering.lloyd import Report, Rows, StageResult

__all__ = ["Settle", "breathe"]

Settle = Callable[..., StageResult]
"""Brings labels to rest, called as :func:`gpu_kmeans.clustering.hartigan.hartigan` is."""

POOL = 2
"""Number of clusters for each that may be split: those that hold most inertia."""
FEWEST_LOOKED_AT = 8
"""Minimum number of clusters that may be split."""
SPLIT_PASSES = 2
"""Number of passes of single-row moves within a cluster that is split."""
PASSES_AT_ONCE = 4
"""Likewise where all are split as one problem: a pass costs next to nothing there, and rows that
are nearest to moving get none of their own. On drawn rows and synthetic documents, 3 of these
gained as much as 2 of the others, and 4 up to a tenth more."""
KNOWN = 0.9
"""Share of a cluster's rows that must have stayed for what is known of it to hold."""
MARGIN = 0.9
"""Share of its cost that a pair must gain: moves that follow bring more than was foreseen."""
WORTH_IT = 1e-5
"""Smallest share of the inertia that an exchange must promise."""
PASSES_OF_PAYING = 2
"""Maximum number of passes of moves after a breath that promises a gain."""
EXPLORED = 12
"""Maximum number of breaths in which the exchange costs, or that gained less than promised."""
SHARE = 10
"""Number of clusters for each that is exchanged in the first breath that costs."""
RISK = 1e-3
"""Largest cost of a breath, as a share of the inertia: beyond it, half as many are exchanged."""
TRIES = 3
"""Maximum number of breaths of single clusters, drawn, that fail one after the other."""
PASSES = 5
"""Maximum number of passes of moves before the first breath, and after one that costs."""


def breathe(
    backend: Backend,
    rows: Rows,
    labels: NDArray[np.int32],
    k: int,
    *,
    max_iter: int,
    rng: np.random.Generator,
    report: Report,
    settle: Settle = hartigan,
    passes: int = PASSES,
    passes_of_paying: int = PASSES_OF_PAYING,
    explored: int = EXPLORED,
) -> StageResult:
    """Settle, breathe, and keep what is better; the reported inertia never rises.

    Parameters as for :func:`gpu_kmeans.clustering.hartigan.hartigan`; ``rng`` draws where clusters
    split. ``settle`` brings labels to rest in at most so many ``passes``, by single-row moves if it
    is not given; ``explored`` is the maximum number of breaths in which the exchange costs.
    """
    best = settle(backend, rows, labels, k, max_iter=min(passes, max_iter), report=report)
    used, splits = best.n_iter, _Splits(backend, rows, k, rng)
    eps = np.finfo(best.clusters.sums.dtype).eps
    rounding = 0.0 if rows.wide else NOISE * eps * rows.total
    tried, failed, count, most = 0, 0, max(1, k // SHARE), k
    while k > 1 and used < max_iter and tried < max(1, explored) and failed <= TRIES:
        inertia = rows.inertia(best.clusters, best.labels)
        if best.stopped or inertia <= rounding:
            break
        removal_cost, held, nearest_other = _worth(backend, rows, best, k)
        likely = np.argsort(-held, kind="stable")[: max(FEWEST_LOOKED_AT, k // POOL)]
        gain = splits.gains(best, likely)
        removed, split = _pairs(removal_cost, gain, nearest_other, most)
        pays = _net(removal_cost, gain, removed, split) > WORTH_IT * inertia
        if not (pays or explored):
            break
        while not pays:
            removed, split = _likeliest(removal_cost, gain, count, rng if failed else None)
            if count == 1 or _net(removal_cost, gain, removed, split) > -RISK * inertia:
                break
            count //= 2
        watch = _Watch(report, inertia, passes_of_paying if pays else passes)
        start = _exchanged(backend, rows, best, removed, split, splits.side)
        most_passes = min(watch.passes, max_iter - used)
        breath = settle(backend, rows, start, k, max_iter=most_passes, report=watch)
        used += breath.n_iter
        if rows.inertia(breath.clusters, breath.labels) < inertia:
            splits.forget(breath.labels != best.labels)
            best, failed, most, tried = breath, 0, k, tried + (not pays)
        else:
            splits.forget(np.isin(best.labels, split))  # to be halved otherwise
            tried += 1
            if pays:
                most = max(1, len(removed) // 2)
            elif count == 1:
                failed += 1
            else:
                count //= 2
        best = replace(best, stopped=watch.stopped)
    return replace(best, n_iter=used)


class _Watch:
    """Reports the lowest inertia so far, and gives a breath up that comes too late."""

    def __init__(self, report: Report, ceiling: float, passes: int) -> None:
        self.report = report
        self.ceiling = ceiling
        self.passes = passes
        self.stopped = False
        self._left = passes
        self._last = np.inf

    def __call__(self, stage: str, inertia: float, moved: int, *iterations: int) -> bool:
        self.stopped = self.report("breathe", min(self.ceiling, inertia), moved, *iterations)
        self._left -= 1
        pace, self._last = self._last - inertia, inertia
        return self.stopped or inertia - self.ceiling > pace * self._left


class _Draw(NamedTuple):
    """Where a cluster splits: two of its rows, and a coin for each row that is as near to both."""

    pair: NDArray[np.intp]
    coins: NDArray[np.bool_]


class _Splits:
    """Gains of splitting clusters in two, as far as they are known."""

    def __init__(self, backend: Backend, rows: Rows, k: int, rng: np.random.Generator) -> None:
        self.backend = backend
        self.rows = rows
        self.rng = rng
        self.side = np.full(len(rows.squared_norms), -1, np.int8)
        """Half of each row in its cluster's split; -1 where it is not known."""
        self.gain = np.zeros(k)
        self.sizes = np.zeros((2, k), np.intp)
        """Number of rows in both halves of each cluster when it was split."""

    def forget(self, rows: Any) -> None:
        """Forget the halves of rows that changed cluster, or are to be split otherwise."""
        self.side[rows] = -1

    def gains(self, settled: StageResult, which: NDArray[np.intp]) -> NDArray[np.float64]:
        """The gain of each of these clusters; of others -inf."""
        k, labels = len(self.gain), settled.labels
        explained = settled.clusters.spreads()
        members = np.bincount(labels, minlength=k)
        stayed = np.stack([np.bincount(labels[self.side == s], minlength=k) for s in (0, 1)])
        # Of each half: once a small one has left, what was gained by parting with it has, too.
        known = (stayed >= KNOWN * self.sizes).all(axis=0)
        known &= stayed.sum(axis=0) >= KNOWN * members
        order = np.argsort(labels, kind="stable")
        ends = np.cumsum(members)
        gains = np.full(k, -np.inf)
        several = which[members[which] > 1]
        unknown = several[~known[several]].tolist()
        rows = [order[ends[c] - members[c] : ends[c]] for c in unknown]
        draws = [self._draw(len(its_rows)) for its_rows in rows]
        if unknown and not self._split_all(unknown, rows, draws, explained):
            for c, its_rows, draw in zip(unknown, rows, draws, strict=True):
                self._split(c, its_rows, draw, explained[c])
        gains[several] = self.gain[several]
        return gains

    def _draw(self, count: int) -> _Draw:
        """Draw where a cluster of so many rows splits."""
        pair = self.rng.choice(count, 2, replace=False)
        return _Draw(pair, self.rng.random(count) < 0.5)

    def _split_all(
        self,
        clusters: list[int],
        rows: list[NDArray[np.intp]],
        draws: list[_Draw],
        explained: NDArray[np.float64],
    ) -> bool:
        """Split clusters as one problem, where the backend does; say whether it did."""
        if self.rows.weight is not None or self.rows.wide:
            return False
        done = self.backend.halve(
            *(self.rows.matrix, self.rows.squared_norms, rows),
            np.array([its_rows[draw.pair] for its_rows, draw in zip(rows, draws, strict=True)]),
            [draw.coins for draw in draws],
            min(BLOCKS, -(-max(map(len, rows)) // SMALLEST_BLOCK)),
            PASSES_AT_ONCE,
            NOISE * float(np.finfo(self.rows.matrix.dtype).eps),
        )
        if done is None:
            return False
        for c, its_rows, side, both in zip(clusters, rows, *done, strict=True):
            self._note(c, its_rows, side, both - explained[c])
        return True

    def _note(
        self, cluster: int, rows: NDArray[np.intp], side: NDArray[np.int32], gain: float
    ) -> None:
        self.side[rows] = side
        self.gain[cluster] = gain
        self.sizes[:, cluster] = np.bincount(side, minlength=2)

    def _split(
        self, cluster: int, members: NDArray[np.intp], draw: _Draw, explained: float
    ) -> None:
        backend, weight = self.backend, self.rows.weight
        matrix, norms = self.rows.matrix[members], self.rows.squared_norms[members]
        weight = None if weight is None else weight[members]
        if self.rows.wide and not is_sparse(matrix):
            # Around their own mean, beside which their distances may be small.
            alone = backend.cluster_sums(matrix, np.zeros(len(members), np.int32), 1)
            matrix = matrix - backend.matrix(backend.centroids(alone))
            norms = backend.squared_norms(matrix)
        rows = Rows(matrix, norms, weight, self.rows.wide)
        if self.rows.wide:
            unsplit = backend.cluster_sums(matrix, np.zeros(len(members), np.int32), 1, weight)
            explained = unsplit.explained()
        halves = _half(backend, matrix, draw).astype(np.int32)
        done = hartigan(backend, rows, halves, 2, max_iter=SPLIT_PASSES, report=lambda *_: False)
        self._note(cluster, members, done.labels, done.clusters.explained() - explained)


def _pairs(
    removal_cost: NDArray[np.float64],
    gain: NDArray[np.float64],
    nearest_other: NDArray[np.intp],
    most: int,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Clusters to dissolve and to split, at most ``most``, each pair of which is worth it.

    ``nearest_other`` is where most rows of a cluster would go: it stays when that cluster goes.
    """
    removed: list[int] = []
    split: list[int] = []
    nearest_others: set[int] = set()
    useless = iter(np.argsort(removal_cost, kind="stable").tolist())
    likely = np.argsort(-gain, kind="stable")[: max(1, len(gain) // POOL)]
    for c in likely.tolist():
        if c in removed:
            continue
        excluded = {c, *split, *nearest_others}
        other = next(
            (o for o in useless if o not in excluded and nearest_other[o] not in removed), None
        )
        if len(removed) == most or other is None or gain[c] <= MARGIN * removal_cost[other]:
            break
        removed.append(other)
        split.append(c)
        nearest_others.add(int(nearest_other[other]))
    return np.array(removed, np.intp), np.array(split, np.intp)


def _net(
    removal_cost: NDArray[np.float64],
    gain: NDArray[np.float64],
    removed: NDArray[np.intp],
    split: NDArray[np.intp],
) -> float:
    """Known gain of an exchange, less its cost."""
    return float(gain[split].sum() - removal_cost[removed].sum())


def _likeliest(
    removal_cost: NDArray[np.float64],
    gain: NDArray[np.float64],
    count: int,
    rng: np.random.Generator | None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Clusters to dissolve and to split, whatever it costs; with ``rng``, drawn of the likelier."""

    def first(order: NDArray[np.intp], likely: int) -> NDArray[np.intp]:
        if rng is not None:
            order = rng.permutation(order[: max(count, likely)])
        return order[:count]

    split = first(np.argsort(-gain, kind="stable"), int(np.isfinite(gain).sum()))
    rest = removal_cost.copy()
    rest[split] = np.inf
    least = np.argsort(rest, kind="stable")[: len(rest) - len(split)]
    return first(least, len(gain) // POOL), split


def _exchanged(
    backend: Backend,
    rows: Rows,
    settled: StageResult,
    removed: NDArray[np.intp],
    split: NDArray[np.intp],
    side: NDArray[np.int8],
) -> NDArray[np.int32]:
    """Labels with some clusters dissolved, and their numbers given to halves of others."""
    labels = settled.labels.copy()
    homeless = np.flatnonzero(np.isin(labels, removed))
    weight = settled.clusters.weight.copy()
    weight[removed] = 0
    if not weight.any():
        return labels
    rest = replace(settled.clusters, weight=weight)
    labels[homeless] = backend.assign(rows.matrix[homeless], rest).nearest
    new = np.full(len(weight), -1, np.int32)
    new[split] = removed
    halves = np.flatnonzero((side == 1) & (new[settled.labels] >= 0))
    labels[halves] = new[settled.labels[halves]]
    return labels


def _worth(
    backend: Backend, rows: Rows, settled: StageResult, k: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
    """For each cluster, the rise of the inertia without it, its own inertia, and the cluster that
    most of its rows would go to."""
    labels, clusters, norms = settled.labels, settled.clusters, rows.squared_norms
    assignment = backend.assign(rows.matrix, clusters, labels, rows.weight, norms)
    n = clusters.weight[labels]
    # Rows of weight 0 may be alone in a cluster without weight: they count for nothing.
    n = np.where(n > 0, n, 1.0)
    own: Any = assignment.own
    inside = norms - 2 * own / n + clusters.squared_norms[labels] / n**2
    weight: Any = 1.0 if rows.weight is None else rows.weight
    outside = np.where(np.isfinite(assignment.cost), assignment.cost + norms, 0)
    saved = weight * (outside - inside)
    held = weight * inside
    removal_cost: NDArray[Any] = np.bincount(labels, weights=saved, minlength=k)
    inertia: NDArray[Any] = np.bincount(labels, weights=held, minlength=k)
    pairs, counts = np.unique(labels.astype(np.intp) * k + assignment.nearest, return_counts=True)
    by_count = pairs[np.argsort(counts, kind="stable")]
    nearest_other = np.zeros(k, np.intp)
    nearest_other[by_count // k] = by_count % k  # the last, and so the most frequent, stays
    return removal_cost, inertia, nearest_other


def _half(backend: Backend, members: Any, draw: _Draw) -> NDArray[np.bool_]:
    """Rows nearer to the second of two drawn rows than to the first; a coin where it is even."""
    pair = members[draw.pair]
    host = backend.to_host(pair)
    directions = (host.toarray() if hasattr(host, "toarray") else host).T
    products = backend.to_host(backend.project(members, directions))
    norms = backend.squared_norms(pair)
    nearer = 2 * (products[:, 1] - products[:, 0]) - (norms[1] - norms[0])
    return np.where(np.abs(nearer) > 1e-6 * norms.sum(), nearer > 0, draw.coins)
