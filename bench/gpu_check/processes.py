"""A section's process, held to its time, with its figures kept as they are made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

__all__ = ["Note", "note_on_stdout", "run"]

MARK = "gpu-check: "
ENDED = "ended"
"""Figure with which a section says that it came to its end."""
LAST_LINES = 12
"""Number of lines of a section that failed that are kept with its reason."""
GRACE = 5.0
"""Maximum number of seconds that are waited for the output of a process that has ended."""

Note = Callable[..., None]
"""Called with figures by name, as soon as they are made; later ones replace earlier ones."""


def note_on_stdout() -> Note:
    """Return a function that hands figures to the process that runs the section.

    It writes to what is the standard output now, whoever captures that later.
    """
    descriptor = os.dup(sys.__stdout__.fileno() if sys.__stdout__ else 1)

    def note(**figures: Any) -> None:
        line = memoryview(f"\n{MARK}{json.dumps(figures)}\n".encode())
        while line:
            line = line[os.write(descriptor, line) :]

    return note


def run(
    command: Sequence[str],
    seconds: float,
    *,
    echo: Callable[[str], None] = lambda line: None,
    seen: Callable[[dict[str, Any]], None] = lambda figures: None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a section in a process of its own, for at most so many seconds.

    Parameters
    ----------
    echo : callable
        Called with each line that the process prints, as it comes.
    seen : callable
        Called with all figures so far whenever there are more.

    Returns
    -------
    dict
        The figures, ``process_seconds``, and where the section failed ``failed``, the reason, and
        ``said``, its last lines. It failed, too, where it left without saying that it had ended,
        and where it ended without a figure.
    """
    figures: dict[str, Any] = {}
    lines: deque[str] = deque(maxlen=LAST_LINES)
    unreadable: list[str] = []
    start = perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that what it started ends with it
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
    )
    output = process.stdout
    assert output is not None

    def read() -> None:
        with output:
            for line in output:
                take(line.decode("utf-8", "replace").rstrip())

    def take(text: str) -> None:
        _, mark, marked = text.partition(MARK)
        if not mark:
            if text:
                lines.append(text)
                echo(text)
            return
        try:
            figures.update(json.loads(marked))
        except (TypeError, ValueError):
            unreadable.append(text[:200])
        else:
            seen(_without_end(figures))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    late = False
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        with suppress(ProcessLookupError, PermissionError):  # all of it may have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join(GRACE)
    result = _without_end(figures)
    failed = result.pop("failed", None)
    if late:
        failed = f"stopped after {seconds:g} s, its limit"
    elif process.returncode:
        failed = _end_of(process.returncode) + (f"; {failed}" if failed else "")
    elif not figures.get(ENDED):
        failed = "it left without saying that it had ended"
    elif unreadable:
        failed = f"a figure that cannot be read: {unreadable[0]}"
    elif not result:
        failed = "it ended without a figure"
    result["process_seconds"] = round(perf_counter() - start, 1)
    return {"failed": failed, "said": [*lines], **result} if failed else result


def _without_end(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != ENDED}


def _end_of(status: int) -> str:
    if status > 0:
        return f"exit {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
