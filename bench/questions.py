"""The questions and their measurement: the part that runs in a contestant's own process.

``iteration``
    Seconds an iteration of Lloyd's algorithm takes, from one start (given as an array) and for one
    number of iterations: the difference of a fit of that length and a fit of one iteration, so
    that checks, copies and the last assignment, which all do once, are left out. Measured pair by
    pair; where an iteration is lost in the noise, a whole fit by its iterations, which the record
    says. Each start is the mean of a few rows drawn with a seed: single rows of unit length would
    be equally far from every text that shares no word with them, and rounding would decide.
``convergence``
    Fits as each library would, its own start and its own stopping rule, from several seeds, after
    a small fit of 1,000 rows: seconds and inertia of each.
``target``
    Seconds to a target inertia from cold, the start included. Seeds are tried in order; those that
    missed the target count in full, and of the first that reached it counts the shortest fit that
    does: ended by its callback where the library has one, else the quickest of fits limited to 1,
    2, 4, 8, ... iterations.
``text``
    Seconds to turn texts into a TF-IDF matrix.
``article``
    Seconds of the article's whole job in a fresh process, from CSV files to labels and ten titles.
``queries``
    Seconds a query takes: ten titles for two or three words. (This package looks into the nearest
    cluster; scikit-learn's cosines rank everything.)

Answers hold the path of the labels where there are some: they are judged elsewhere, later.
"""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from bench.contestants import CONTESTANTS, Contestant, Fit
from bench.corpora import SEED
from bench.measure import enough, judge, often, repeat, summary
from bench.targets import meets, quickest

__all__ = ["DIFFERENCE", "ask"]

DIFFERENCE = "difference of two lengths"
WHOLE = "at most: a whole fit by its iterations, as the difference is lost in noise"
WARM_UP_ROWS = 1_000
QUERIES = 200


