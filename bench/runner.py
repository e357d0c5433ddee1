"""Ask every contestant every question of every case, judge the answers, keep the records.

The judge sits in this process, outside every timer: from the labels alone it computes inertia in
float64 and the sizes of the clusters. A contestant that cannot run is recorded as skipped or
failed, with its reason and without any figure.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench import targets
from bench.cases import CLUSTERING, Case
from bench.contestants import CannotRun, Contestant
from bench.corpora import SEED
from bench.measure import judge, sizes
from bench.process import apart
from bench.records import SCHEMA, Record
from bench.store import Store

__all__ = ["Runner", "Task", "tasks"]

TYPICAL_ITERATIONS = 30
"""Number of iterations assumed for a fit to convergence when its time is estimated."""


class Task(NamedTuple):
    """One question to one contestant about one case."""

    case: Case
    question: str
    contestant: Contestant


def tasks(cases: list[Case], contestants: list[Contestant], questions: list[str]) -> list[Task]:
    """All that is to be done, in order: a case's questions one after the other."""
    return [
        Task(case, question, contestant)
        for case in cases
        for question in case.questions
        if not questions or question in questions
        for contestant in contestants
        if question in contestant.questions and (not case.only or contestant.name in case.only)
    ]


class Runner:
    """Does tasks one by one.

    Parameters
    ----------
    store : Store
    machine : dict
        Result of :func:`bench.measure.machine`; goes into every record.
    repeats : int
    keep : callable
        Takes each record as it comes.
    before : list of records
        Records of an earlier run: their fits to convergence set targets, too.
    """

    def __init__(
        self,
        store: Store,
        machine: dict[str, Any],
        repeats: int,
        keep: Callable[[Record], None],
        before: Iterable[Record] = (),
    ) -> None:
        self.store = store
        self.machine = machine
        self.repeats = repeats
        self.keep = keep
        self.done: dict[tuple[str, str, str], Record] = {
            (record["case"], record["question"], record["contestant"]): record for record in before
        }

    def run(self, todo: list[Task]) -> None:
        """Do all tasks; each record is kept before the next task begins."""
        for number, task in enumerate(todo, 1):
            about = f"{task.case.name} · {task.question} · {task.contestant.title}"
            _say(f"[{number:>{len(str(len(todo)))}}/{len(todo)}] {about} … ", end="")
            begun = time.monotonic()
            record = self._record(task)
            self.done[task.case.name, task.question, task.contestant.name] = record
            self.keep(record)
            _say(f"{_headline(record)} ({time.monotonic() - begun:.1f} s)")

    def _record(self, task: Task) -> Record:
        case = task.case
        threads = case.threads or self.machine["cores"]
        record: Record = {
            "schema": SCHEMA,
            "question": task.question,
            "case": case.name,
            "tier": case.tier,
            "contestant": task.contestant.name,
            "status": "done",
            "reason": None,
            "k": case.k,
            "seed": SEED,
            "series": case.series or None,
            "size": case.size or None,
            "threads": threads,
            "machine": self.machine | {"threads": threads},
            "environment": task.contestant.environment,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            self._check(task, threads)
            record["corpus"] = self._about(task)
            answer = self._ask(task, threads)
        except CannotRun as reason:
            answer = {"skipped": str(reason)}
        for status in ("skipped", "failed"):
            if status in answer:
                return record | {"status": status, "reason": answer[status]}
        return record | answer

    def _about(self, task: Task) -> dict[str, Any]:
        if task.question in CLUSTERING:
            return self.store.about(task.case.corpus)
        return {"name": task.case.corpus}

    def _check(self, task: Task, threads: int) -> None:
        """Refuse what cannot run before it costs anything."""
        case, contestant = task.case, task.contestant
        if threads > self.machine["cores"]:
            raise CannotRun(f"wants {threads} cores; {self.machine['cores']} are usable")
        if (reason := contestant.obstacle()) is not None:
            raise CannotRun(reason)
        if task.question not in CLUSTERING:
            return
        about = self.store.about(case.corpus)
        shape = (about["rows"], about["features"])
        if (reason := contestant.too_much(about["sparse"], shape, case.memory)) is not None:
            raise CannotRun(reason)
        before = self.done.get((case.name, "iteration", contestant.name), {})
        if task.question == "convergence" and before.get("status") == "done":
            seconds = before["seconds"]["median"]
            if seconds * TYPICAL_ITERATIONS > case.timeout:
                raise CannotRun(
                    f"an iteration takes {seconds:.3g} s: {TYPICAL_ITERATIONS} of them are more "
                    f"than the {case.timeout:g} s that the case allows"
                )

    # -- asking ---------------------------------------------------------------------------

    def _ask(self, task: Task, threads: int) -> dict[str, Any]:
        case, question = task.case, task.question
        spec: dict[str, Any] = {
            "question": question,
            "contestant": task.contestant.name,
            "case": {
                "k": case.k,
                "iterations": case.iterations,
                "seeds": case.seeds,
                "patience": case.patience,
            },
            "repeats": min(self.repeats, case.repeats or self.repeats),
            "threads": threads,
        }
        wanted: dict[str, float] = {}
        if question in CLUSTERING:
            spec["rows"] = str(self.store.rows_folder(case.corpus).resolve())
            spec["start"] = self.store.start(case.corpus, case.k)
        elif question == "text":
            spec["texts"] = str(self.store.texts(case.corpus).resolve())
        else:
            spec["files"] = self.store.files(case.corpus)
        if question == "target":
            own, wanted = self._converged(task)
            spec["attempts"] = targets.plan(own, wanted)
            if not spec["attempts"]:
                return {"targets": targets.reached(own, wanted, []), "attempts": []}
        folder = self.store.folder / "task"
        shutil.rmtree(folder, ignore_errors=True)
        answer = apart(
            spec,
            folder.resolve(),
            timeout=case.timeout,
            memory=case.memory,
            environment=task.contestant.environment,
        )
        if {"skipped", "failed"} & set(answer):
            return answer
        try:
            self._judge(task, answer, folder)
        except ValueError as problem:
            return {"failed": str(problem)}
        if question == "target":
            answer["targets"] = targets.reached(own, wanted, answer["attempts"])
        return answer

    def _converged(self, task: Task) -> tuple[Record, dict[str, float]]:
        """This contestant's fits to convergence, and the targets that all of them set."""
        records = {
            name: record
            for (case, question, name), record in self.done.items()
            if case == task.case.name and question == "convergence" and record["status"] == "done"
        }
        if task.contestant.name not in records:
            raise CannotRun("has no fit to convergence in this run")
        return records[task.contestant.name], targets.targets(records)

    # -- judging ----------------------------------------------------------------------------

    def _judge(self, task: Task, answer: dict[str, Any], folder: Path) -> None:
        """Put inertia and sizes, as recomputed from the labels, into the answer."""
        for part in (answer, *answer.get("fits", ()), *answer.get("attempts", ())):
            if "labels" in part:
                part |= self._judged(task, folder, part.pop("labels"), answer)
        if "fits" in answer:
            inertia = sorted(fit["inertia"] for fit in answer["fits"])
            middle = (inertia[(len(inertia) - 1) // 2] + inertia[len(inertia) // 2]) / 2
            answer["inertia"] = {"median": middle, "min": inertia[0], "max": inertia[-1]}
        if answer.pop("matrix", False):
            answer["same_as_scikit_learn"] = self._same_matrix(task, folder)
        answer.pop("own_rows", None)

    def _judged(
        self, task: Task, folder: Path, file: str, answer: dict[str, Any]
    ) -> dict[str, Any]:
        import numpy as np
        from scipy import sparse

        own = answer.get("own_rows")
        rows = sparse.load_npz(folder / own) if own else self.store.rows(task.case.corpus)
        k, labels = answer.get("k", task.case.k), np.load(folder / file)
        if labels.shape != (rows.shape[0],):
            raise ValueError(f"gave {labels.shape} labels for {rows.shape[0]} rows")
        if not (np.issubdtype(labels.dtype, np.integer) and 0 <= labels.min() <= labels.max() < k):
            raise ValueError(f"gave labels that are no integers from 0 to {k - 1}")
        labels = labels.astype(np.int64)
        return {"inertia": judge(rows, labels, k), "sizes": sizes(labels, k)}

    def _same_matrix(self, task: Task, folder: Path) -> dict[str, Any] | None:
        """Compare a TF-IDF matrix with scikit-learn's, column by column."""
        import numpy as np
        from scipy import sparse

        expected = self.store.reference(task.case.corpus)
        if expected is None:
            return None
        parts = tuple(np.load(folder / f"{part}.npy") for part in ("data", "indices", "indptr"))
        matrix = sparse.csr_matrix(parts, shape=tuple(np.load(folder / "shape.npy")))
        matrix.sort_indices()
        expected.sort_indices()
        pattern = (
            matrix.shape == expected.shape
            and np.array_equal(matrix.indptr, expected.indptr)
            and np.array_equal(matrix.indices, expected.indices)
        )
        largest = float(np.abs(matrix.data - expected.data).max()) if pattern else None
        return {"pattern": bool(pattern), "largest_difference": largest}


def _headline(record: Record) -> str:
    """A record in a few words, for the progress."""
    if record["status"] != "done":
        return f"{record['status']}: {record['reason']}"
    if record["question"] == "target":
        best = record["targets"][targets.FACTORS[1]]
        seconds = f"in {best['seconds']['median']:.3g} s" if best["reached"] else "not"
        return f"{targets.FACTORS[1]} times the best {seconds}"
    if record["question"] == "queries":
        return f"{record['queries_per_second']:g} queries a second"
    headline = f"{record['seconds']['median']:.3g} s"
    inertia = record.get("inertia")
    if inertia is not None:
        headline += f", inertia {inertia['median'] if isinstance(inertia, dict) else inertia:.8g}"
    return headline


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)
