"""Reducing sparse rows, in turns with scikit-learn's ``TruncatedSVD`` as it comes.

    python -m bench.reduction [--pairs 3] [--out FILE]

Both find 50 components of the same rows, in one process, one after the other; a pair gives one
ratio of times. Explained variance is recomputed from the components of each, outside the timer.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.corpora import SEED
from bench.measure import machine, summary, write

__all__ = ["compare", "explained"]

CORPUS, COMPONENTS = "zipf-63k", 50
OTHER_ITERATIONS = 5
"""Power iterations of scikit-learn's ``TruncatedSVD``: its default."""


def explained(rows: Any, components: NDArray[Any]) -> float:
    """Return the share of the rows' variance that their projections onto components have."""
    wide = rows.astype(np.float64)
    variance = wide.multiply(wide).mean(axis=0) - np.square(wide.mean(axis=0))
    scores = wide @ components.astype(np.float64).T
    return float(scores.var(axis=0).sum() / np.asarray(variance).sum())


def compare(corpus: str, count: int, pairs: int) -> dict[str, Any]:
    """Fit both so many times in turns, after one fit of ours that is not timed."""
    from sklearn.decomposition import TruncatedSVD

    from bench.cases import CORPORA
    from gpu_kmeans import RandomizedSVD

    rows = CORPORA[corpus].rows()
    seconds: dict[str, list[float]] = {"ours": [], "scikit-learn": []}
    shares: dict[str, list[float]] = {"ours": [], "scikit-learn": []}
    RandomizedSVD(count, random_state=SEED, backend="cpu").fit(rows[:2000].copy())
    for pair in range(pairs):
        for name, estimator in (
            ("ours", RandomizedSVD(count, random_state=SEED + pair, backend="cpu")),
            (
                "scikit-learn",
                TruncatedSVD(count, n_iter=OTHER_ITERATIONS, random_state=SEED + pair),
            ),
        ):
            fresh = rows.copy()
            start = time.perf_counter()
            estimator.fit(fresh)
            seconds[name].append(time.perf_counter() - start)
            shares[name].append(explained(rows, estimator.components_))
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["scikit-learn"], strict=True)]
    return {
        "corpus": corpus,
        "rows": rows.shape[0],
        "features": rows.shape[1],
        "nonzeros": int(rows.nnz),
        "components": count,
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "explained_variance": shares,
        "ratio": summary(ratios),
    }


def main() -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(prog="bench.reduction")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench/results/reduction.json"))
    options = parser.parse_args()
    comparison = compare(CORPUS, COMPONENTS, options.pairs)
    write({"machine": machine(), **comparison}, options.out)


if __name__ == "__main__":
    main()