class Job:
    """One question to one contestant about one case; ``spec`` is what the runner wrote."""

    def __init__(self, spec: dict[str, Any], folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        self.contestant: Contestant = CONTESTANTS[spec["contestant"]]
        self.k: int = spec["case"]["k"]
        self.repeats: int = spec["repeats"]
        self.patience: float = spec["case"]["patience"]
        self._saved = 0
        self.begin()

    def begin(self) -> None:
        """Let the patience last from now on."""
        self.begun = time.perf_counter()

    def patient(self) -> bool:
        """Whether there is time to begin something again."""
        return time.perf_counter() - self.begun < self.patience

    def impatience(self) -> str:
        """Why there were fewer repeats than asked for."""
        return f"the case allows {self.patience:g} s"

    def save(self, labels: Any) -> str:
        """Write labels for the judge; return the file's name."""
        self._saved += 1
        name = f"labels-{self._saved}.npy"
        np.save(self.folder / name, np.asarray(labels).ravel())
        return name

    def timed(self, call: Callable[[], Fit]) -> tuple[float, Fit]:
        """Seconds of one call, and its answer."""
        start = time.perf_counter()
        fit = call()
        return time.perf_counter() - start, fit


def ask(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Answer the question of a spec."""
    return ANSWERS[spec["question"]](Job(spec, folder))


def _rows(job: Job) -> Any:
    """Load the rows of the case; CSR or dense, float32."""
    folder = Path(job.spec["rows"])
    if (folder / "dense.npy").exists():
        return np.load(folder / "dense.npy")
    parts = (np.load(folder / f"{part}.npy") for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix(tuple(parts), shape=np.load(folder / "shape.npy"))


def _start(rows: Any, groups: list[list[int]]) -> Any:
    """The means of groups of rows, float32 of shape (k, n_features)."""
    chosen = rows[[row for group in groups for row in group]]
    chosen = chosen.toarray() if hasattr(chosen, "toarray") else chosen
    return chosen.reshape(len(groups), -1, rows.shape[1]).mean(axis=1, dtype=np.float32)


def iteration(job: Job) -> dict[str, Any]:
    rows, contestant = _rows(job), job.contestant
    start = _start(rows, job.spec["start"])
    prepared, n_iter = contestant.prepare(rows), job.spec["case"]["iterations"]

    def fit(iterations: int) -> tuple[float, Fit]:
        return job.timed(lambda: contestant.iterate(prepared, job.k, start, iterations))

    fit(1)  # the warm-up
    job.begin()
    short: list[float] = []
    long: list[float] = []
    per_iteration: list[float] = []
    wanted, fewer = 1, None
    while len(long) < wanted:
        seconds, done = fit(n_iter)
        once, first = fit(1)
        long.append(seconds)
        short.append(once)
        between = (done.n_iter or n_iter) - (first.n_iter or 1)
        if between > 0:
            per_iteration.append((seconds - once) / between)
        if len(long) == 1:
            wanted = often(seconds + once, job.repeats)
        if len(long) < min(wanted, job.repeats) and not job.patient():
            fewer = job.impatience()
            break
    method = DIFFERENCE
    if not per_iteration or statistics.median(per_iteration) <= 0:
        method, per_iteration = WHOLE, [seconds / (done.n_iter or n_iter) for seconds in long]
    return {
        "seconds": summary(per_iteration),
        "method": method,
        "seconds_of_fit": summary(long),
        "seconds_of_one_iteration_fit": summary(short),
        "repeats": len(per_iteration),
        "warm_up": 1,
        "fewer_because": fewer,
        "iterations": n_iter,
        "n_iter": done.n_iter,
        "labels": job.save(done.labels),
    }


def convergence(job: Job) -> dict[str, Any]:
    prepared = _warm(job)
    job.begin()
    fits: list[dict[str, Any]] = []
    for seed in range(job.spec["case"]["seeds"]):
        if fits and not job.patient():
            break
        seconds, done = job.timed(partial(job.contestant.converge, prepared, job.k, seed))
        fits.append(
            {
                "seed": seed,
                "seconds": seconds,
                "n_iter": done.n_iter,
                "labels": job.save(done.labels),
            }
        )
    wanted = job.spec["case"]["seeds"]
    fewer = None if len(fits) == wanted else job.impatience()
    return {
        "seconds": summary([fit["seconds"] for fit in fits]),
        "repeats": len(fits),
        "warm_up": 1,
        "fewer_because": fewer,
        "fits": fits,
    }


def target(job: Job) -> dict[str, Any]:
    """Fit as planned, each time with one seed and a way to end early; repeat what counts."""
    prepared, rows = _warm(job), _rows(job)
    job.begin()
    attempts: list[dict[str, Any]] = []
    calls: list[Callable[[], Fit]] = []
    for planned in job.spec["attempts"]:
        if attempts and not job.patient():
            break
        before = (done["inertia"] for done in attempts if done["seed"] == planned["seed"])
        if any(meets(inertia, min(planned["goals"])) for inertia in before):
            continue  # a shorter fit of this seed has reached all that this one could
        call = partial(
            job.contestant.converge,
            prepared,
            job.k,
            planned["seed"],
            limit=planned["limit"],
            stop_at=planned["stop_at"],
        )
        seconds, done = job.timed(call)
        # Judged here only to find what to repeat; what the record says is judged by the runner.
        inertia = judge(rows, np.asarray(done.labels).astype(np.int64).ravel(), job.k)
        calls.append(call)
        attempts.append(
            planned
            | {
                "inertia": inertia,
                "n_iter": done.n_iter,
                "each": [seconds],
                "fewer_because": None,
                "labels": job.save(done.labels),
            }
        )
    for position in quickest(attempts):
        times = attempts[position]["each"]
        wanted, fewer = enough(times[0], job.repeats)
        while len(times) < min(wanted, job.repeats) and job.patient():
            times.append(job.timed(calls[position])[0])
        if len(times) < min(wanted, job.repeats):
            fewer = job.impatience()
        attempts[position]["fewer_because"] = fewer
    for attempt in attempts:
        attempt["repeats"] = len(attempt["each"])
        attempt["seconds"] = summary(attempt.pop("each"))
    return {"attempts": attempts}


def _warm(job: Job) -> Any:
    """Bring the rows into the contestant's form, and let it fit a few of them."""
    rows = _rows(job)
    few = job.contestant.prepare(rows[:WARM_UP_ROWS])
    job.contestant.converge(few, min(8, job.k), 0, limit=2)
    return job.contestant.prepare(rows)


def text(job: Job) -> dict[str, Any]:
    texts = json.loads(Path(job.spec["texts"]).read_text(encoding="utf-8"))
    made: list[Any] = []

    def call() -> None:
        made[:] = [job.contestant.vectorize(texts)]

    call()
    start = time.perf_counter()
    call()
    wanted = often(time.perf_counter() - start, job.repeats)
    measured = repeat(call, wanted, warm_up=0)
    rows = sparse.csr_matrix(made[0])
    for part in ("data", "indices", "indptr"):
        np.save(job.folder / f"{part}.npy", getattr(rows, part))
    np.save(job.folder / "shape.npy", rows.shape)
    return _measured(measured) | {"texts": len(texts), "matrix": True}


def article(job: Job) -> dict[str, Any]:
    from bench.article import QUERY

    code = job.contestant.script()
    arguments = [*job.spec["files"], QUERY, str(SEED)]

    def run(source: str, *more: str) -> None:
        command = [sys.executable, "-c", source, *arguments, *more]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])

    # Once more than is timed, to keep rows and labels for the judge, and the memory it took.
    keep = (
        "import pathlib, numpy as np\n"
        "from scipy import sparse\n"
        "from bench.measure import peak_bytes\n"
        "folder = pathlib.Path(sys.argv[5])\n"
        "(folder / 'peak').write_text(str(peak_bytes()))\n"
        "clustered = np.asarray(labels) >= 0\n"
        "sparse.save_npz(folder / 'rows.npz', sparse.csr_matrix(rows)[clustered])\n"
        "np.save(folder / 'labels-1.npy', np.asarray(labels)[clustered])\n"
    )
    run(code + keep, str(job.folder))
    measured = repeat(lambda: run(code), job.repeats, warm_up=0)
    return _measured(measured) | {
        "peak_bytes": int((job.folder / "peak").read_text()),
        "labels": "labels-1.npy",
        "own_rows": "rows.npz",
        "k": 10,
    }


