"""The nearest rows of sparse rows, in turns with SciPy's sparse product as it comes.

    python -m bench.neighbors [--pairs 3] [--out FILE]

Both find the 15 nearest of each of the same rows of length 1, in one process, one after the other;
a pair gives one ratio of times. SciPy multiplies a block of rows by all of them, turned once, and
NumPy takes the largest of each row: no product is whole in memory. The similarities of both are
compared outside the timer.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure import machine, summary, write

__all__ = ["by_product", "compare"]

CORPUS, COUNT = "zipf-63k", 15
BLOCK = 64
"""Number of rows that SciPy multiplies at a time: 256 and 1,024 take longer."""


def by_product(rows: Any, count: int, block: int = BLOCK) -> NDArray[Any]:
    """Return the ``count`` largest products of each row with others, rising, by SciPy and NumPy."""
    n = rows.shape[0]
    turned = rows.T.tocsr()
    best = np.empty((n, count), rows.dtype)
    for start in range(0, n, block):
        stop = min(n, start + block)
        scores = (rows[start:stop] @ turned).toarray()
        scores[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        best[start:stop] = np.sort(np.partition(scores, n - count, axis=1)[:, n - count :], axis=1)
    return best


def compare(rows: Any, count: int, pairs: int) -> dict[str, Any]:
    """Find the neighbours by both so many times in turns."""
    from gpu_kmeans.clustering.neighbors import neighbors

    neighbors(rows[: count + 2], count, backend="cpu")
    seconds: dict[str, list[float]] = {"ours": [], "SciPy": []}
    difference = 0.0
    for _ in range(pairs):
        fresh = rows.copy()
        start = time.perf_counter()
        found = neighbors(fresh, count, backend="cpu")
        seconds["ours"].append(time.perf_counter() - start)
        start = time.perf_counter()
        best = by_product(rows, count)
        seconds["SciPy"].append(time.perf_counter() - start)
        difference = max(difference, float(np.abs(found.values - best[:, ::-1]).max()))
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["SciPy"], strict=True)]
    return {
        "rows": rows.shape[0],
        "features": rows.shape[1],
        "nonzeros": int(rows.nnz),
        "neighbors": count,
        "pairs": pairs,
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "ratio": summary(ratios),
        "largest_difference": difference,
    }


def main() -> None:
    """Measure, and write the record."""
    from bench.cases import CORPORA

    parser = argparse.ArgumentParser(prog="bench.neighbors")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench/results/neighbors.json"))
    options = parser.parse_args()
    comparison = compare(CORPORA[CORPUS].rows(), COUNT, options.pairs)
    write({"machine": machine(), "corpus": CORPUS, **comparison}, options.out)


if __name__ == "__main__":
    main()
