"""A small pool of threads for work that releases the GIL (SciPy's and NumPy's inner loops).

Work is cut into chunks whose size does not depend on the number of threads, and every
chunk writes only its own rows: results are the same for any number of threads.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from threading import Event, Thread

__all__ = ["can_be_had", "count", "parallel_for"]


CGROUP = Path("/sys/fs/cgroup/cpu.max")


def count() -> int:
    """Number of threads: ``OMP_NUM_THREADS`` if set, else the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _allowed())
    return os.cpu_count() or 1


@cache
def _allowed() -> int:
    """Number of cores whose time a container grants; more threads would only spend it sooner."""
    try:
        quota, period = CGROUP.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no limit is a word
        return sys.maxsize


def can_be_had(wanted: int) -> bool:
    """Whether the system grants so many threads now: they are started, and end at once.

    GCC's OpenMP ends the whole process where it gets fewer than it counts on.
    """
    done, started = Event(), list[Thread]()
    try:
        for _ in range(wanted):
            thread = Thread(target=done.wait, name="gpu-kmeans-trial")
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        return False
    finally:
        done.set()
        for thread in started:
            thread.join()
    return True


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="gpu-kmeans")


if hasattr(os, "register_at_fork"):
    # A forked child inherits the pool object without its threads: let it make its own.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def parallel_for(work: Callable[[int], None], starts: Iterable[int]) -> None:
    """Call ``work(start)`` for every start; the pool helps when there is more than one.

    The caller works, too: where a thread of the pool takes long to wake, it finds nothing to do,
    and where no thread is to be had, the caller does the work alone.
    """
    todo = deque(starts)
    if len(todo) == 1:
        return work(todo.pop())

    def take_turns() -> None:
        try:
            while todo:
                try:
                    start = todo.popleft()
                except IndexError:  # another thread was faster
                    return
                work(start)
        except BaseException:
            todo.clear()  # nobody is to go on
            raise

    failures: list[BaseException] = []
    helpers = _Helpers(min(count(), len(todo)) - 1)
    try:
        helpers.call(take_turns)
        take_turns()
    except BaseException as failure:
        failures.append(failure)
    while True:
        # Whatever happens, nobody is still at work afterwards: what it works on may be gone then.
        try:
            failures += helpers.dismissed()
            break
        except KeyboardInterrupt as interrupt:
            todo.clear()
            failures.append(interrupt)
    if failures:
        raise failures[0]


class _Helpers:
    """Threads of the pool that help one caller."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._calls: list[Future[None]] = []
        self._refused_by: ThreadPoolExecutor | None = None

    def call(self, work: Callable[[], None]) -> None:
        """Let them begin, as many as can be had."""
        if self._wanted < 1:
            return
        pool = _pool(self._wanted)
        try:
            for _ in range(self._wanted):
                self._calls.append(pool.submit(work))
        except RuntimeError as refusal:  # the system gives no thread, or the interpreter ends
            logging.getLogger(__name__).info("fewer threads than cores: %s", refusal)
            # The last call stays in its queue, and nobody has a hold of it.
            self._refused_by = pool
            _pool.cache_clear()
            pool.shutdown(wait=False, cancel_futures=True)

    def dismissed(self) -> list[BaseException]:
        """Wait until none is at work; return what went wrong."""
        if self._refused_by is not None:
            self._refused_by.shutdown()
        wait([one for one in self._calls if not one.cancel()])
        failures = (one.exception() for one in self._calls if not one.cancelled())
        return [failure for failure in failures if failure is not None]
