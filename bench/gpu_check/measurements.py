"""What is timed on a GPU, beside what the same card does with its libraries alone.

Not yet run on a GPU.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.article import in_turns
from bench.cases import CORPORA
from bench.contestants.cuml import Cuml
from bench.gpu_check.checks import SEED
from bench.gpu_check.processes import Note
from bench.measure import judge, repeat, summary

__all__ = ["SEED", "dense", "iteration", "million", "reduced", "spmm", "tfidf", "tmdb"]

REPEATS = 7
SHAPE, LARGE = "zipf-63k", "zipf-1m"
"""Corpora of the iterations; see :mod:`bench.cases`."""
CLUSTERS = (100, 1000)
COMPONENTS = 100
"""Numbers that a row is reduced to."""
SCORES = 1 << 28
"""Maximum number of scores that cuSPARSE's product gives at once: 1 GiB."""

Files = tuple[Path, Path | None]


def tmdb(files: Files, note: Note) -> None:
    """From CSV to ten clusters: this package, and cuDF with cuML alone, in turns."""
    import cudf
    import cupy as cp
    import rmm
    from cuml.cluster import KMeans as CumlKMeans
    from cuml.feature_extraction.text import TfidfVectorizer as CumlVectorizer

    import gpu_kmeans
    from gpu_kmeans.backends.select import resolve

    movies, credits = files
    resolve("gpu")  # sets the pool up for both sides
    labels: dict[str, Any] = {}

    def ours() -> None:
        model = gpu_kmeans.fit(movies, credits, n_clusters=10, seed=SEED, backend="gpu")
        labels["ours"] = model.labels
        labels["rows"] = model.postings.to_csr()

    def theirs() -> None:
        films = cudf.read_csv(movies)
        if credits is not None:
            cast = cudf.read_csv(credits).drop(columns="title")
            films = films.merge(cast, left_on="id", right_on="movie_id", how="left")
            films = films.sort_values("id")
        texts = films["overview"].fillna("")
        rows = CumlVectorizer(stop_words="english").fit_transform(texts)
        fit = CumlKMeans(n_clusters=10, random_state=SEED).fit(rows.toarray())
        labels["theirs"], labels["theirs_rows"] = cp.asnumpy(fit.labels_), rows.get()
        cp.cuda.Device().synchronize()

    note(**in_turns(ours, theirs, REPEATS))
    clustered = labels["ours"] >= 0
    note(
        inertia={
            "ours": judge(labels["rows"][clustered], labels["ours"][clustered], 10),
            "theirs": judge(labels["theirs_rows"], labels["theirs"], 10),
        },
        shape=list(labels["rows"].shape),
        nnz=int(labels["rows"].nnz),
    )
    peak = {}
    pool = rmm.mr.get_current_device_resource()
    for name, call in (("ours", ours), ("theirs", theirs)):
        counting = rmm.mr.StatisticsResourceAdaptor(pool)
        rmm.mr.set_current_device_resource(counting)
        try:
            call()
        finally:
            rmm.mr.set_current_device_resource(pool)
        peak[name] = int(counting.allocation_counts.peak_bytes)
        note(peak_device_bytes=peak)


def tfidf(files: Files, note: Note) -> None:
    """Overviews to weighted rows: this package, and cuDF with cuML's vectoriser alone, in turns."""
    import cudf
    import cupy as cp
    from cuml.feature_extraction.text import TfidfVectorizer as CumlVectorizer

    from gpu_kmeans import TfidfVectorizer
    from gpu_kmeans.backends.select import resolve

    resolve("gpu")
    texts = cudf.read_csv(files[0])["overview"].fillna("")
    rows: dict[str, Any] = {}

    def ours() -> None:
        vectorizer = TfidfVectorizer(stop_words="english", backend="gpu")
        rows["ours"] = vectorizer.fit_transform(texts)
        cp.cuda.Device().synchronize()

    def theirs() -> None:
        rows["theirs"] = CumlVectorizer(stop_words="english").fit_transform(texts)
        cp.cuda.Device().synchronize()

    note(**in_turns(ours, theirs, REPEATS))
    note(
        shape={side: list(matrix.shape) for side, matrix in rows.items()},
        nnz={side: int(matrix.nnz) for side, matrix in rows.items()},
    )


def iteration(files: Files, note: Note) -> None:
    """Assignment and sums at the shape of 63,000 package descriptions."""
    rows = CORPORA[SHAPE].rows()
    copied = _copy()
    note(shape=list(rows.shape), nnz=int(rows.nnz), copy_bytes_per_second=copied)
    for k in CLUSTERS:
        note(**{f"k={k}": _sparse_iteration(rows, k, copied)})


