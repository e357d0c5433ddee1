"""Dense regions of dense rows, in turns with scikit-learn's HDBSCAN over all pairs.

    python -m bench.density [--rows 50000] [--pairs 1] [--out FILE]

Both are asked for clusters of the same least size and told density by as many neighbours. The rows
are blobs of 30 features, every fifth row anywhere between them. Agreement is the adjusted Rand
index, of both labelings with each other and with the blobs, noise being one label.
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

__all__ = ["compare", "noisy_blobs"]

FEATURES, CENTRES, SPREAD, RANGE = 30, 40, 2.0, 12.0
"""Number of features and of blobs, standard deviation of these, and half the width of the cube."""


def noisy_blobs(n: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Make rows and their blobs; -1 for those that are in none."""
    rng = np.random.default_rng(SEED)
    labels = rng.integers(0, CENTRES, n)
    centres = rng.uniform(-10, 10, (CENTRES, FEATURES))
    rows = centres[labels] + rng.normal(0, SPREAD, (n, FEATURES))
    rows[::5] = rng.uniform(-RANGE, RANGE, rows[::5].shape)
    labels[::5] = -1
    return rows.astype(np.float32), labels


def compare(n: int, pairs: int) -> dict[str, Any]:
    """Cluster by both so many times in turns."""
    from sklearn.cluster import HDBSCAN
    from sklearn.metrics import adjusted_rand_score

    from gpu_kmeans import resolve
    from gpu_kmeans.clustering.base import clusterer
    from gpu_kmeans.clustering.density import LEAST_ROWS, LEAST_SHARE, NEIGHBORS

    rows, labels = noisy_blobs(n)
    least = max(LEAST_ROWS, round(LEAST_SHARE * n))
    backend = resolve("cpu")
    ours = clusterer("hdbscan", n_clusters=1, max_iter=1, seed=SEED)
    seconds: dict[str, list[float]] = {"ours": [], "scikit-learn": []}
    for _ in range(pairs):
        start = time.perf_counter()
        mine = ours.fit(rows, backend).labels
        seconds["ours"].append(time.perf_counter() - start)
        start = time.perf_counter()
        peer = HDBSCAN(min_cluster_size=least, min_samples=min(least, NEIGHBORS), copy=True)
        theirs = peer.fit_predict(rows.astype(np.float64))
        seconds["scikit-learn"].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["scikit-learn"], strict=True)]
    return {
        "rows": n,
        "features": FEATURES,
        "pairs": pairs,
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "ratio": summary(ratios),
        "clusters": {"ours": int(mine.max()) + 1, "scikit-learn": int(theirs.max()) + 1},
        "noise": {
            "ours": float(np.mean(mine < 0)),
            "scikit-learn": float(np.mean(theirs < 0)),
            "planted": float(np.mean(labels < 0)),
        },
        "agreement": {
            "of both": float(adjusted_rand_score(mine, theirs)),
            "ours with the blobs": float(adjusted_rand_score(labels, mine)),
            "scikit-learn with the blobs": float(adjusted_rand_score(labels, theirs)),
        },
    }


def main() -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(prog="bench.density")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("bench/results/density.json"))
    options = parser.parse_args()
    write({"machine": machine(), **compare(options.rows, options.pairs)}, options.out)


if __name__ == "__main__":
    main()
