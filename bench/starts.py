"""Where a fit ends from the sketch and from k-means++, on rows that are hard for a start.

    python -m bench.starts [--seeds 3] [--out FILE]

Skewed, low-dimensional, heavy-tailed and repeated rows, dense and sparse, with "hartigan" and
"lloyd"; inertias as they are judged from the labels, in float64, and scikit-learn's beside them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.corpora import SEED
from bench.measure import machine, summary, write

__all__ = ["ROWS", "fits"]

CLUSTERS = (2, 10, 50, 200)
STARTS = ("sketch", "k-means++", "auto")
Draw = np.random.Generator


def _blobs(draw: Draw, n: int, n_features: int, centres: int, apart: float) -> NDArray[Any]:
    means = apart * draw.normal(size=(centres, n_features))
    return draw.normal(size=(n, n_features)) + means[draw.integers(0, centres, n)]


def _counts(draw: Draw) -> Any:
    def sample(size: int) -> NDArray[Any]:
        return np.floor(draw.lognormal(0, 2, size)) + 1

    return sparse.random_array((3000, 500), density=0.03, rng=draw, data_sampler=sample).tocsr()


ROWS: dict[str, Callable[[Draw], Any]] = {
    "lognormal, 3000 x 1": lambda draw: draw.lognormal(0, 2, (3000, 1)),
    "lognormal, 3000 x 3": lambda draw: draw.lognormal(0, 3, (3000, 3)),
    "Cauchy, 3000 x 3": lambda draw: draw.standard_cauchy((3000, 3)),
    "normal, 3000 x 2": lambda draw: draw.normal(size=(3000, 2)),
    "normal, 3000 x 16": lambda draw: draw.normal(size=(3000, 16)),
    "blobs, 3000 x 4": lambda draw: _blobs(draw, 3000, 4, 50, 10.0),
    "blobs, 3000 x 64": lambda draw: _blobs(draw, 3000, 64, 100, 2.0),
    "repeated, 3000 x 3": lambda draw: draw.integers(0, 6, (3000, 3)).astype(float),
    "counts, sparse, 3000 x 500": _counts,
}


def _judged(rows: Any, labels: NDArray[np.int32]) -> float:
    """Inertia of the labels around their own means, cluster by cluster, in float64."""
    total = 0.0
    for label in np.unique(labels):
        members = rows[labels == label]
        dense = members.toarray() if sparse.issparse(members) else members
        total += float(np.square(dense.astype(np.float64) - dense.mean(axis=0, dtype=float)).sum())
    return total


def fits(name: str, k: int, algorithm: str, seeds: int) -> dict[str, Any]:
    """Inertias and seconds of each start, and of scikit-learn's k-means with one start."""
    from sklearn.cluster import KMeans as Peer

    from gpu_kmeans import KMeans

    rows = ROWS[name](np.random.default_rng(SEED)).astype(np.float32)
    record: dict[str, Any] = {"rows": name, "k": k, "algorithm": algorithm, "seeds": seeds}
    for start in STARTS:
        inertias, seconds = [], []
        for seed in range(seeds):
            model = KMeans(k, init=start, algorithm=algorithm, random_state=seed, backend="cpu")
            begun = time.perf_counter()
            labels = model.fit(rows).labels_
            seconds.append(time.perf_counter() - begun)
            inertias.append(_judged(rows, labels))
        record[start] = {"inertia": summary(inertias), "seconds": summary(seconds)}
    exact = rows.astype(np.float64)
    peers = [Peer(k, n_init=1, random_state=seed).fit(exact).labels_ for seed in range(seeds)]
    record["scikit-learn"] = {"inertia": summary([_judged(rows, labels) for labels in peers])}
    return record


def main() -> None:
    """Measure all, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="bench.starts", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    records = [
        fits(name, k, algorithm, arguments.seeds)
        for name in ROWS
        for k in CLUSTERS
        for algorithm in ("hartigan", "lloyd")
    ]
    write({"machine": machine(), "fits": records}, arguments.out)


if __name__ == "__main__":
    main()
