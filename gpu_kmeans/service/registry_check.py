"""A look at a registry before it is used: what is damaged, or newer, is neither used nor changed.

SQLite finds pages that do not fit together; that the rows say what this release writes is checked
here, row by row, as a wrong file name could otherwise lead to a wrong file.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import orjson

from gpu_kmeans.errors import FileProblem
from gpu_kmeans.service.formats import SUFFIXES
from gpu_kmeans.service.registry import MIGRATIONS, SCHEMA_VERSION, TABLES

__all__ = [
    "DATASET_FILE",
    "FOLDER",
    "RegistryDamaged",
    "RegistryNewer",
    "check_registry",
    "is_dataset",
    "is_version",
]

FOLDER = re.compile(r"[0-9a-f]{24}")
"""Name of a model's folder, and of one in ``incoming``."""
DATASET_FILE = re.compile(rf"[0-9a-f]{{24}}({'|'.join(map(re.escape, SUFFIXES))})")
NAME = re.compile(r"[a-z0-9_-]{1,64}")
VERSION_KEYS = {"dataset", "job", "source", "bytes", "backend", "parameters", "metrics"}
DISK_FAILS = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_BUSY")


class RegistryDamaged(FileProblem):
    """The file is not what a service wrote."""


class RegistryNewer(FileProblem):
    """The file has a schema that this release does not know."""


def check_registry(file: Path) -> Literal["missing", "empty", "sound"]:
    """Look at a registry without changing it.

    Parameters
    ----------
    file : Path

    Returns
    -------
    str
        "missing" without a file, "empty" for one without a table, else "sound".

    Raises
    ------
    RegistryDamaged
        It is no SQLite database, or its pages or rows are not what a service wrote.
    RegistryNewer
        It has a newer schema.
    FileProblem
        It cannot be read.
    """
    if not file.exists():
        return "missing"
    if not file.is_file():
        raise FileProblem(f"{file} is not a file: move it away, or choose another --data")
    if file.stat().st_size == 0:
        return "empty"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as registry:
            registry.row_factory = sqlite3.Row
            return _check(registry, file)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "").startswith(DISK_FAILS):
            raise FileProblem(
                f"{file.name} cannot be used ({error}): the disk is full or fails, the folder is "
                "read-only, or another program has the file; free some space, or choose another "
                "--data"
            ) from error
        raise _damaged(file, str(error)) from error
    except UnicodeDecodeError as error:  # of names of tables, before any page is checked
        raise _damaged(file, "its tables have names that are no text") from error


def _check(registry: sqlite3.Connection, file: Path) -> Literal["empty", "sound"]:
    version = registry.execute("PRAGMA user_version").fetchone()[0]
    columns = _columns(registry)
    if not columns and version == 0:
        return "empty"
    if version > SCHEMA_VERSION:
        raise RegistryNewer(
            f"{file.name} was written by a newer gpu-kmeans (schema {version}; this one knows "
            f"{SCHEMA_VERSION}): upgrade this one; or, if that cannot be, move the file away and "
            "let another be made of what lies in the folder: "
            f"gpu-kmeans recover --data {file.parent}"
        )
    page_bytes = registry.execute("PRAGMA page_size").fetchone()[0]
    log_file = file.with_name(f"{file.name}-wal")
    # With pages in the log, those in the file may be on their way from there.
    if file.stat().st_size % page_bytes and not (log_file.exists() and log_file.stat().st_size):
        raise _damaged(file, "it was cut short")
    verdict = registry.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _damaged(file, verdict.replace("\n", " "))
    if columns != _expected(version):
        raise _damaged(file, f"its tables are not those of schema {version}")
    for table, check in CHECKS.items():
        for row in registry.execute(f"SELECT * FROM {table}"):
            try:
                sound = check(row)
            except (KeyError, TypeError, ValueError):  # not JSON, or not of this shape
                sound = False
            if not sound:
                raise _damaged(file, f"a row of its table {table!r} is not what was written")
    return "sound"


def _columns(registry: sqlite3.Connection) -> dict[str, list[str]]:
    # Without those that SQLite keeps for itself.
    tables = registry.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    # Not PRAGMA table_info, which needs the name in its text.
    query = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
    return {name: [row[0] for row in registry.execute(query, (name,))] for (name,) in tables}


def _expected(version: int) -> dict[str, list[str]] | None:
    if version != SCHEMA_VERSION and version not in MIGRATIONS:
        return None
    with closing(sqlite3.connect(":memory:")) as model:
        model.executescript(TABLES)
        if version < 3:
            model.execute("ALTER TABLE jobs DROP COLUMN result")
        if version < 2:
            model.execute("DROP TABLE pending")
        return _columns(model)


def _damaged(file: Path, reason: str) -> RegistryDamaged:
    return RegistryDamaged(
        f"{file.name} cannot be used as a registry: {reason:.200}; nothing was changed. Put it "
        "back from a backup, or let it be made anew of what lies in the folder: "
        f"gpu-kmeans recover --data {file.parent}"
    )


# -- rows --------------------------------------------------------------------------------------


def is_dataset(row: Any) -> bool:
    about, items = orjson.loads(row["about"]), orjson.loads(row["items"])
    credits = None if row["credits"] is None else orjson.loads(row["credits"])
    return (
        NAME.fullmatch(row["name"]) is not None
        and {"rows", "columns", "absent", "problems", "given"} <= set(about)
        and all(
            DATASET_FILE.fullmatch(part["file"]) is not None
            for part in (items, credits)
            if part is not None
        )
    )


def _is_job(row: Any) -> bool:
    about = orjson.loads(row["about"])
    error = None if row["error"] is None else orjson.loads(row["error"])
    result = dict(row).get("result")  # a column of the newest schema alone
    return (
        {"dataset", "model", "parameters", "activate"} <= set(about)
        and isinstance(orjson.loads(row["history"]), list)
        and (result is None or isinstance(orjson.loads(result), dict))
        and (error is None or {"code", "detail"} <= set(error))
        and row["state"] in ("queued", "running", "succeeded", "failed", "cancelled", "interrupted")
    )


def _is_model(row: Any) -> bool:
    numbers = (row["active"], row["previous"])
    return (
        NAME.fullmatch(row["name"]) is not None
        and isinstance(row["next"], int)
        and all(number is None or 0 < number < row["next"] for number in numbers)
    )


def is_version(row: Any) -> bool:
    return (
        NAME.fullmatch(row["model"]) is not None
        and isinstance(row["version"], int)
        and FOLDER.fullmatch(row["folder"]) is not None
        and row["state"] in ("ready", "corrupt")
        and set(orjson.loads(row["about"])) >= VERSION_KEYS
        and isinstance(orjson.loads(row["report"]), dict)
    )


def _is_key(row: Any) -> bool:
    return row["scope"] in ("read", "write") and len(row["hash"]) == 64


CHECKS: dict[str, Callable[[Any], bool]] = {
    "datasets": is_dataset,
    "jobs": _is_job,
    "models": _is_model,
    "versions": is_version,
    "keys": _is_key,
}
