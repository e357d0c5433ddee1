"""Forks, after which a process must inherit no held lock, half-made setting or dead thread.

A fork copies the memory of a process, but only the thread that forks. A lock that another thread
held, or a setting that it was to put back, stays so in the child for ever. Four cures:

* a setting of the whole process that is changed for a while under a lock (:class:`SharedSetting`):
  the child gets it as it was before, and a new lock;
* OpenMP, whose threads the child would wait for (:func:`openmp_is_lost`): one thread does the work;
* NumPy's BLAS, which ends its threads before a fork and, in the midst of a product, waits for them
  for ever, so that the fork itself does not come back (:class:`no_fork`): the fork waits for the
  product;
* imports, whose locks nobody gives back in the child: the fork waits for them.

In the parent nothing changes.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import _bootstrap
from types import TracebackType
from typing import Any, Generic, TypeVar

__all__ = ["SharedSetting", "no_fork", "openmp_is_lost", "product"]

PATIENCE = 10.0
"""Maximum time, in seconds, that a fork waits for products and imports of other threads."""
GLANCE = 0.001
"""Time, in seconds, between two looks at the imports of other threads."""
FORKED = 0x40
"""Flag of a process that was forked and has started no program since (Linux, PF_FORKNOEXEC)."""
OPENMP = r"(?m)/lib[gi]?omp\d*[-.][^/\n]*$"
"""File name of an OpenMP library: of GCC, LLVM or Intel."""

T = TypeVar("T")
_settings: list[SharedSetting[Any]] = []


class SharedSetting(Generic[T]):
    """A setting of the whole process, which one thread at a time changes for a while.

    Parameters
    ----------
    read : callable
        Returns the present value.
    write : callable
        Sets a value.
    """

    def __init__(self, read: Callable[[], T], write: Callable[[T], object]) -> None:
        self._read, self._write = read, write
        self._lock = threading.Lock()
        self._changed: tuple[int, T] | None = None  # by which thread, and the value before
        _settings.append(self)

    @contextmanager
    def changed_to(self, value: T | None) -> Iterator[None]:
        """Let the block run with this value, or, for None, with the one that there is.

        Other threads that want to change it wait.
        """
        with self._lock:
            before = self._read()
            self._changed = threading.get_ident(), before
            try:
                if value is not None:
                    self._write(value)
                yield
            finally:
                self._write(before)
                self._changed = None

    def _renew(self) -> None:
        """In a forked process: put the setting back in place of a thread that is gone."""
        if self._changed is not None:
            thread, before = self._changed
            if thread == threading.get_ident():  # goes on in this process
                return
            self._write(before)
        self._lock, self._changed = threading.Lock(), None


class _Sections:
    """For each thread, how many blocks that forks wait for it is in."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.depths: dict[int, int] = {}

    def enter(self) -> None:
        me = threading.get_ident()
        with self.changed:  # held by a thread that forks
            self.depths[me] = self.depths.get(me, 0) + 1

    def leave(self) -> None:
        me = threading.get_ident()
        with self.changed:
            self.depths[me] -= 1
            if not self.depths[me]:
                del self.depths[me]
                self.changed.notify_all()

    def only_mine(self) -> bool:
        return not self.depths.keys() - {threading.get_ident()}


_sections = _Sections()


class no_fork:
    """A short block that forks of other threads wait for, at most :data:`PATIENCE` seconds."""

    def __enter__(self) -> None:
        _sections.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _sections.leave()


def product(left: Any, right: Any) -> Any:
    """``left @ right`` of dense arrays, which NumPy's BLAS may share out: no fork comes between."""
    with no_fork():
        return left @ right


def openmp_is_lost() -> bool:
    """Whether OpenMP may wait for threads that did not survive a fork: use one thread.

    GCC's OpenMP keeps its threads, and does not notice a fork. A region of one thread needs none.
    """
    return _openmp_is_lost


def _was_forked() -> bool:
    """Whether this process was forked before this module was there to see it."""
    try:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            flags = file.read().rpartition(")")[2].split()[6]
        return bool(int(flags) & FORKED)
    except (OSError, ValueError, IndexError):  # not Linux
        return False


def _openmp_is_loaded() -> bool:
    """Whether there is an OpenMP library in this process, whoever brought it; True if unknown."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            return re.search(OPENMP, file.read()) is not None
    except OSError:
        return True


_openmp_is_lost = _was_forked() and _openmp_is_loaded()


def _imports_go_on() -> bool:
    """Whether another thread is in the midst of an import."""
    locks = getattr(_bootstrap, "_module_locks", {})
    owners = [getattr(reference(), "owner", None) for reference in list(locks.values())]
    return any(owner not in (None, threading.get_ident()) for owner in owners)


def _before_fork() -> None:
    end = time.monotonic() + PATIENCE
    while _imports_go_on() and time.monotonic() < end:
        time.sleep(GLANCE)
    _sections.changed.acquire()  # nobody enters until the fork is over
    _sections.changed.wait_for(_sections.only_mine, max(0.0, end - time.monotonic()))


def _after_fork_in_parent() -> None:
    _sections.changed.release()


def _after_fork_in_child() -> None:
    global _openmp_is_lost, _sections
    _openmp_is_lost = _openmp_is_lost or _openmp_is_loaded()
    mine = _sections.depths.get(threading.get_ident())
    _sections = _Sections()
    if mine:
        _sections.depths[threading.get_ident()] = mine
    for setting in _settings:
        setting._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
