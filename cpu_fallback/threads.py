"""A small pool of threads for work that releases the GIL (SciPy's and NumPy's inner loops).

Work is cut into chunks whose size does not depend on the number of threads, and every
chunk writes only its own rows: results are the same for any number of threads.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from threading import Lock

__all__ = ["count", "each"]


CGROUP = Path("/sys/fs/cgroup/cpu.max")


def count() -> int:
    """Threads to use: ``OMP_NUM_THREADS`` where it is set, else the cores this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _allowed())
    return os.cpu_count() or 1


@cache
def _allowed() -> int:
    """Cores whose time a container grants; more threads would spend it sooner."""
    try:
        quota, period = CGROUP.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no limit is a word
        return sys.maxsize


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="gpu-kmeans")


if hasattr(os, "register_at_fork"):
    # A forked child inherits the pool object without its threads: let it make its own.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def each(work: Callable[[int], None], starts: Iterable[int]) -> None:
    """Call ``work(start)`` for every start; the pool helps when there is more than one.

    The caller works, too: where a thread of the pool takes long to wake, it finds nothing to do.
    """
    starts = list(starts)
    if len(starts) == 1:
        return work(starts[0])
    helpers = min(count(), len(starts)) - 1
    todo, lock = iter(starts), Lock()

    def take() -> int | None:
        with lock:
            return next(todo, None)

    def take_turns() -> None:
        try:
            while (start := take()) is not None:
                work(start)
        except BaseException:
            drop()  # nobody is to go on
            raise

    def drop() -> None:
        while take() is not None:
            pass

    failures: list[BaseException] = []
    helping = [_pool(helpers).submit(take_turns) for _ in range(helpers)]
    try:
        take_turns()
    except BaseException as failure:
        failures.append(failure)
    # Whatever happens, nobody is still at work afterwards: what it works on may be gone then.
    for one in helping:
        while not (one.cancel() or one.done()):
            try:
                wait([one])
            except KeyboardInterrupt as interrupt:
                failures.append(interrupt)
                drop()
        if not one.cancelled() and (theirs := one.exception()) is not None:
            failures.append(theirs)
    if failures:
        raise failures[0]
