"""What the store holds, as SQLite tables: a file counts from the moment that a row names it.

SQLite in WAL mode with full synchronisation: a commit that returned survives a power cut, and
reading does not wait for writing. One connection reads and one writes; each has a lock, as
answers come from several threads.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from gpu_kmeans.errors import FileProblem

__all__ = ["Registry", "now"]

SCHEMA_VERSION = 1
TABLES = """
CREATE TABLE datasets (
    name TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL,
    about TEXT NOT NULL, items TEXT NOT NULL, credits TEXT
);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, about TEXT NOT NULL, created TEXT NOT NULL,
    started TEXT, finished TEXT, history TEXT NOT NULL DEFAULT '[]', version INTEGER, error TEXT,
    idempotency_key TEXT UNIQUE, request TEXT
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
"""

Row = dict[str, Any]
_JSON = ("about", "items", "credits", "history", "error", "report")


class Registry:
    """Tables of datasets, jobs, models, their versions, and keys.

    Parameters
    ----------
    file : Path
        Made where it does not exist.

    Raises
    ------
    FileProblem
        The file is no registry, or one of a newer release.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._writer, self._reader = _connect(file), _connect(file)
            self._create(file)
        except sqlite3.DatabaseError as error:
            raise FileProblem(f"{file.name} cannot be used as a registry: {error}") from error
        self._writing, self._reading = threading.Lock(), threading.Lock()

    def _create(self, file: Path) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise FileProblem(f"{file.name} was written by a newer gpu-kmeans: upgrade this one")
        self._writer.execute("PRAGMA journal_mode=WAL")
        if version == 0:
            self._writer.executescript(
                f"BEGIN; {TABLES} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )

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

    def put_dataset(self, name: str, about: Row, items: Row, credits: Row | None) -> None:
        """Insert a dataset, or replace what is known of it."""
        with self.writing() as to:
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

    def delete_dataset(self, name: str) -> None:
        """Forget a dataset."""
        with self.writing() as to:
            to.execute("DELETE FROM datasets WHERE name = ?", (name,))

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
        """Keep how a job ended without a version."""
        with self.writing() as to:
            to.execute(
                "UPDATE jobs SET state = ?, finished = ?, history = ?, error = ? WHERE id = ?",
                (state, now(), _json(history), None if error is None else _json(error), job),
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

    def versions(self, model: str) -> list[Row]:
        """Versions of a model, the newest first, without their reports."""
        return self.rows(
            "SELECT model, version, folder, created, state, about FROM versions "
            "WHERE model = ? ORDER BY version DESC",
            model,
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
    ) -> int:
        """Give a folder the next number of a model; with a job, let that have succeeded by it.

        The first version of a model is active in any case.
        """
        with self.writing() as to:
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
            done = to.execute(
                "DELETE FROM versions WHERE model = ? AND version = ? "
                "AND version IS NOT (SELECT active FROM models WHERE name = ?)",
                (model, version, model),
            )
            to.execute(
                "UPDATE models SET previous = NULL WHERE name = ? AND previous = ?",
                (model, version),
            )
            return done.rowcount > 0

    def delete_model(self, model: str) -> None:
        """Forget all versions of a model."""
        with self.writing() as to:
            to.execute("DELETE FROM versions WHERE model = ?", (model,))
            to.execute("UPDATE models SET active = NULL, previous = NULL WHERE name = ?", (model,))


def _activate(to: sqlite3.Connection, model: str, version: int) -> bool:
    found = to.execute(
        "SELECT 1 FROM versions WHERE model = ? AND version = ? AND state = 'ready'",
        (model, version),
    ).fetchone()
    if found is not None:
        to.execute(
            "UPDATE models SET previous = active, active = ?, updated = ? "
            "WHERE name = ? AND active IS NOT ?",
            (version, now(), model, version),
        )
    return found is not None


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
    found = dict(row)
    for name in _JSON:
        if isinstance(found.get(name), str):
            found[name] = orjson.loads(found[name])
    return found
