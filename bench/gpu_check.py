"""Everything that only a GPU can show, as one command and one JSON file.

    python -m bench.gpu_check [--movies FILE --credits FILE] [--out FILE] [SECTION ...]

Sections, each in a process of its own so that an abort in one leaves the others standing:

contract    the whole test suite on the GPU backend
parity      both backends from the same draws: vocabulary, labels, inertia
tmdb        from CSV to clusters, against cuDF + cuML alone on the same card
memory      running out of device memory: smaller blocks, then a clear error; and places
            beyond 2^31
iteration   one sparse iteration at 63,000 x 79,000, and cuML's dense one where that fits
million     one million documents, 60 million non-zeros, k = 1000

A section that fails is recorded with its reason and without figures. Times are device-
synchronised, warm, medians of the stated repeats.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.article import in_turns
from bench.cases import CORPORA
from bench.contestants.cuml import Cuml
from bench.measure import judge, machine, repeat, summary, write

SEED = 42
REPEATS = 7
NEAR_TIE = 1e-5
"""Relative difference of two squared distances below which either label is right."""
PARITY = 1e-4
"""Relative difference of inertia from one start that both backends may have."""
MARK = "result: "


def main() -> None:
    """Run the given sections, or all, and write their results."""
    parser = argparse.ArgumentParser(prog="bench.gpu_check", description=__doc__.split("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], metavar="SECTION")
    parser.add_argument("--movies", type=Path, help="tmdb_5000_movies.csv (the sample otherwise)")
    parser.add_argument("--credits", type=Path, help="tmdb_5000_credits.csv")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    files = _files(options.movies, options.credits)
    if options.inside:
        (name,) = options.sections
        print(MARK + json.dumps(SECTIONS[name](*files)))
        return
    # Not asked in this process: the answer would hold a context on the device all the while.
    device = _apart("machine", files)
    if device.get("gpu") is None:
        sys.exit(f"gpu-check needs a GPU: {device['obstacle']}")
    record: dict[str, Any] = {"machine": device, "seed": SEED, "sections": {}}
    for name in options.sections or [name for name in SECTIONS if name != "machine"]:
        record["sections"][name] = _apart(name, files)
        write(record, options.out)
    failed = [name for name, result in record["sections"].items() if "failed" in result]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def _files(movies: Path | None, credits: Path | None) -> tuple[Path, Path | None]:
    if movies is not None:
        return movies, credits
    from gpu_kmeans.data import sample

    return sample.paths()


def _apart(name: str, files: tuple[Path, Path | None]) -> dict[str, Any]:
    """Run a section in a fresh process; its result, or why there is none."""
    command = [sys.executable, "-m", "bench.gpu_check", name, "--inside", "--movies", str(files[0])]
    command += [] if files[1] is None else ["--credits", str(files[1])]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = {"process_seconds": round(time.perf_counter() - start, 1)}
    marked = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not marked:
        tail = (done.stderr or done.stdout).strip().splitlines()[-12:]
        return {"failed": f"exit {done.returncode}", "said": tail, **took}
    result: dict[str, Any] = json.loads(marked[-1].removeprefix(MARK))
    return result | took


def about(movies: Path, credits: Path | None) -> dict[str, Any]:
    """Describe the machine, and say why its GPU cannot be used, if so."""
    from gpu_kmeans import why_not_gpu

    return machine() | {"obstacle": why_not_gpu()}


# -- sections ---------------------------------------------------------------------------


def contract(movies: Path, credits: Path | None) -> dict[str, Any]:
    """Run the tests with the GPU as their backend; what was skipped is named, not counted."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "tests", "--backend", "gpu", "-q"]
        done = subprocess.run(
            [*command, f"--junitxml={report}"], capture_output=True, text=True, check=False
        )
        if not report.exists():
            raise SystemExit(f"pytest wrote no report: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    kinds: dict[str, list[str]] = {"failure": [], "error": [], "skipped": []}
    # Tests of the CPU's own parts, and of the emulation, say nothing about a GPU.
    cases = [case for case in cases if re.search(r"\[gpu[-\]]", case.get("name") or "")]
    for case in cases:
        for kind, names in kinds.items():
            outcome = case.find(kind)
            if outcome is not None:
                reason = (outcome.get("message") or "").splitlines()[:1]
                names.append(
                    f"{case.get('classname')}.{case.get('name')}: {' '.join(reason)}"[:300]
                )
    passed = len(cases) - sum(map(len, kinds.values()))
    wrong = len(kinds["failure"]) + len(kinds["error"])
    return {"passed": passed, **kinds} | ({"failed": f"{wrong} tests"} if wrong else {})


def parity(movies: Path, credits: Path | None) -> dict[str, Any]:
    """Fit the same texts on both backends, from the same draws and from the same start."""
    import numpy as np

    from gpu_kmeans import KMeans, TfidfVectorizer
    from gpu_kmeans.backends.select import resolve
    from gpu_kmeans.data.catalogue import load_catalogue

    result: dict[str, Any] = {}
    matrices, vocabularies, tables = {}, {}, {}
    for name in ("cpu", "gpu"):
        catalogue = load_catalogue(movies, credits, backend=name)
        vectorizer = TfidfVectorizer(stop_words="english", backend=name)
        rows = vectorizer.fit_transform(catalogue.texts)
        matrices[name] = resolve(name).to_host(rows)
        vocabularies[name] = list(vectorizer.vocabulary_)
        tables[name] = catalogue.to_arrow()
    cpu, gpu = matrices["cpu"], matrices["gpu"]
    result["catalogue_equal"] = tables["cpu"].equals(tables["gpu"])
    result["vocabulary_equal"] = vocabularies["cpu"] == vocabularies["gpu"]
    result["matrix_equal"] = cpu.nnz == gpu.nnz and bool(
        (cpu.indptr == gpu.indptr).all()
        and (cpu.indices == gpu.indices).all()
        and (cpu.data == gpu.data).all()
    )
    known = cpu[np.diff(cpu.indptr) > 0]
    k = min(10, known.shape[0])
    start = known[np.random.default_rng(SEED).choice(known.shape[0], k, replace=False)].toarray()
    fits = {
        name: KMeans(k, init=start, algorithm="lloyd", max_iter=25, backend=name).fit(known)
        for name in ("cpu", "gpu")
    }
    result["lloyd_from_one_start"] = _compare(known, fits["cpu"], fits["gpu"])
    fits = {name: KMeans(k, random_state=SEED, backend=name).fit(known) for name in ("cpu", "gpu")}
    result["fit_from_one_seed"] = _compare(known, fits["cpu"], fits["gpu"])
    again = KMeans(k, random_state=SEED, backend="gpu").fit(known)
    result["same_labels_twice_on_the_gpu"] = bool((again.labels_ == fits["gpu"].labels_).all())
    start = result["lloyd_from_one_start"]
    wrong = [
        name for name in ("catalogue_equal", "vocabulary_equal", "matrix_equal") if not result[name]
    ]
    if start["labels_that_differ"] > start["of_them_near_ties"]:
        wrong.append("labels differ beyond near-ties")
    if start["relative_difference"] > PARITY:
        wrong.append(f"inertia differs by more than {PARITY:g}")
    return result | ({"failed": ", ".join(wrong)} if wrong else {})


def _compare(rows: Any, cpu: Any, gpu: Any) -> dict[str, Any]:
    """Inertia of both, judged in float64, and the rows whose labels differ."""
    import numpy as np

    k = len(cpu.cluster_centers_)
    inertia = {name: judge(rows, fit.labels_, k) for name, fit in (("cpu", cpu), ("gpu", gpu))}
    different = np.flatnonzero(cpu.labels_ != gpu.labels_)
    wide = rows[different].astype(np.float64)
    means = cpu.cluster_centers_.astype(np.float64)
    squared = np.asarray(wide.multiply(wide).sum(axis=1)).reshape(-1, 1) - 2 * (wide @ means.T)
    squared = np.asarray(squared) + np.square(means).sum(axis=1)
    position = np.arange(len(different))
    mine, theirs = (
        squared[position, cpu.labels_[different]],
        squared[position, gpu.labels_[different]],
    )
    gaps = np.abs(mine - theirs) / np.maximum(np.abs(mine), 1e-30)
    return {
        "inertia": inertia,
        "relative_difference": abs(inertia["cpu"] - inertia["gpu"]) / inertia["cpu"],
        "labels_that_differ": len(different),
        "of_them_near_ties": int((gaps < NEAR_TIE).sum()),
        "rows_and_gaps": [[int(i), float(g)] for i, g in zip(different[:50], gaps, strict=False)],
    }


def tmdb(movies: Path, credits: Path | None) -> dict[str, Any]:
    """From CSV to ten clusters: this package, and cuDF with cuML alone, in turns."""
    import cudf
    import cupy as cp
    import rmm
    from cuml.cluster import KMeans as CumlKMeans
    from cuml.feature_extraction.text import TfidfVectorizer as CumlVectorizer

    import gpu_kmeans
    from gpu_kmeans.backends.select import resolve

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

    times = in_turns(ours, theirs, REPEATS)
    peak = {}
    pool = rmm.mr.get_current_device_resource()
    for name, call in (("ours", ours), ("theirs", theirs)):
        counting = rmm.mr.StatisticsResourceAdaptor(pool)
        rmm.mr.set_current_device_resource(counting)
        call()
        peak[name] = int(counting.allocation_counts.peak_bytes)
    rmm.mr.set_current_device_resource(pool)
    clustered = labels["ours"] >= 0
    return {
        **times,
        "peak_device_bytes": peak,
        "inertia": {
            "ours": judge(labels["rows"][clustered], labels["ours"][clustered], 10),
            "theirs": judge(labels["theirs_rows"], labels["theirs"], 10),
        },
        "shape": list(labels["rows"].shape),
        "nnz": int(labels["rows"].nnz),
    }


def memory(movies: Path, credits: Path | None) -> dict[str, Any]:
    """Leave less and less device memory: the answer stays the same until it is refused."""
    import numpy as np
    import rmm

    from gpu_kmeans import errors
    from gpu_kmeans.backends.select import resolve

    backend = resolve("gpu")
    rng = np.random.default_rng(SEED)
    rows = backend.matrix(rng.random((200_000, 64), dtype=np.float32))
    clusters = backend.clusters_from(rng.random((2_000, 64), dtype=np.float32), np.float32)
    expected = backend.assign(rows, clusters).nearest
    pool = rmm.mr.get_current_device_resource()
    outcomes: list[dict[str, Any]] = []
    for mebibytes in (1024, 256, 64, 24, 1):
        limited = rmm.mr.LimitingResourceAdaptor(pool, mebibytes << 20)
        rmm.mr.set_current_device_resource(limited)
        try:
            same = bool((backend.assign(rows, clusters).nearest == expected).all())
            outcomes.append({"mebibytes": mebibytes, "same_labels": same})
        except errors.OutOfDeviceMemory as error:
            outcomes.append({"mebibytes": mebibytes, "refused": str(error)})
        finally:
            rmm.mr.set_current_device_resource(pool)
    again = bool((backend.assign(rows, clusters).nearest == expected).all())
    wrong = [one for one in outcomes if not one.get("same_labels", True)]
    refused = any("refused" in one for one in outcomes)
    result = {"with_a_limit_of": outcomes, "right_again_afterwards": again, **_beyond_int32()}
    if wrong or not again or not refused or not result["right_beyond_int32"]:
        result["failed"] = "see the figures"
    return result


def _beyond_int32() -> dict[str, Any]:
    """Rows times clusters, and features times clusters, of more than 2^31, against what is known.

    Row i holds one 1, in feature ``i % n_features``; cluster c is the unit vector of feature c.
    """
    import numpy as np
    from scipy import sparse

    from gpu_kmeans.backends.select import resolve

    n, n_features, k = 3_000_000, 2_500_000, 1_000
    backend = resolve("gpu")
    features = (np.arange(n) % n_features).astype(np.int32)
    rows = sparse.csr_matrix(
        (np.ones(n, np.float32), features, np.arange(n + 1, dtype=np.int32)), (n, n_features)
    )
    device = backend.matrix(rows)
    # The last cluster has the last feature, whose sums stand beyond 2^31.
    labels = np.minimum(features, k - 1).astype(np.int32)
    labels[features == n_features - 1] = k - 2
    clusters = backend.cluster_sums(device, labels, k)
    nearest = backend.assign(device, clusters).nearest
    certain = (features < k - 2) | (features == n_features - 1)
    right = bool((nearest[certain] == labels[certain]).all())
    return {"right_beyond_int32": right, "rows_features_clusters": [n, n_features, k]}


def iteration(movies: Path, credits: Path | None) -> dict[str, Any]:
    """Assignment and sums at the shape of 63,000 package descriptions, k = 100 and 1000."""
    rows = CORPORA["zipf-63k"].rows()
    copied = _copy()
    result: dict[str, Any] = {
        "shape": list(rows.shape),
        "nnz": int(rows.nnz),
        "copy_bytes_per_second": copied,
    }
    for k in (100, 1000):
        ours = _sparse_iteration(rows, k, copied)
        result[f"k={k}"] = {"ours": ours, "cuml_dense": _cuml_dense(rows, k)}
    return result


def million(movies: Path, credits: Path | None) -> dict[str, Any]:
    """The same at one million documents; made dense, the rows would take hundreds of GB."""
    rows = CORPORA["zipf-1m"].rows()
    copied = _copy()
    return {
        "shape": list(rows.shape),
        "nnz": int(rows.nnz),
        "dense_bytes": 4 * rows.shape[0] * rows.shape[1],
        "copy_bytes_per_second": copied,
        "k=1000": _sparse_iteration(rows, 1000, copied),
    }


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


def _cuml_dense(rows: Any, k: int) -> dict[str, Any]:
    """cuML's dense k-means from the same rows: seconds of an iteration, by two lengths of fit."""
    import cupy as cp
    import numpy as np

    free, _ = cp.cuda.runtime.memGetInfo()
    needed = 4 * rows.shape[0] * rows.shape[1] + 8 * rows.shape[1] * k
    if needed * 1.2 > free:
        return {"skipped": f"dense rows need {needed / 2**30:.0f} GiB, {free / 2**30:.0f} are free"}
    dense = cp.zeros(rows.shape, dtype=np.float32)
    for start in range(0, rows.shape[0], 4096):
        dense[start : start + 4096] = cp.asarray(rows[start : start + 4096].toarray())
    chosen = np.random.default_rng(SEED).choice(rows.shape[0], k, replace=False)
    init = dense[cp.asarray(chosen)]

    def fit(n_iter: int) -> float:
        start = time.perf_counter()
        Cuml().iterate(dense, k, init, n_iter)  # the labels come to the host: it waits for them
        return time.perf_counter() - start

    fit(1)
    seconds = [(fit(6) - fit(1)) / 5 for _ in range(3)]
    return {"seconds": {"iteration": summary(seconds) | {"repeats": 3, "warm_up": 1}}}


SECTIONS: dict[str, Callable[[Path, Path | None], dict[str, Any]]] = {
    "machine": about,
    "contract": contract,
    "parity": parity,
    "tmdb": tmdb,
    "memory": memory,
    "iteration": iteration,
    "million": million,
}

if __name__ == "__main__":
    main()