def queries(job: Job) -> dict[str, Any]:
    movies, credits = job.spec["files"]
    with open(movies, encoding="utf-8", newline="") as file:
        texts = [row["overview"] for row in csv.DictReader(file)]
    words = sorted({word for text in texts for word in text.lower().split() if word.isalnum()})
    rng = np.random.default_rng(SEED)
    drawn = [
        " ".join(words[i] for i in rng.choice(len(words), rng.integers(2, 4), replace=False))
        for _ in range(QUERIES)
    ]
    answer = job.contestant.ranker(movies, credits, job.k)

    def call() -> None:
        for query in drawn:
            answer(query)

    measured = repeat(call, job.repeats)
    per_query = {name: measured[name] / QUERIES for name in ("median", "min", "max")}
    return {
        "seconds": summary([per_query["median"]])
        | {"min": per_query["min"], "max": per_query["max"]},
        "queries_per_second": float(f"{1 / per_query['median']:.4g}"),
        "queries": QUERIES,
        "repeats": job.repeats,
        "warm_up": 1,
        "fewer_because": None,
    }


def _measured(measured: dict[str, float]) -> dict[str, Any]:
    seconds = {
        name: value for name, value in measured.items() if name not in ("repeats", "warm_up")
    }
    return {
        "seconds": seconds,
        "repeats": measured["repeats"],
        "warm_up": 1,
        "fewer_because": None,
    }


ANSWERS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "iteration": iteration,
    "convergence": convergence,
    "target": target,
    "text": text,
    "article": article,
    "queries": queries,
}
