"""Moments of a job that requests cannot be timed to meet: each is brought about by hand."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serving  # which skips where the service is not installed

from gpu_kmeans.service import jobs as module
from gpu_kmeans.service.jobs import Jobs
from gpu_kmeans.service.registry import revision
from gpu_kmeans.service.settings import Settings
from gpu_kmeans.service.store import Store

ABOUT = {"dataset": "films", "model": "films", "parameters": {}, "activate": True}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    (store.datasets / "items.csv").write_text(serving.films(3))
    about = {"given": {}, "rows": 3, "columns": {}, "absent": [], "problems": []}
    store.registry.put_dataset("films", about, {"file": "items.csv"}, None)
    yield store
    store.close()


@pytest.fixture
def ends() -> list[str]:
    return []


@pytest.fixture
def jobs(store: Store, ends: list[str], monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs whose work never ends by itself."""

    async def work(*_: object) -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(module, "run_worker", work)
    return Jobs(store, Settings(data=store.folder), ends.append)


def play(jobs: Jobs, scene: Callable[[], Awaitable[None]]) -> None:
    """Let it happen, in a few seconds at most."""

    async def all_of_it() -> None:
        await jobs.start()
        await asyncio.wait_for(scene(), 10)
        await asyncio.wait_for(jobs.stop(), 10)

    asyncio.run(all_of_it())


def slowly(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but it takes its time."""

    def slow(*arguments: Any) -> Any:
        time.sleep(0.2)
        return call(*arguments)

    return slow


async def state_is(jobs: Jobs, job: str, state: str) -> None:
    while jobs.view(jobs._row(job))["state"] != state:
        await asyncio.sleep(0.005)


def test_a_job_that_is_cancelled_before_its_first_step_ends(jobs: Jobs, ends: list[str]) -> None:
    async def scene() -> None:
        job = (await jobs.add(ABOUT, None))["id"]
        while jobs._live[job].work is None:
            await asyncio.sleep(0)
        row = await jobs.cancel(job)  # its task is there, and has not run yet
        assert row["state"] == "cancelled"

    play(jobs, scene)
    assert ends == ["cancelled"]


def test_a_job_that_is_cancelled_while_it_is_written_down_as_running_ends(
    jobs: Jobs, store: Store, ends: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.registry, "start_job", slowly(store.registry.start_job))

    async def scene() -> None:
        job = (await jobs.add(ABOUT, None))["id"]
        await asyncio.sleep(0.05)
        assert (await jobs.cancel(job))["state"] == "cancelled"
        await asyncio.sleep(0.3)
        assert jobs._row(job)["state"] == "cancelled"

    play(jobs, scene)
    assert ends == ["cancelled"]


def test_a_waiting_job_that_is_being_cancelled_does_not_begin(
    jobs: Jobs, store: Store, ends: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        first, second = [(await jobs.add(ABOUT, None))["id"] for _ in range(2)]
        await state_is(jobs, first, "running")
        end_job = store.registry.end_job

        def end(job: str, *others: Any) -> None:
            (slowly(end_job) if job == second else end_job)(job, *others)

        monkeypatch.setattr(store.registry, "end_job", end)
        going = asyncio.create_task(jobs.cancel(second))
        await asyncio.sleep(0.05)
        await jobs.cancel(first)  # the place is free while the other is being written down
        assert (await going)["state"] == "cancelled"
        await asyncio.sleep(0.1)
        assert jobs._row(second)["started"] is None
        assert jobs.running == jobs.waiting == 0

    play(jobs, scene)
    assert ends == ["cancelled"] * 2


def test_a_job_whose_end_cannot_be_written_down_does_not_go_on_for_ever(
    jobs: Jobs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def scene() -> None:
        first, second = [(await jobs.add(ABOUT, None))["id"] for _ in range(2)]
        await state_is(jobs, first, "running")
        with monkeypatch.context() as patched:
            patched.setattr(store.registry, "end_job", full)
            with pytest.raises(sqlite3.OperationalError):
                await jobs.cancel(second)
            await jobs.cancel(first)
        told = [event async for event in jobs.events(first)]
        assert told[-1] is not None
        assert (told[-1].kind, told[-1].data["state"]) == ("end", "interrupted")
        # The one that could not be cancelled still has its turn.
        await state_is(jobs, second, "running")

    play(jobs, scene)


def test_stopping_just_when_a_job_ends_begins_no_other(
    jobs: Jobs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        first, second = [(await jobs.add(ABOUT, None))["id"] for _ in range(2)]
        await state_is(jobs, first, "running")
        work = jobs._live[first].work
        assert work is not None
        jobs._live[first].cancelled = True
        work.cancel()
        while not work.done():
            await asyncio.sleep(0)
        await jobs.stop()
        assert jobs._row(second)["state"] == "queued"

    play(jobs, scene)
    assert store.registry.queued()


def test_a_fit_that_waited_is_not_of_data_that_came_meanwhile(store: Store, jobs: Jobs) -> None:
    row = store.registry.dataset("films")
    assert row is not None
    about = ABOUT | {"revision": revision(row)}

    async def scene() -> None:
        (store.datasets / "others.csv").write_text(serving.films(2))
        store.registry.put_dataset("films", row["about"], {"file": "others.csv"}, None)
        job = await jobs.add(about, None)
        ends = [
            event.data async for event in jobs.events(job["id"]) if event and event.kind == "end"
        ]
        assert [(end["state"], end["error"]["code"]) for end in ends] == [
            ("failed", "dataset_changed")
        ]

    play(jobs, scene)


def test_a_job_that_ends_while_its_row_is_read_is_shown_as_it_ended(jobs: Jobs) -> None:
    async def scene() -> None:
        job = (await jobs.add(ABOUT, None))["id"]
        await state_is(jobs, job, "running")
        stale = jobs._row(job)
        await jobs.cancel(job)
        assert stale["state"] == "running"
        assert jobs.view(stale)["state"] == "cancelled"

    play(jobs, scene)
