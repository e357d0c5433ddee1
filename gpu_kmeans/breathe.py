"""Breathing: take away the clusters that matter least, split those that hold most inertia.

Moves of single rows end in a basin that depends on the start. A breath leaves it: the tenth of
the clusters whose rows have the nearest other home is dissolved, as many of the clusters of
largest inertia are split in two, single-row moves settle the result, and it is kept where it is
better. A breath that was not better is followed by one of half as many clusters; after one of a
single cluster, which cluster goes and which is split is drawn among the likelier half.

Medians over four to eight seeds, on 2 cores, against three breaths of a tenth each: on 4,803
films and 100 clusters an inertia of 4498.8 after 4500.7; on 63,000 synthetic documents 60,706
after 60,733 at 100 clusters and 43,707 after 44,131 at 1,000; on 5,000 documents of 100 topics
3978.81 from every seed, after 3978.81 to 3999.13; and at 10 clusters, where one of them is all
that can be exchanged, 4835.2 after 4838.7. A fit takes about twice as long for it. Twenty breaths
and five tries gained as much again at 10 clusters, and next to nothing at 30 and 100.

Source: B. Fritzke, The breathing k-means algorithm (arXiv 2006.15666, 2020), which breathes
around Lloyd's iterations; here around Hartigan's moves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.hartigan import hartigan
from gpu_kmeans.lloyd import Report, Rows, Settled
from gpu_kmeans.protocol import Backend

__all__ = ["breathe"]

BREATHS = 12
SHARE = 10
"""One cluster in this many is exchanged in the first breath."""
TRIES = 3
"""Breaths of single clusters, drawn, that may fail one after the other."""
PASSES = 5
"""Passes of single-row moves before the first breath and after each."""


def breathe(
    backend: Backend,
    rows: Rows,
    labels: NDArray[np.int32],
    k: int,
    *,
    max_iter: int,
    rng: np.random.Generator,
    report: Report,
) -> Settled:
    """Settle, breathe, and keep what is better; the reported inertia never rises.

    Parameters as for :func:`gpu_kmeans.hartigan.hartigan`; ``rng`` draws where clusters split.
    """
    best = hartigan(backend, rows, labels, k, max_iter=min(PASSES, max_iter), report=report)
    used = best.n_iter
    total = rows.weighted(rows.squared_norms)
    count, failed = max(1, k // SHARE), 0
    for _ in range(BREATHS):
        left = max_iter - used
        if best.stopped or left <= 0 or k < 2 or failed > TRIES:
            break
        ceiling = total - best.clusters.explained()

        def report_best(stage: str, inertia: float, moved: int, ceiling: float = ceiling) -> bool:
            return report("breathe", min(ceiling, inertia), moved)

        breath = hartigan(
            backend,
            rows,
            _exchange(backend, rows, best, k, rng, count, drawn=failed > 0),
            k,
            max_iter=min(PASSES, left),
            report=report_best,
        )
        used += breath.n_iter
        if breath.clusters.explained() > best.clusters.explained():
            best, failed = breath, 0
            continue
        if breath.stopped:
            best = replace(best, stopped=True)
        if count > 1:
            count //= 2
        else:
            failed += 1
    return replace(best, n_iter=used)


def _exchange(
    backend: Backend,
    rows: Rows,
    settled: Settled,
    k: int,
    rng: np.random.Generator,
    count: int,
    *,
    drawn: bool,
) -> NDArray[np.int32]:
    """Dissolve the least useful clusters and give their numbers to halves of the largest.

    ``drawn``: any of the less useful half, and of the half that holds more.
    """
    usefulness, inertia = _worth(backend, rows, settled, k)

    def first(order: NDArray[np.intp]) -> NDArray[np.intp]:
        among = order[: max(count, k // 2)]
        return rng.choice(among, count, replace=False) if drawn else among[:count]

    gone = first(np.argsort(usefulness, kind="stable")).astype(np.int32)
    inertia[gone] = -1
    split = first(np.argsort(-inertia, kind="stable"))
    labels = settled.labels.copy()
    homeless = np.flatnonzero(np.isin(labels, gone))
    weight = settled.clusters.weight.copy()
    weight[gone] = 0
    if not weight.any():
        return labels
    rest = replace(settled.clusters, weight=weight)
    labels[homeless] = backend.assign(rows.matrix[homeless], rest).nearest
    for new, old in zip(gone, split, strict=True):
        members = np.flatnonzero(settled.labels == old)
        if len(members) > 1 and inertia[old] >= 0:
            labels[members[_half(backend, rows.matrix[members], rng)]] = new
    return labels


def _worth(
    backend: Backend, rows: Rows, settled: Settled, k: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the inertia would gain without each cluster, and what each cluster holds of it."""
    labels, clusters, norms = settled.labels, settled.clusters, rows.squared_norms
    found = backend.assign(rows.matrix, clusters, labels, rows.weight, norms)
    n = clusters.weight[labels]
    # Rows of weight 0 may be alone in a cluster without weight: they count for nothing.
    n = np.where(n > 0, n, 1.0)
    own: Any = found.own
    inside = norms - 2 * own / n + clusters.squared_norms[labels] / n**2
    weight: Any = 1.0 if rows.weight is None else rows.weight
    outside = np.where(np.isfinite(found.cost), found.cost + norms, 0)
    saved = weight * (outside - inside)
    held = weight * inside
    usefulness: NDArray[Any] = np.bincount(labels, weights=saved, minlength=k)
    inertia: NDArray[Any] = np.bincount(labels, weights=held, minlength=k)
    return usefulness, inertia


def _half(backend: Backend, members: Any, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Rows nearer to the second of two drawn rows than to the first; a coin where it is even."""
    pair = members[rng.choice(members.shape[0], 2, replace=False)]
    host = backend.to_host(pair)
    directions = (host.toarray() if hasattr(host, "toarray") else host).T
    products = backend.to_host(backend.project(members, directions))
    norms = backend.squared_norms(pair)
    nearer = 2 * (products[:, 1] - products[:, 0]) - (norms[1] - norms[0])
    coin = rng.random(len(nearer)) < 0.5
    return np.where(np.abs(nearer) > 1e-6 * norms.sum(), nearer > 0, coin)
