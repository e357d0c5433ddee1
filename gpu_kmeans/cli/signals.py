"""Ctrl-C and termination: remembered, raised as KeyboardInterrupt, held back while renaming.

An exit code of 130 or 143 promises that nothing changed. So once a result has taken its
place, a signal comes too late: the command finishes as if there had been none.

Remembering matters because a library that is interrupted inside its own code may answer
with another exception (an ``ImportError``, say), or with none at all.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["check", "commit", "handled", "held", "ignore", "received"]

_received = 0
_holds = 0
_committed = False


def received() -> int:
    """Return the number of the signal that came, or 0."""
    return _received


def check() -> None:
    """Raise if a signal came, also when a library has swallowed its exception."""
    if _received and not _holds:
        raise KeyboardInterrupt


@contextmanager
def handled(*, until_exit: bool) -> Iterator[None]:
    """Handle SIGINT and SIGTERM inside the block; only the main thread can, others do nothing.

    With ``until_exit`` they are ignored from then on, while the interpreter shuts down.
    """
    global _received, _holds, _committed
    _received = _holds = 0
    _committed = False
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if until_exit else handler)


def ignore() -> None:
    """Raise nothing any more: the outcome is decided, and what is left is to say it."""
    global _holds
    _holds += 1


def commit() -> None:
    """Forget what came and what comes: the result stands, and is only to be reported."""
    global _received, _committed
    _committed = True
    _received = 0


@contextmanager
def held() -> Iterator[None]:
    """Let the block finish, and raise only then what came meanwhile."""
    global _holds
    already = _received
    _holds += 1
    try:
        yield
    finally:
        _holds -= 1
    if _received != already:
        check()


def _handle(number: int, frame: FrameType | None) -> None:
    global _received
    if not _committed:
        _received = number
        check()
