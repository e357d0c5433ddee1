"""Records: one JSON object a line, appended as they come, so that a stopped run keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["SCHEMA", "Record", "append", "key", "machine_of", "read"]

SCHEMA = 1
Record: TypeAlias = dict[str, Any]


def append(file: Path, record: Record) -> None:
    """Add a record, whole, at the end of the file."""
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")


def read(files: Iterable[Path]) -> list[Record]:
    """Read the records of the files; later ones replace earlier ones on the same subject.

    Raises
    ------
    ValueError
        A line is no record of this schema; the message names it.
    """
    by_key: dict[tuple[str, str, str], Record] = {}
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{file}, line {number}: not JSON ({error})") from None
            if not isinstance(record, dict) or record.get("schema") != SCHEMA:
                raise ValueError(f"{file}, line {number}: no record of schema {SCHEMA}")
            by_key[key(record)] = record
    return list(by_key.values())


def key(record: Record) -> tuple[str, str, str]:
    """Subject of a record: question, case and contestant."""
    return record["question"], record["case"], record["contestant"]


def machine_of(record: Record) -> str:
    """Name the machine and the threads in a few words."""
    machine = record["machine"]
    cores = "1 thread" if record["threads"] == 1 else f"{record['threads']} threads"
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    return f"{machine['processor']}, {cores}{gpu}"
