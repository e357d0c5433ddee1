"""Lloyd's loop with and without its savings, from the same start, to convergence.

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
    """Switch off the savings that the way does without."""
    from cpu_fallback.compiled import csr, sums
    from gpu_kmeans.clustering import lloyd

    without: list[tuple[Any, str, Any]] = []
    if name != "pruned":
        without += [(lloyd, "may_pay", lambda *_: False), (lloyd, "SOON", -1)]
    if name == "unpruned":
        without += [(module, "rare_at_most", lambda k: 0) for module in (csr, sums)]
    before = [(where, attribute, getattr(where, attribute)) for where, attribute, _ in without]
    for where, attribute, value in without:
        setattr(where, attribute, value)
    try:
        yield
    finally:
        for where, attribute, value in before:
            setattr(where, attribute, value)


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
                took, history = _loop(rows.copy(), start, keep=turn == 0)
            if turn == 0:
                labels[way] = history
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
        "seconds": {way: summary(times) for way, times in seconds.items()},
        "ratio": summary([mine / plain for mine, plain in both]),
    }


def _loop(matrix: Any, start: NDArray[Any], keep: bool) -> tuple[float, list[NDArray[np.int32]]]:
    """Seconds of a loop to convergence, and, if kept, the labels of all its iterations."""
    from gpu_kmeans import resolve
    from gpu_kmeans.clustering import lloyd

    backend = resolve("cpu")
    rows = lloyd.Rows(backend.matrix(matrix), backend.squared_norms(matrix), None)
    clusters = backend.clusters_from(start, matrix.dtype)
    nearest, history = lloyd._Means.nearest, []

    def noted(means: Any, before: Any) -> Any:
        assignment = nearest(means, before)
        history.append(assignment.nearest)
        return assignment

    if keep:
        lloyd._Means.nearest = noted  # type: ignore[method-assign]
    begun = time.perf_counter()
    try:
        lloyd.lloyd(backend, rows, clusters, max_iter=300, tol=0, report=lambda *_: False)
    finally:
        lloyd._Means.nearest = nearest  # type: ignore[method-assign]
    return time.perf_counter() - begun, history


def main() -> None:
    """Measure all, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="bench.pruning", description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    records = [
        loops(CORPUS, k, SEED + seed, options.pairs)
        for k in CLUSTERS
        for seed in range(options.seeds)
    ]
    write({"machine": machine(), "loops": records}, options.out)


if __name__ == "__main__":
    main()
