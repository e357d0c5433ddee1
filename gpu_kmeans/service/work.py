"""One piece of heavy work in a process of its own, which may take so much time and memory.

The memory is what the process has had in use at most, as the kernel counts it, and not what it
has reserved: numerical libraries and GPU drivers reserve many times what they use.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from gpu_kmeans.service.problems import JOBS, QUESTIONS, Problem, out_of_memory, unreadable
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.settings import Settings

__all__ = ["WorkLimits", "run_worker"]

log = logging.getLogger("gpu_kmeans.service")

LINE_BYTES = 1 << 24
GRACE_SECONDS = 5.0
WATCH_SECONDS = 0.1
"""Seconds between two looks at the memory of a process, which grows meanwhile by little."""


class WorkLimits(NamedTuple):
    """What a piece of work may take, and the settings that say so."""

    seconds: float
    seconds_setting: str
    memory: int
    memory_setting: str

    @classmethod
    def of_fit(cls, settings: Settings) -> WorkLimits:
        """What a fit may take."""
        return cls(
            *(settings.fit_seconds, "fit_seconds"), *(settings.fit_memory_bytes, "fit_memory_bytes")
        )

    @classmethod
    def of_check(cls, settings: Settings) -> WorkLimits:
        """What the check of an upload may take."""
        return cls(
            *(settings.check_seconds, "check_seconds"),
            *(settings.max_check_memory_bytes, "max_check_memory_bytes"),
        )


async def run_worker(
    spec: Row, limits: WorkLimits | None = None, hear: Callable[[Row], None] | None = None
) -> Row:
    """Let a process of its own do a piece of work; return what it says at the end.

    Raises
    ------
    Problem
        What the process said was wrong, that it took too much, or that it ended without a word.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gpu_kmeans.service.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LINE_BYTES,
    )
    assert process.stdin is not None and process.stdout is not None
    leaving, task = False, spec["task"]
    watch = None if limits is None else asyncio.create_task(_watch_memory(process, limits.memory))
    try:
        async with asyncio.timeout(None if limits is None else limits.seconds):
            with suppress(OSError, RuntimeError):  # it may have been killed already
                process.stdin.write(orjson.dumps(spec | _stated(limits)) + b"\n")
            async for line in process.stdout:
                message: Row = orjson.loads(line)
                leaving = message["event"] in ("done", "error")
                if message["event"] == "done":
                    return message
                if message["event"] == "error":
                    if "where" in message:
                        log.error("worker failed", extra={"where": message["where"]})
                    hint = _too_little(limits) if message["code"] == "failed" else ""
                    raise Problem(message["status"], message["code"], message["detail"] + hint)
                if hear is not None:
                    hear(message)
            leaving = True
    except TimeoutError:
        assert limits is not None
        raise _too_slow(task, limits) from None
    except ValueError:  # a line of any length, or none that it could have written
        raise unreadable(task, "its process said what nobody understands") from None
    finally:
        if watch is not None:
            watch.cancel()
        await _ended(process, leaving)
    if limits is not None and watch is not None and watch.done() and not watch.cancelled():
        raise out_of_memory(task, limits.memory, limits.memory_setting)
    raise _crashed(task, process.returncode, limits)


def _stated(limits: WorkLimits | None) -> Row:
    if limits is None:
        return {}
    return {"memory": limits.memory, "memory_setting": limits.memory_setting}


def _too_little(limits: WorkLimits | None) -> str:
    """Libraries that get no memory break down in many ways."""
    if limits is None:
        return ""
    return (
        f"; perhaps the {limits.memory} bytes of memory that it may take are too few "
        f"({limits.memory_setting})"
    )


async def _watch_memory(process: asyncio.subprocess.Process, most: int) -> None:
    """End a process that takes more memory; return only then."""
    while resident_bytes(process.pid) <= most:
        await asyncio.sleep(WATCH_SECONDS)
    log.warning("worker took too much memory", extra={"bytes": most})
    with suppress(ProcessLookupError):
        process.kill()


def resident_bytes(pid: int) -> int:
    """Most memory that a process has had at once, swapped out or not; 0 where nobody says."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in lines if line.startswith(("VmHWM:", "VmSwap:"))]
    return 1024 * sum(map(int, sizes))


def _too_slow(task: str, limits: WorkLimits) -> Problem:
    work, way_out = "reading what was sent", "send less of it"
    if task in JOBS:
        work, way_out = "the job", "use fewer rows, terms or clusters"
    elif task in QUESTIONS:
        work, way_out = "the answer", "ask for less, or of a smaller model"
    return Problem(
        422,
        "too_slow",
        f"{work} took longer than the {limits.seconds:g} s that are allowed "
        f"({limits.seconds_setting}): {way_out}",
    )


def _crashed(task: str, code: int | None, limits: WorkLimits | None) -> Problem:
    """What is said of a process that ended without a word."""
    killed = code is not None and -code in (signal.SIGKILL, signal.SIGTERM)
    if task in JOBS or killed:
        detail = _how_it_died(code) + ("" if killed else _too_little(limits))
        return Problem(500 if task in JOBS else 503, "crashed", detail)
    log.error("worker crashed", extra={"task": task, "reason": _how_it_died(code)})
    return unreadable(task, _how_it_died(code))


async def _ended(process: asyncio.subprocess.Process, leaving: bool) -> None:
    """Make sure that a process is no more."""
    # terminate() looks at one that has just ended, and its exit code would be lost by that.
    if not leaving:
        with suppress(ProcessLookupError):
            process.terminate()
    try:
        await asyncio.wait_for(asyncio.shield(process.wait()), GRACE_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _how_it_died(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = "; perhaps the memory ran out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{hint}"
