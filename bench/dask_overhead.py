"""What Dask costs on one machine, and what it would cost on many: measured, and from a model.

    python -m bench.dask_overhead [--case zipf-63k-100] [--pairs 3] [--out FILE]

Whole fits of the CPU backend with one thread and of one and two workers of one thread each, in
turns, from the same seed; labels are compared. Then the constants of the model: the seconds of a
step that does nothing, and of a megabyte to a worker and back.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # of this process, as of the workers: before any library

import numpy as np
from scipy import sparse

from bench.corpora import SEED, Corpus, Zipf
from bench.measure import machine, summary, write

__all__ = ["fits", "predicted"]

CASES: dict[str, tuple[Corpus, int]] = {
    "zipf-5k-10": (Zipf(5_000, 20_000, topics=100, mean_length=38), 10),
    "zipf-63k-100": (Zipf(63_000, 79_000, topics=1_000, mean_length=36.5), 100),
}
WORKERS = (1, 2)


def fits(rows: Any, k: int, algorithm: str, pairs: int) -> dict[str, Any]:
    """Seconds of whole fits, each way so many times after one that is not timed."""
    from distributed import Client, LocalCluster

    from gpu_kmeans import KMeans
    from gpu_kmeans.distributed import DaskBackend

    options: dict[str, Any] = {"n_clusters": k, "algorithm": algorithm, "random_state": SEED}
    seconds: dict[str, list[float]] = {"cpu": []} | {f"dask-{count}": [] for count in WORKERS}
    differ, inertias = {}, {}
    for count in WORKERS:
        with (
            LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            for turn in range(pairs + 1):
                labels = {}
                for name, backend in (("cpu", "cpu"), (f"dask-{count}", DaskBackend(client))):
                    begun = time.perf_counter()
                    model = KMeans(backend=backend, **options).fit(rows)
                    if turn:
                        seconds[name].append(time.perf_counter() - begun)
                    labels[name], inertias[name] = model.labels_, model.inertia_
                differ[name] = int((labels["cpu"] != labels[name]).sum())
    ratios = {}
    for index, count in enumerate(WORKERS):
        own = seconds["cpu"][index * pairs : (index + 1) * pairs]
        theirs = seconds[f"dask-{count}"]
        ratios[f"dask-{count}"] = summary([a / b for a, b in zip(theirs, own, strict=True)])
    return {
        "algorithm": algorithm,
        "k": k,
        "rows": rows.shape[0],
        "features": rows.shape[1],
        "nonzeros": int(rows.nnz),
        "pairs": pairs,
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "ratio_to_cpu": ratios,
        "labels_that_differ": differ,
        "inertia": inertias,
    }


def constants() -> dict[str, float]:
    """Seconds of an empty step, and of a megabyte there and back, on this machine."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        block = np.zeros(32 << 20, np.uint8)
        empty, there, back = [], [], []
        for _ in range(20):
            begun = time.perf_counter()
            client.run(_nothing, None)
            empty.append(time.perf_counter() - begun)
        for _ in range(3):
            begun = time.perf_counter()
            client.run(_nothing, block)
            there.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            client.run(_block)
            back.append(time.perf_counter() - begun)
    return {
        "step_seconds": float(np.median(empty)),
        "seconds_per_mb_to_worker": float(np.median(there)) / 32,
        "seconds_per_mb_from_worker": float(np.median(back)) / 32,
    }


def _nothing(_: Any) -> None:
    return None


def _block() -> Any:
    return np.zeros(32 << 20, np.uint8)


def predicted(
    rows: float, nonzeros: float, features: int, k: int, workers: int, known: dict[str, float]
) -> dict[str, Any]:
    """Bytes and seconds of one of Lloyd's iterations in which one row in 32 moves.

    A worker is sent the moves (12 bytes a non-zero, and 8 a row, of each row that moves) and the
    clusters' weights; it answers with 12 bytes a row. Rows that move come to the client first.
    The client talks to one worker after the other.
    """
    moved = rows / 32
    moves = moved * (12 * nonzeros / rows + 8)
    answers = rows * (4 + 8)
    to_workers = workers * (moves + 16 * k)
    from_workers = answers + moves
    mb = 1 << 20
    reckoning = known["seconds_per_nonzero_and_cluster"] * nonzeros * k / workers
    transfer = (
        to_workers / mb * known["seconds_per_mb_to_worker"]
        + from_workers / mb * known["seconds_per_mb_from_worker"]
    )
    steps = 2 * known["step_seconds"] * math.ceil(workers / 16)
    return {
        "rows": rows,
        "nonzeros": nonzeros,
        "features": features,
        "k": k,
        "workers": workers,
        "messages": 2 * workers,
        "bytes_to_workers": to_workers,
        "bytes_from_workers": from_workers,
        "seconds_reckoning": reckoning,
        "seconds_transfer": transfer + steps,
    }


def _reckoning(rows: Any, k: int) -> float:
    """Seconds for a non-zero and cluster of an assignment by one thread."""
    from gpu_kmeans import resolve

    backend = resolve("cpu")
    matrix = backend.matrix(sparse.csr_array(rows))
    labels = np.random.default_rng(SEED).integers(0, k, rows.shape[0]).astype(np.int32)
    clusters = backend.cluster_sums(matrix, labels, k)
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        backend.assign(matrix, clusters)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds)) / (rows.nnz * k)


def main() -> None:
    """Measure all, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="bench.dask_overhead")
    parser.add_argument("--case", choices=CASES, default="zipf-63k-100")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    corpus, k = CASES[options.case]
    rows = corpus.rows()
    known = constants() | {"seconds_per_nonzero_and_cluster": _reckoning(rows, k)}
    measured = [fits(rows, k, name, options.pairs) for name in ("lloyd", "hartigan")]
    model = predicted(1e8, 3e9, 1_000_000, 1_000, 64, known)
    write(
        {"machine": machine(), "case": options.case, "fits": measured, "constants": known}
        | {"model_of_an_iteration": model},
        options.out,
    )


if __name__ == "__main__":
    main()
