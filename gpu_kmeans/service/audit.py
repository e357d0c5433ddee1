"""Who changed what, written beside the data: one JSON object a line, only ever added to.

It holds names, numbers and addresses; never a key, and nothing that people uploaded or asked.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import orjson

from gpu_kmeans.service.registry import now

__all__ = ["AUDIT", "write_audit"]

AUDIT = "audit.jsonl"
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
