"""Who changed what, written beside the data: one JSON object a line, only ever added to.

It holds names, numbers and addresses; never a key, and nothing that people uploaded or asked.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from gpu_kmeans.service.registry import now

__all__ = ["AUDIT", "read_audit", "write_audit"]

AUDIT = "audit.jsonl"
BLOCK = 1 << 16
"""Bytes of the file that are read at once, from its end."""
MOST_LINE = 1 << 20
"""Maximum number of bytes of a line; what is longer was not written here, and is left out."""
WHO = ("time", "action", "client", "key", "request")
log = logging.getLogger("gpu_kmeans.service")


def write_audit(folder: Path, about: dict[str, Any]) -> None:
    """Add a line about a change that was made, and flush it to the disk.

    Where that cannot be done (the disk is full), the log says so: what was changed is changed.
    """
    line = orjson.dumps({"time": now(), **about}) + b"\n"
    try:
        file = os.open(folder / AUDIT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(file, line)  # one call: lines of two processes do not mix
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        log.warning("a change is not in the audit file", extra={"reason": error.strerror, **about})


def read_audit(
    folder: Path, limit: int, end: int | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return what was changed, the newest first.

    Parameters
    ----------
    folder : Path
    limit : int
        Maximum number of lines.
    end : int, optional
        Byte of the file before which they stand; its end by default. A line is only ever added, so
        that it stands where it stood.

    Returns
    -------
    entries : list of dict
        Who did what and when, and ``about`` what. A line that was cut short is left out.
    start : int
        Byte at which the last of them begins; 0 where there are no more.
    """
    entries: list[dict[str, Any]] = []
    try:
        file = (folder / AUDIT).open("rb")
    except FileNotFoundError:
        return [], 0
    with file:
        size = file.seek(0, os.SEEK_END)
        last = size if end is None else min(end, size)
        for start, line in _lines_before(file, last):
            entry = _entry(line)
            if entry is not None:
                entries.append(entry)
                if len(entries) == limit:
                    return entries, start
    return entries, 0


def _lines_before(file: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that end before a byte, the last first, with the byte that each begins at."""
    rest = b""
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        rest = file.read(end - start) + rest
        end = start
        first, *lines = rest.split(b"\n")
        at = end + len(rest)
        for line in reversed(lines):
            at -= len(line)
            if line:
                yield at, line
            at -= 1
        rest = first if len(first) <= MOST_LINE else b""
    if rest:
        yield 0, rest


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(raw, dict):
        return None
    about = {name: value for name, value in raw.items() if name not in WHO}
    return {name: raw.get(name) for name in WHO} | {"about": about}
