"""What the store holds, as SQLite tables: a file counts from the moment that a row names it.

SQLite in WAL mode with full synchronisation: a commit that returned survives a power cut, and
reading does not wait for writing. One connection reads and one writes; each has a lock, as
answers come from several threads.

A file that is on its way in or out is listed in ``pending``: with a crash in between it is a file
that no row names, and that list alone says that it may go. What no row names and the list does
not have is left as it is.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from gpu_kmeans.errors import FileProblem

__all__ = [
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "TABLES",
    "ActiveChanged",
    "Registry",
    "VersionGone",
    "now",
    "revision",
]

SCHEMA_VERSION = 3
PENDING = "CREATE TABLE pending (file TEXT PRIMARY KEY);"
RESULTS = "ALTER TABLE jobs ADD COLUMN result TEXT;"
MIGRATIONS = {1: PENDING, 2: RESULTS}
"""SQL that makes a registry of the next schema of one of this schema."""
TABLES = f"""
CREATE TABLE datasets (
    name TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL,
    about TEXT NOT NULL, items TEXT NOT NULL, credits TEXT
);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, about TEXT NOT NULL, created TEXT NOT NULL,
    started TEXT, finished TEXT, history TEXT NOT NULL DEFAULT '[]', version INTEGER, error TEXT,
    idempotency_key TEXT UNIQUE, request TEXT, result TEXT
);
CREATE INDEX jobs_by_state ON jobs (state, id);
-- A model's row outlives its deletion: its numbers are never given out again.
CREATE TABLE models (
    name TEXT PRIMARY KEY, active INTEGER, previous INTEGER, next INTEGER NOT NULL DEFAULT 1,
    updated TEXT NOT NULL
);
CREATE TABLE versions (
    model TEXT NOT NULL, version INTEGER NOT NULL, folder TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL, state TEXT NOT NULL, about TEXT NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (model, version)
);
CREATE TABLE keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, scope TEXT NOT NULL,
    created TEXT NOT NULL
);
{PENDING}
"""

Row = dict[str, Any]
_JSON = ("about", "items", "credits", "history", "error", "report", "result")


class VersionGone(Exception):
    """The version that another one was made of is not there any more."""


class ActiveChanged(Exception):
    """The version that was to be replaced is not the active one any more."""


class Registry:
    """Tables of datasets, jobs, models, their versions, and keys.

    Parameters
    ----------
    file : Path
        Made where it does not exist. What exists was found sound by
        :func:`gpu_kmeans.service.registry_check.check_registry`.
    label : callable, optional
        Called with the row of each dataset and version before it counts, for a copy of what
        the row says beside the file that it names.

    Raises
    ------
    FileProblem
        The file cannot be opened or written.
    """

    def __init__(self, file: Path, label: Callable[[str, Row], None] | None = None) -> None:
        self._label = label or (lambda table, row: None)
        try:
            self._writer, self._reader = _connect(file), _connect(file)
            self._create()
        except sqlite3.DatabaseError as error:
            raise FileProblem(
                f"{file.name} cannot be used ({error}): the disk is full or fails, or the folder "
                "is read-only; free some space, or choose another --data"
            ) from error
        self._writing, self._reading = threading.Lock(), threading.Lock()

    def _create(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        self._writer.execute("PRAGMA journal_mode=WAL")
        while version < SCHEMA_VERSION:
            script, version = (
                (TABLES, SCHEMA_VERSION) if version == 0 else (MIGRATIONS[version], version + 1)
            )
            self._writer.executescript(f"BEGIN; {script} PRAGMA user_version={version}; COMMIT;")

    def close(self) -> None:
        """Close both connections."""
        self._reader.close()
        self._writer.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing when the block raises."""
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: Any) -> list[Row]:
        """All rows that a query finds."""
        with self._reading:
            return [_decoded(row) for row in self._reader.execute(query, values)]

    def row(self, query: str, *values: Any) -> Row | None:
        """The first row that a query finds."""
        return next(iter(self.rows(query, *values)), None)

    # -- datasets -------------------------------------------------------------------------

    def datasets(self) -> list[Row]:
        """All datasets by name."""
        return self.rows("SELECT * FROM datasets ORDER BY name")

    def dataset(self, name: str) -> Row | None:
        """One dataset."""
        return self.row("SELECT * FROM datasets WHERE name = ?", name)

    def put_dataset(self, name: str, about: Row, items: Row, credits: Row | None) -> list[str]:
        """Insert a dataset, or replace what is known of it; return the files that it had before."""
        with self.writing() as to:
            before = _files_of(to, name)
            to.execute(
                "INSERT INTO datasets (name, created, updated, about, items, credits) "
                "VALUES (:name, :now, :now, :about, :items, :credits) "
                "ON CONFLICT (name) DO UPDATE SET "
                "updated = :now, about = :about, items = :items, credits = :credits",
                {
                    "name": name,
                    "now": now(),
                    "about": _json(about),
                    "items": _json(items),
                    "credits": None if credits is None else _json(credits),
                },
            )
            row = to.execute("SELECT * FROM datasets WHERE name = ?", (name,)).fetchone()
            self._label("datasets", _decoded(row))
            after = _files_of(to, name)
            _arrive(to, after)
            gone = [file for file in before if file not in after]
            _leave(to, gone)
            return gone

    def delete_dataset(self, name: str) -> list[str]:
        """Forget a dataset; return the files that it had."""
        with self.writing() as to:
            gone = _files_of(to, name)
            to.execute("DELETE FROM datasets WHERE name = ?", (name,))
            _leave(to, gone)
            return gone

    # -- files on their way ----------------------------------------------------------------

    def expect(self, file: str) -> None:
        """List a file that is about to be moved to its place, and counts only with its row."""
        with self.writing() as to:
            _leave(to, [file])

    def pending(self) -> set[str]:
        """Files that were on their way in or out, and may go where no row names them."""
        return {row["file"] for row in self.rows("SELECT file FROM pending")}

    def forget_pending(self) -> None:
        """Empty the list of files on their way."""
        with self.writing() as to:
            to.execute("DELETE FROM pending")

    def files(self) -> set[str]:
        """Files and folders that datasets and versions name."""
        parts = (part for row in self.datasets() for part in (row["items"], row["credits"]))
        return self.folders() | {part["file"] for part in parts if part is not None}

    def stored_bytes(self) -> int:
        """Bytes of the files that datasets and versions name."""
        row = self.row(
            "SELECT (SELECT TOTAL(json_extract(about, '$.bytes')) FROM versions) + "
            "(SELECT TOTAL(json_extract(items, '$.bytes')) FROM datasets) + "
            "(SELECT TOTAL(json_extract(credits, '$.bytes')) FROM datasets) AS bytes"
        )
        return 0 if row is None else int(row["bytes"])

    # -- jobs -----------------------------------------------------------------------------

    def job(self, job: str) -> Row | None:
        """One job."""
        return self.row("SELECT * FROM jobs WHERE id = ?", job)

    def jobs(self, limit: int, before: str | None = None) -> list[Row]:
        """The newest jobs, or those older than one, without their iterations."""
        return self.rows(
            "SELECT id, state, about, created, started, finished, version, error FROM jobs "
            "WHERE id < ? ORDER BY id DESC LIMIT ?",
            before or "~",
            limit,
        )

    def job_by_key(self, key: str) -> Row | None:
        """The job that a request of this idempotency key made."""
        return self.row("SELECT * FROM jobs WHERE idempotency_key = ?", key)

    def queued(self) -> list[Row]:
        """Jobs that wait, the first to run first."""
        return self.rows("SELECT * FROM jobs WHERE state = 'queued' ORDER BY id")

    def add_job(self, job: str, about: Row, key: str | None, request: str) -> None:
        """Insert a job that waits."""
        with self.writing() as to:
            to.execute(
                "INSERT INTO jobs (id, state, about, created, idempotency_key, request) "
                "VALUES (?, 'queued', ?, ?, ?, ?)",
                (job, _json(about), now(), key, request),
            )

    def start_job(self, job: str) -> None:
        """Let a waiting job run."""
        with self.writing() as to:
            to.execute(
                # A job that was cancelled meanwhile stays that.
                "UPDATE jobs SET state = 'running', started = ? WHERE id = ? AND state = 'queued'",
                (now(), job),
            )

    def end_job(self, job: str, state: str, history: list[Any], error: Row | None) -> None:
        """Keep how a job ended without a version and without a result."""
        with self.writing() as to:
            to.execute(
                "UPDATE jobs SET state = ?, finished = ?, history = ?, error = ? WHERE id = ?",
                (state, now(), _json(history), None if error is None else _json(error), job),
            )

    def answer_job(self, job: str, history: list[Any], result: Row) -> None:
        """Keep what a job has answered: it succeeded without a version."""
        with self.writing() as to:
            to.execute(
                "UPDATE jobs SET state = 'succeeded', finished = ?, history = ?, result = ? "
                "WHERE id = ?",
                (now(), _json(history), _json(result), job),
            )

    def interrupt_running(self) -> None:
        """Mark what ran when the service ended."""
        error = {
            "code": "interrupted",
            "detail": "the service ended while the job ran; start it again",
        }
        with self.writing() as to:
            to.execute(
                "UPDATE jobs SET state = 'interrupted', finished = ?, error = ? "
                "WHERE state = 'running'",
                (now(), _json(error)),
            )

    # -- models ---------------------------------------------------------------------------

    def models(self) -> list[Row]:
        """Models that have versions, by name, with how many."""
        return self.rows(
            "SELECT m.*, COUNT(v.version) AS versions FROM models m "
            "JOIN versions v ON v.model = m.name GROUP BY m.name ORDER BY m.name"
        )

    def model(self, name: str) -> Row | None:
        """One model, if it has versions."""
        return self.row(
            "SELECT * FROM models WHERE name = ? "
            "AND EXISTS (SELECT 1 FROM versions WHERE model = name)",
            name,
        )

    def versions(self, model: str, limit: int = -1, before: int = 2**62) -> list[Row]:
        """Versions of a model before a number, the newest first, without their reports."""
        return self.rows(
            "SELECT model, version, folder, created, state, about FROM versions "
            "WHERE model = ? AND version < ? ORDER BY version DESC LIMIT ?",
            model,
            before,
            limit,
        )

    def version(self, model: str, version: int) -> Row | None:
        """One version of a model."""
        return self.row("SELECT * FROM versions WHERE model = ? AND version = ?", model, version)

    def place(self, model: str, version: int) -> Row | None:
        """Where a version is and whether it can be read: all that an answer needs."""
        return self.row(
            "SELECT model, version, folder, state FROM versions WHERE model = ? AND version = ?",
            model,
            version,
        )

    def active(self) -> list[Row]:
        """Versions that answer, with their folders and how many bytes these hold."""
        return self.rows(
            "SELECT v.model, v.version, v.folder, json_extract(v.about, '$.bytes') AS bytes "
            "FROM models m JOIN versions v ON v.model = m.name AND v.version = m.active "
            "ORDER BY v.model"
        )

    def folders(self) -> set[str]:
        """Folders that versions name."""
        return {row["folder"] for row in self.rows("SELECT folder FROM versions")}

    def add_version(
        self,
        model: str,
        folder: str,
        about: Row,
        report: Row,
        *,
        activate: bool,
        job: str | None = None,
        history: list[Any] | None = None,
        base: int | None = None,
    ) -> int:
        """Give a folder the next number of a model; with a job, let that have succeeded by it.

        The first version of a model is active in any case. One that was made of another needs
        that ``base``, which must be active if it is to take its place.

        Raises
        ------
        VersionGone, ActiveChanged
        """
        with self.writing() as to:
            if base is not None:
                _check_base(to, model, base, activate)
            to.execute("INSERT OR IGNORE INTO models (name, updated) VALUES (?, ?)", (model, now()))
            version, active = to.execute(
                "SELECT next, active FROM models WHERE name = ?", (model,)
            ).fetchone()
            to.execute(
                "INSERT INTO versions (model, version, folder, created, state, about, report) "
                "VALUES (?, ?, ?, ?, 'ready', ?, ?)",
                (model, version, folder, now(), _json(about), _json(report)),
            )
            to.execute(
                "UPDATE models SET next = next + 1, updated = ? WHERE name = ?", (now(), model)
            )
            row = to.execute("SELECT * FROM versions WHERE folder = ?", (folder,)).fetchone()
            self._label("versions", _decoded(row))
            _arrive(to, [folder])
            if activate or active is None:
                _activate(to, model, version)
            if job is not None:
                to.execute(
                    "UPDATE jobs SET state = 'succeeded', finished = ?, history = ?, version = ? "
                    "WHERE id = ?",
                    (now(), _json(history or []), version, job),
                )
            return int(version)

    def activate(self, model: str, version: int) -> bool:
        """Let a version answer; false if it is gone meanwhile."""
        with self.writing() as to:
            return _activate(to, model, version)

    def set_aside(self, model: str, version: int) -> None:
        """Mark a version that cannot be read; it answers no longer."""
        with self.writing() as to:
            to.execute(
                "UPDATE versions SET state = 'corrupt' WHERE model = ? AND version = ?",
                (model, version),
            )
            for column in ("active", "previous"):
                to.execute(
                    f"UPDATE models SET {column} = NULL WHERE name = ? AND {column} = ?",
                    (model, version),
                )

    def delete_version(self, model: str, version: int) -> bool:
        """Forget a version that does not answer; its number stays taken. False if it answers."""
        with self.writing() as to:
            gone = to.execute(
                "DELETE FROM versions WHERE model = ? AND version = ? "
                "AND version IS NOT (SELECT active FROM models WHERE name = ?) RETURNING folder",
                (model, version, model),
            ).fetchall()
            _leave(to, [row["folder"] for row in gone])
            to.execute(
                "UPDATE models SET previous = NULL WHERE name = ? AND previous = ?",
                (model, version),
            )
            return bool(gone)

    def prune_versions(self, model: str, count: int, used: set[str]) -> dict[int, str]:
        """Forget versions but the newest so many, the active one, and those of some folders.

        Returns their folders by their numbers, which stay taken.
        """
        with self.writing() as to:
            old = to.execute(
                "SELECT version, folder FROM versions WHERE model = :model "
                "AND version IS NOT (SELECT active FROM models WHERE name = :model) "
                "AND version NOT IN (SELECT version FROM versions WHERE model = :model "
                "ORDER BY version DESC LIMIT :count)",
                {"model": model, "count": count},
            ).fetchall()
            gone = {row["version"]: row["folder"] for row in old if row["folder"] not in used}
            for version in gone:
                to.execute("DELETE FROM versions WHERE model = ? AND version = ?", (model, version))
                to.execute(
                    "UPDATE models SET previous = NULL WHERE name = ? AND previous = ?",
                    (model, version),
                )
            _leave(to, gone.values())
            return gone

    def delete_model(self, model: str) -> list[str]:
        """Forget all versions of a model; return their folders."""
        with self.writing() as to:
            gone = to.execute("DELETE FROM versions WHERE model = ? RETURNING folder", (model,))
            folders = [row["folder"] for row in gone.fetchall()]
            _leave(to, folders)
            to.execute("UPDATE models SET active = NULL, previous = NULL WHERE name = ?", (model,))
            return folders


