"""Jobs: a queue, one process at a time, and what each of them told.

A job's version and its success are one transaction: there is no moment at which one is
known without the other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from gpu_kmeans.files import remove
from gpu_kmeans.service.audit import write_audit
from gpu_kmeans.service.model_files import link_version
from gpu_kmeans.service.problems import Problem, of_exception
from gpu_kmeans.service.registry import Row, revision
from gpu_kmeans.service.settings import Settings
from gpu_kmeans.service.store import Store, uninterrupted
from gpu_kmeans.service.work import WorkLimits, run_worker
from gpu_kmeans.service.worker_files import BEFORE

__all__ = ["CHOICE", "Event", "Jobs", "check_revision", "job_view", "link_parts", "reading_of"]

log = logging.getLogger("gpu_kmeans.service")

FIT, CHOICE = "fit", "choose-k"
"""Kinds of jobs; those that earlier releases kept are fits."""
FINAL = ("succeeded", "failed", "cancelled", "interrupted")


class Event(NamedTuple):
    """What a job told: its place among the job's events, its kind and its data."""

    number: int
    kind: str
    data: Row


class _Live:
    """A job that waits or runs in this process."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.stage: str | None = None
        self.events: list[Event] = []
        self.history: list[tuple[str, int, float, int]] = []
        self.cancelled = False
        self.work: asyncio.Task[Any] | None = None
        self.ended = False
        self.changed = asyncio.Event()
        self.asked = time.monotonic()
        self.began: float | None = None

    def tell(self, kind: str, data: Row) -> None:
        self.events.append(Event(len(self.events) + 1, kind, data))
        self.changed.set()
        self.changed = asyncio.Event()


class Jobs:
    """Runs jobs in the order in which they came.

    Parameters
    ----------
    store : Store
    settings : Settings
    on_end : callable
        Told the state of each job that ended, for the metrics.
    on_version : callable, optional
        Told the name of each model that has got a version.
    on_times : callable, optional
        Told the kind of each job that ended, its state, how long it waited and how long it ran.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        on_end: Callable[[str], None],
        on_version: Callable[[str], Awaitable[None]] | None = None,
        on_times: Callable[[str, str, float, float | None], None] | None = None,
    ) -> None:
        self._on_times = on_times
        self._on_version = on_version
        self.store = store
        self.settings = settings
        self._on_end = on_end
        self._live: dict[str, _Live] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._adding = asyncio.Lock()
        self._stopping = False

    async def start(self) -> None:
        """Mark what a crash interrupted, and go on with what waits."""
        await asyncio.to_thread(self.store.registry.interrupt_running)
        for row in self.store.registry.queued():
            self._live[row["id"]] = _Live(row["id"])
        self._wake.set()
        self._loop = asyncio.create_task(self._run_all())

    async def stop(self) -> None:
        """End the running job, which counts as interrupted; those that wait go on waiting."""
        self._stopping = True
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
        for live in list(self._live.values()):
            live.ended = True
            live.changed.set()

    # -- asking for jobs -----------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return sum(live.work is None for live in self._live.values())

    @property
    def running(self) -> int:
        """Jobs that run."""
        return len(self._live) - self.waiting

    async def add(self, about: Row, key: str | None) -> Row:
        """Let a job wait for its turn; the same key and request give the same job.

        Raises
        ------
        Problem
            409 for a key that came with another request, 429 for a queue that is full.
        """
        request = orjson.dumps(about, option=orjson.OPT_SORT_KEYS).decode()
        registry = self.store.registry
        async with self._adding:
            before = None if key is None else registry.job_by_key(key)
            if before is not None:
                if before["request"] != request:
                    raise Problem(
                        409,
                        "idempotency_conflict",
                        "this Idempotency-Key came with another request before: use a new one",
                    )
                return before
            if self.waiting >= self.settings.max_queue:
                raise Problem(
                    429,
                    "queue_full",
                    f"{self.waiting} jobs wait already, as many as may: try again later",
                    {"Retry-After": "30"},
                )
            job = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(5)}"
            await asyncio.to_thread(registry.add_job, job, about, key, request)
            self._live[job] = _Live(job)
        self._wake.set()
        return self._row(job)

    async def cancel(self, job: str) -> Row:
        """End a job; one that has ended stays as it is."""
        row = self._row(job)
        live = self._live.get(job)
        if live is None or live.cancelled:
            return row
        live.cancelled = True
        if live.work is None:
            try:
                await self._end(live, "cancelled", None)
            except BaseException:
                live.cancelled = False
                self._wake.set()
                raise
        else:
            live.work.cancel()
            while job in self._live:  # until its process has ended
                await live.changed.wait()
        return self._row(job)

    def uses(self, dataset: str) -> str | None:
        """A job that waits for a dataset or reads it; None where none does."""
        for job in self._live:
            row = self._row(job)
            # A moment may pass between a job's last word and its leaving.
            if row["about"]["dataset"] == dataset and row["state"] not in FINAL:
                return job
        return None

    # -- showing ---------------------------------------------------------------------------

    def view(self, row: Row, *, history: bool = True) -> Row:
        """A job as the API shows it."""
        live = self._live.get(row["id"])
        if live is None and row["state"] == "running":
            row = self._row(row["id"])  # it may have ended since the row was read
        view = job_view(row, history=history)
        if live is not None:
            view["stage"] = live.stage
            if history:
                view["history"] = [each[:3] for each in live.history]
            if live.work is None:
                waiting = [each for each in self._live.values() if each.work is None]
                view["queue_position"] = waiting.index(live) + 1
        elif row["state"] == "running":  # how it ended could not be written down
            view["state"] = "interrupted"
        return view

    async def events(self, job: str, after: int = 0) -> AsyncIterator[Event | None]:
        """What a job tells, from the beginning or after a number; None now and then between."""
        live = self._live.get(job)
        if live is None:
            row = self._row(job)
            names = ("stage", "iteration", "inertia", "moved")
            past = [("progress", dict(zip(names, step, strict=True))) for step in row["history"]]
            for number, (kind, data) in enumerate(past, 1):
                if number > after:
                    yield Event(number, kind, data)
            yield Event(len(past) + 1, "end", self.view(row))
            return
        sent = after
        yield Event(sent, "state", self.view(self._row(job), history=False))
        while True:
            changed = live.changed
            for event in live.events[sent:]:
                sent = event.number
                yield event
            if live.ended:
                return
            try:
                await asyncio.wait_for(changed.wait(), self.settings.heartbeat_seconds)
            except TimeoutError:
                yield None

    def _row(self, job: str) -> Row:
        row = self.store.registry.job(job)
        if row is None:
            raise Problem(404, "unknown_job", f"there is no job {job!r:.60}")
        return row

    # -- running ---------------------------------------------------------------------------

    async def _run_all(self) -> None:
        while True:
            waiting = next(filter(_may_begin, self._live.values()), None)
            if waiting is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            waiting.work = asyncio.create_task(self._work(waiting))
            try:
                await asyncio.shield(waiting.work)
            except asyncio.CancelledError:
                if self._stopping or not waiting.work.done():
                    # It is the service that ends, and not the job.
                    waiting.work.cancel()
                    with suppress(asyncio.CancelledError):
                        await waiting.work
                    raise
            except Exception:
                log.exception("job %s could not be ended", waiting.job)
            if waiting.job in self._live:
                await self._abandon(waiting)

    async def _abandon(self, live: _Live) -> None:
        """End a job that could not: cancelled before it began, or with no room to say how."""
        state = "cancelled" if live.cancelled else "interrupted"
        try:
            await self._end(live, state, {"code": state, "detail": "it ended on its way"})
        except Exception:
            self._live.pop(live.job, None)
            live.ended = True
            live.tell("end", self.view(self._row(live.job)))

    async def _work(self, live: _Live) -> None:
        registry = self.store.registry
        scratch = self.store.scratch()  # not on a thread: it is not to be made and then lost
        made: str | None = None
        try:
            live.began = time.monotonic()
            await asyncio.to_thread(registry.start_job, live.job)
            live.stage = "starting"
            live.tell("state", self.view(self._row(live.job), history=False))
            spec = await asyncio.to_thread(self._spec, live.job, scratch)
            limits = WorkLimits.of_fit(self.settings)
            done = await run_worker(spec, limits, lambda event: self._hear(live, event))
            about = self._row(live.job)["about"]
            # What was committed has succeeded, even if someone wanted to cancel it meanwhile.
            with suppress(asyncio.CancelledError):
                if _kind(about) == CHOICE:
                    await self._keep_result(live, done["result"])
                else:
                    await self._commit(live, scratch / "model", about, done)
            await self._ended(live, "succeeded")
            made = about["model"]
        except asyncio.CancelledError:
            state = "cancelled" if live.cancelled else "interrupted"
            detail = "cancelled on request" if live.cancelled else "the service ended"
            await self._end(live, state, {"code": state, "detail": detail})
        except Exception as error:
            problem = of_exception(error)
            if problem is None:
                log.exception("job %s failed", live.job)
                problem = Problem(500, "failed", f"unexpected {type(error).__name__}")
            await self._end(live, "failed", {"code": problem.code, "detail": problem.detail})
        finally:
            remove(scratch)  # at once: the service may be ending
        if made is not None and self._on_version is not None:
            await self._on_version(made)

    def _spec(self, job: str, scratch: Path) -> Row:
        about = self._row(job)["about"]
        dataset = self.store.registry.dataset(about["dataset"])
        if dataset is None:
            raise Problem(404, "unknown_dataset", f"the dataset {about['dataset']} is gone")
        if "revision" in about:
            check_revision(dataset, about["revision"])
        if about["model"] is not None:
            self._link_before(about["model"], scratch / BEFORE)
        return {
            "task": _kind(about),
            "folder": str(scratch),
            **link_parts(self.store, scratch, dataset["items"], dataset["credits"]),
            "columns": dataset["about"]["given"],
            **reading_of(dataset),
            "parameters": about["parameters"],
            "max_model_bytes": self.settings.max_model_bytes,
        }

    def _link_before(self, name: str, folder: Path) -> None:
        """Lend a fit the version that is active: people's names of its clusters live on."""
        model = self.store.registry.model(name)
        if model is not None and model["active"] is not None:
            row = self.store.registry.place(name, model["active"])
            with suppress(Problem):  # its files are missing, and so are the names
                if row is not None:
                    link_version(self.store, row, folder)

    async def _commit(self, live: _Live, model: Path, about: Row, done: Row) -> None:
        metadata = {
            **done["about"],
            "bytes": sum(path.stat().st_size for path in model.iterdir()),
            "dataset": about["dataset"],
            "job": live.job,
            "source": "fit",
        }

        def register(folder: str) -> None:
            self.store.registry.add_version(
                about["model"],
                folder,
                metadata,
                done["report"],
                activate=about["activate"],
                job=live.job,
                history=live.history,
            )

        await self.store.commit(model, self.store.models, register)

    async def _keep_result(self, live: _Live, result: Row) -> None:
        def keep() -> None:
            self.store.registry.answer_job(live.job, live.history, result)

        await uninterrupted(keep)

    def _hear(self, live: _Live, event: Row) -> None:
        kind = event.pop("event")
        if kind == "stage":
            live.stage = event["stage"]
        elif kind == "progress":
            step = (event["stage"], event["iteration"], event["inertia"], event["moved"])
            live.history.append(step)
        live.tell(kind, event)

    async def _end(self, live: _Live, state: str, error: Row | None) -> None:
        await asyncio.to_thread(self.store.registry.end_job, live.job, state, live.history, error)
        await self._ended(live, state)

    async def _ended(self, live: _Live, state: str) -> None:
        self._live.pop(live.job, None)
        self._on_end(state)
        live.ended = True
        row = self._row(live.job)
        live.tell("end", job_view(row))
        if self._on_times is not None:
            end, began = time.monotonic(), live.began
            waited = (end if began is None else began) - live.asked
            ran = None if began is None else end - began
            self._on_times(_kind(row["about"]), state, waited, ran)
        about = {"model": row["about"]["model"], "version": row["version"]}
        log.info("job ended", extra={"job": live.job, "state": state, **about})
        if row["version"] is not None:
            added = {"action": "version added", "job": live.job, **about}
            # Not waited for: what it says has happened, and a cancellation would not undo it.
            asyncio.get_running_loop().run_in_executor(None, write_audit, self.store.folder, added)


