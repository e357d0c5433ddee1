"""Lloyd's loop with and without what saves work, from the same start, to rest.

    python -m bench.pruning [--pairs 5] [--seeds 3] [--out FILE]

Three ways, in turns, in one process: ``pruned`` as it is shipped; ``lists``, every cluster looked
at and every sum formed in each iteration, rare terms in lists; ``unpruned``, without lists, too, a
number of each cluster for each term. Starts are drawn rows. Labels are compared at every iteration.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.corpora import SEED
from bench.measure import machine, summary, write

__all__ = ["WAYS", "loops"]

WAYS = ("pruned", "lists", "unpruned")
CORPUS, CLUSTERS = "zipf-63k", (100, 200, 300, 1000)


@contextmanager
def _way(name: str) -> Iterator[None]:
    """Take away what the way does without."""
    from cpu_fallback.compiled import csr, sums
    from gpu_kmeans.clustering import lloyd

    without: list[tuple[Any, str, Any]] = []
    if name != "pruned":
        without += [(lloyd, "may_pay", lambda *_: False), (lloyd, "SOON", -1)]
    if name == "unpruned":
        without += [(each, "rare_at_most", lambda k: 0) for each in (csr, sums)]
    before = [(where, what, getattr(where, what)) for where, what, _ in without]
    for where, what, value in without:
        setattr(where, what, value)
    try:
        yield
    finally:
        for where, what, value in before:
            setattr(where, what, value)


def loops(corpus: str, k: int, seed: int, pairs: int) -> dict[str, Any]:
    """Loops of one start, each way so many times after one that is not timed."""
    from bench.cases import CORPORA

    rows = CORPORA[corpus].rows()
    drawn = np.random.default_rng(seed).choice(rows.shape[0], k, replace=False)
    start = rows[drawn].toarray()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    labels: dict[str, list[NDArray[np.int32]]] = {}
    for turn in range(1 + pairs):
        for way in WAYS:
            with _way(way):
                took, seen = _loop(rows.copy(), start, keep=turn == 0)
            if turn == 0:
                labels[way] = seen
            else:
                seconds[way].append(took)
    one, *others = labels.values()
    same = all(len(one) == len(other) and all(map(np.array_equal, one, other)) for other in others)
    both = zip(seconds["pruned"], seconds["unpruned"], strict=True)
    return {
        "corpus": corpus,
        "rows": rows.shape[0],
        "features": rows.shape[1],
        "nonzeros": int(rows.nnz),
        "k": k,
        "seed": seed,
        "iterations": len(one),
        "same_labels": same,
        "pairs": pairs,
        "warm_up": 1,
        "seconds": {way: summary(each) for way, each in seconds.items()},
        "ratio": summary([mine / plain for mine, plain in both]),
    }


def _loop(matrix: Any, start: NDArray[Any], keep: bool) -> tuple[float, list[NDArray[np.int32]]]:
    """Seconds of a loop to rest, and where they are kept the labels of all its iterations."""
    from gpu_kmeans import resolve
    from gpu_kmeans.clustering import lloyd

    backend = resolve("cpu")
    rows = lloyd.Rows(backend.matrix(matrix), backend.squared_norms(matrix), None)
    clusters = backend.clusters_from(start, matrix.dtype)
    nearest, seen = lloyd._Means.nearest, []

    def noted(means: Any, before: Any) -> Any:
        found = nearest(means, before)
        seen.append(found.nearest)
        return found

    if keep:
        lloyd._Means.nearest = noted  # type: ignore[method-assign]
    begun = time.perf_counter()
    try:
        lloyd.lloyd(backend, rows, clusters, max_iter=300, tol=0, report=lambda *_: False)
    finally:
        lloyd._Means.nearest = nearest  # type: ignore[method-assign]
    return time.perf_counter() - begun, seen


def main() -> None:
    """Measure all, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="bench.pruning", description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = [
        loops(CORPUS, k, SEED + seed, asked.pairs) for k in CLUSTERS for seed in range(asked.seeds)
    ]
    write({"machine": machine(), "loops": found}, asked.out)


if __name__ == "__main__":
    main()