def _check_base(to: sqlite3.Connection, model: str, base: int, must_be_active: bool) -> None:
    row = to.execute(
        "SELECT active FROM models JOIN versions ON model = name WHERE name = ? AND version = ?",
        (model, base),
    ).fetchone()
    if row is None:
        raise VersionGone(model, base)
    if must_be_active and row["active"] != base:
        raise ActiveChanged(model, base)


def _files_of(to: sqlite3.Connection, dataset: str) -> list[str]:
    row = to.execute("SELECT items, credits FROM datasets WHERE name = ?", (dataset,)).fetchone()
    parts = [] if row is None else [orjson.loads(part) for part in row if part is not None]
    return [part["file"] for part in parts]


def _arrive(to: sqlite3.Connection, files: Iterable[str]) -> None:
    to.executemany("DELETE FROM pending WHERE file = ?", [(file,) for file in files])


def _leave(to: sqlite3.Connection, files: Iterable[str]) -> None:
    to.executemany("INSERT OR IGNORE INTO pending VALUES (?)", [(file,) for file in files])


def _activate(to: sqlite3.Connection, model: str, version: int) -> bool:
    cursor = to.execute(
        "SELECT 1 FROM versions WHERE model = ? AND version = ? AND state = 'ready'",
        (model, version),
    ).fetchone()
    if cursor is not None:
        to.execute(
            "UPDATE models SET previous = active, active = ?, updated = ? "
            "WHERE name = ? AND active IS NOT ?",
            (version, now(), model, version),
        )
    return cursor is not None


def revision(dataset: Row) -> str:
    """What a dataset holds, as 16 characters that differ once a part of it was replaced."""
    parts = [dataset[part] and dataset[part]["file"] for part in ("items", "credits")]
    return hashlib.sha256(_json(parts).encode()).hexdigest()[:16]


def now() -> str:
    """UTC time in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _decoded(row: sqlite3.Row) -> Row:
    decoded = dict(row)
    for name in _JSON:
        if isinstance(decoded.get(name), str):
            decoded[name] = orjson.loads(decoded[name])
    return decoded