def _may_begin(live: _Live) -> bool:
    return live.work is None and not live.cancelled


def _kind(about: Row) -> str:
    kind: str = about.get("kind", FIT)
    return kind


def job_view(row: Row, *, history: bool = True) -> Row:
    """A job's row as the API shows it; with its iterations, what it has answered, too."""
    view = {
        "id": row["id"],
        "kind": _kind(row["about"]),
        "dataset": row["about"]["dataset"],
        "model": row["about"]["model"],
        "parameters": row["about"]["parameters"],
        "activate": row["about"]["activate"],
        "state": row["state"],
        "created": row["created"],
        "started": row["started"],
        "finished": row["finished"],
        "stage": None,
        "version": row["version"],
        "error": row["error"],
        "queue_position": None,
    }
    if not history:
        return view
    return view | {"history": [step[:3] for step in row["history"]], "result": row["result"]}


def check_revision(dataset: Row, wanted: str) -> None:
    """Refuse to fit a dataset that is not the one that was meant."""
    if revision(dataset) != wanted:
        raise Problem(
            409,
            "dataset_changed",
            f"the dataset {dataset['name']!r} was replaced since the fit was asked for or its data "
            "were looked at: look at it again, then ask again",
        )


def reading_of(dataset: Row) -> Row:
    """What was said of how a dataset's files are to be read; earlier releases asked nothing."""
    reading: Row = dataset["about"].get("reading") or {"encoding": None, "delimiter": None}
    return reading


def link_parts(store: Store, scratch: Path, items: Row, credits: Row | None) -> Row:
    """Give the files of a dataset names that people know in messages; return these names."""
    names: Row = {"items": None, "credits": None}
    for role, part in (("items", items), ("credits", credits)):
        if part is not None:
            source = store.datasets / part["file"]
            names[role] = f"{role}{source.suffix}"
            try:
                os.link(source, scratch / names[role])
            except FileNotFoundError:
                raise Problem(
                    409,
                    "file_missing",
                    f"the dataset's {role} are missing from the server's folder: upload its items "
                    "again, with replace=true",
                ) from None
    return names