def spmm(files: Files, note: Note) -> None:
    """The same assignment with the vendor's parts: cuSPARSE's product, and argmax of each row."""
    import cupy as cp
    import numpy as np

    from gpu_kmeans.backends.select import resolve

    rows = CORPORA[SHAPE].rows()
    backend = resolve("gpu")
    device = backend.matrix(rows)
    note(shape=list(rows.shape), nnz=int(rows.nnz))

    def measured(k: int) -> dict[str, Any]:
        chosen = np.random.default_rng(SEED).choice(rows.shape[0], k, replace=False)
        means = rows[chosen].toarray()
        columns = cp.asarray(np.ascontiguousarray(means.T))
        half = cp.asarray(np.square(means).sum(axis=1) / 2)
        step = max(1, SCORES // k)
        parts = [device[start : start + step] for start in range(0, rows.shape[0], step)]
        nearest: list[Any] = []

        def assign() -> None:
            nearest[:] = [(part @ columns - half).argmax(axis=1) for part in parts]
            cp.cuda.Device().synchronize()

        seconds = repeat(assign, REPEATS)
        labels = np.concatenate([cp.asnumpy(part) for part in nearest])
        ours = backend.assign(device, backend.clusters_from(means, means.dtype)).nearest
        return {"seconds": seconds, "same_labels_as_ours": float((labels == ours).mean())}

    for k in CLUSTERS:
        note(**{f"k={k}": measured(k)})


def dense(files: Files, note: Note) -> None:
    """cuML's k-means from the same rows made dense: seconds of an iteration, by two lengths."""
    import cupy as cp
    import numpy as np

    rows = CORPORA[SHAPE].rows()
    n, n_features = rows.shape
    free, _ = cp.cuda.runtime.memGetInfo()
    needed = 4 * n * n_features
    note(shape=[n, n_features], dense_bytes=needed)
    if (needed + 8 * n_features * max(CLUSTERS)) * 1.2 > free:
        short = f"dense rows need {needed / 2**30:.0f} GiB, {free / 2**30:.0f} are free"
        note(skipped=f"too little memory: {short}")
        return
    matrix = cp.zeros(rows.shape, dtype=np.float32)
    for start in range(0, n, 4096):
        matrix[start : start + 4096] = cp.asarray(rows[start : start + 4096].toarray())
    for k in CLUSTERS:
        note(**{f"k={k}": _cuml_iteration(matrix, k)})


def reduced(files: Files, note: Note) -> None:
    """The same rows in 100 numbers each: cuML's whole fit, and this package's, judged alike."""
    import cupy as cp

    from gpu_kmeans import KMeans, RandomizedSVD

    rows = CORPORA[SHAPE].rows()
    svd = RandomizedSVD(COMPONENTS, normalize=True, random_state=SEED, backend="gpu")
    host = svd.fit_transform(rows)
    device = cp.asarray(host)
    note(shape=list(host.shape))

    def measured(k: int) -> dict[str, Any]:
        labels: dict[str, Any] = {}

        def ours() -> None:
            labels["ours"] = KMeans(k, random_state=SEED, backend="gpu").fit(host).labels_

        def theirs() -> None:
            labels["theirs"] = Cuml().converge(device, k, SEED).labels

        times = in_turns(ours, theirs, 3)
        inertia = {side: judge(host, assigned, k) for side, assigned in labels.items()}
        return {**times, "inertia": inertia, "cuml_iteration": _cuml_iteration(device, k)}

    for k in CLUSTERS:
        note(**{f"k={k}": measured(k)})


def million(files: Files, note: Note) -> None:
    """The same at one million documents; made dense, the rows would take hundreds of GB."""
    rows = CORPORA[LARGE].rows()
    copied = _copy()
    note(
        shape=list(rows.shape),
        nnz=int(rows.nnz),
        dense_bytes=4 * rows.shape[0] * rows.shape[1],
        copy_bytes_per_second=copied,
    )
    k = CLUSTERS[-1]
    note(**{f"k={k}": _sparse_iteration(rows, k, copied)})


def _copy() -> float:
    """Bytes that the device copies a second, read and written, over 1 GiB."""
    import cupy as cp

    source = cp.zeros(1 << 28, dtype=cp.float32)
    target = cp.empty_like(source)

    def call() -> None:
        cp.copyto(target, source)
        cp.cuda.Device().synchronize()

    return 2 * source.nbytes / repeat(call, REPEATS)["median"]


def _sparse_iteration(rows: Any, k: int, copied: float) -> dict[str, Any]:
    """One Lloyd iteration and its parts, from rows drawn as centroids, judged by its labels."""
    import cupy as cp
    import numpy as np

    from gpu_kmeans.backends.select import resolve

    backend = resolve("gpu")
    device = backend.matrix(rows)
    chosen = np.random.default_rng(SEED).choice(rows.shape[0], k, replace=False)
    clusters = backend.cluster_sums(device[chosen], np.arange(k, dtype=np.int32), k)
    labels = backend.assign(device, clusters).nearest
    synchronize = cp.cuda.Device().synchronize
    clusters = backend.cluster_sums(device, labels, k)

    def assign() -> None:
        backend.assign(device, clusters)
        synchronize()

    def sums() -> None:
        backend.cluster_sums(device, labels, k)
        synchronize()

    def both() -> None:
        backend.cluster_sums(device, backend.assign(device, clusters).nearest, k)
        synchronize()

    seconds = {"iteration": repeat(both, REPEATS, warm_up=2), "assign": repeat(assign, REPEATS)}
    seconds["sums"] = repeat(sums, REPEATS)
    gathered = 4 * rows.nnz * k
    compulsory = 4 * rows.shape[1] * k + 8 * rows.nnz
    return {
        "seconds": seconds,
        "gathered_bytes": gathered,
        "gathered_bytes_per_second": gathered / seconds["assign"]["median"],
        "compulsory_bytes": compulsory,
        "share_of_bandwidth_floor": compulsory / copied / seconds["assign"]["median"],
        "operations_per_second": 2 * rows.nnz * k / seconds["assign"]["median"],
        "inertia_of_labels": judge(rows, labels, k),
    }


def _cuml_iteration(matrix: Any, k: int) -> dict[str, float]:
    """Seconds of one of cuML's iterations: the difference of six and one, by five."""
    import cupy as cp
    import numpy as np

    chosen = np.random.default_rng(SEED).choice(matrix.shape[0], k, replace=False)
    init = matrix[cp.asarray(chosen)]

    def fit(n_iter: int) -> float:
        start = time.perf_counter()
        Cuml().iterate(matrix, k, init, n_iter)  # the labels come to the host: it waits for them
        return time.perf_counter() - start

    fit(1)
    return summary([(fit(6) - fit(1)) / 5 for _ in range(3)]) | {"repeats": 3, "warm_up": 1}
