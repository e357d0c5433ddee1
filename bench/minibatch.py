"""Mini-batches here and scikit-learn's, of rows in memory and of rows that come as a stream.

    python -m bench.minibatch [--seeds 3] [--out FILE]

In turns, in one process: ``fit`` of all rows, and ``partial_fit`` of batches of them in a drawn
order. Inertias are judged from the labels that ``predict`` gives all rows, in float64.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import CORPORA
from bench.corpora import SEED, Blobs, Corpus
from bench.measure import judge, machine, summary, write

__all__ = ["CASES", "fits"]

CASES: dict[str, tuple[Corpus, tuple[int, ...]]] = {
    "zipf-5k": (CORPORA["zipf-5k"], (10, 100)),
    "zipf-63k": (CORPORA["zipf-63k"], (100,)),
    "embeddings-50k": (Blobs(50_000, 384, 100), (20, 100)),
}
BATCH = 4096
"""Number of rows of a batch of a stream."""
WAYS = ("fit", "stream")


def fits(rows: Any, k: int, seeds: int) -> list[dict[str, Any]]:
    """Seconds and inertias of both, each way."""
    from sklearn.cluster import MiniBatchKMeans

    from gpu_kmeans import KMeans

    results: dict[str, dict[str, list[tuple[float, float]]]] = {
        way: {"gpu-kmeans": [], "scikit-learn": []} for way in WAYS
    }
    for seed in range(SEED, SEED + seeds):
        for way in WAYS:
            own = KMeans(k, algorithm="minibatch", random_state=seed, backend="cpu")
            peer = MiniBatchKMeans(k, random_state=seed)
            for name, model in (("gpu-kmeans", own), ("scikit-learn", peer)):
                results[way][name].append(_run(model, rows, k, way, seed))
    records = []
    for way, both in results.items():
        record: dict[str, Any] = {"way": way, "k": k, "seeds": seeds}
        record["seconds"] = {name: summary([s for s, _ in runs]) for name, runs in both.items()}
        record["inertia"] = {name: _spread([i for _, i in runs]) for name, runs in both.items()}
        pairs = list(zip(*both.values(), strict=True))
        record["ratio_of_seconds"] = summary([own[0] / peer[0] for own, peer in pairs])
        record["ratio_of_inertias"] = _spread([own[1] / peer[1] for own, peer in pairs])
        records.append(record)
    return records


def _run(model: Any, rows: Any, k: int, way: str, seed: int) -> tuple[float, float]:
    """Seconds until the labels of all rows are known, and their inertia."""
    order = np.random.default_rng(seed).permutation(rows.shape[0])
    batches = [rows[order[i : i + BATCH]] for i in range(0, len(order), BATCH)]
    begun = time.perf_counter()
    if way == "fit":
        labels = model.fit(rows).labels_
    else:
        for batch in batches:
            model.partial_fit(batch)
        labels = model.predict(rows)
    return time.perf_counter() - begun, judge(rows, labels, k)


def _spread(values: list[float]) -> dict[str, float]:
    """Median and extremes with the digits in which inertias differ."""
    figures = {"median": float(np.median(values)), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.7g}") for name, value in figures.items()}


def main() -> None:
    """Measure all, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="bench.minibatch", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    records = []
    for name in options.case:
        corpus, counts = CASES[name]
        rows = corpus.rows()
        about = {"rows": name, "n": rows.shape[0], "n_features": rows.shape[1], "batch": BATCH}
        records += [about | record for k in counts for record in fits(rows, k, options.seeds)]
    write({"machine": machine(), "fits": records}, options.out)


if __name__ == "__main__":
    main()
