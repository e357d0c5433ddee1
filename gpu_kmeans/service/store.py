"""The service's folder: datasets and model versions as files, beside the registry.

::

    DATA/
      registry.sqlite    which of the files below count, and what they are
      lock               held by the one process that serves this folder
      datasets/          one file an upload, under a name that is never used again
      models/            one model directory a version, likewise
      labels/            what the registry says of each of these, for `gpu-kmeans recover`
      set-aside/         model directories and registries that could not be read
      incoming/          what is being received or made; emptied at each start
      audit.jsonl        who changed what, one JSON object a line

A file is written in ``incoming``, flushed to the disk, listed in the registry as pending, renamed
to its place, and only then named in the registry; on its way out it is listed again. So a crash
leaves at most files that are pending, which the next start removes; and what was acknowledged is
whole. Nothing else is ever removed: a file that neither a row nor the pending ones name was not
left by a crash, and belongs to a registry that was lost, or to someone else.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import orjson

from gpu_kmeans.errors import FileProblem
from gpu_kmeans.files import flush, remove
from gpu_kmeans.service.registry import Registry, Row
from gpu_kmeans.service.registry_check import DATASET_FILE, FOLDER, check_registry

__all__ = [
    "FOLDERS",
    "REGISTRY",
    "Store",
    "held",
    "label_names",
    "open_registry",
    "stored_files",
    "uninterrupted",
    "write_label",
]

log = logging.getLogger("gpu_kmeans.service")

T = TypeVar("T")

FOLDERS = ("datasets", "models", "labels", "set-aside", "incoming")
REGISTRY = "registry.sqlite"
SHOWN = 5
"""Maximum number of names in one message about many files."""


class Store:
    """A folder that this process alone serves.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.

    Raises
    ------
    FileProblem
        Another process serves it, it cannot be written, its registry cannot be used, or there is
        none, or another folder's, for the files that it holds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.datasets, self.models, self.labels, self.aside, self.incoming = (
            folder / name for name in FOLDERS
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
        except OSError as error:
            raise _no_room(folder, error) from error
        try:
            self.registry = open_registry(folder)
            try:
                self._begin()
            except BaseException:
                self.registry.close()
                raise
        except OSError as error:
            self._lock.close()
            raise _no_room(folder, error) from error
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Let another process have the folder."""
        self.registry.close()
        self._lock.close()

    def _begin(self) -> None:
        """Compare the folder with the registry, and remove what a crash left behind."""
        named, pending, stored = (
            self.registry.files(),
            self.registry.pending(),
            stored_files(self.folder),
        )
        unknown = sorted(stored - named - pending)
        if unknown and not named & stored:
            raise _unknown(self.folder, unknown, f"{REGISTRY} names none of")
        for name in FOLDERS:
            (self.folder / name).mkdir(exist_ok=True)
        for path in self.incoming.iterdir():
            if FOLDER.fullmatch(path.name):
                remove(path)
        self.discard(*(pending - named))
        with suppress(sqlite3.OperationalError):  # on a full disk: they are gone all the same
            if pending:
                self.registry.forget_pending()
        for row in self.registry.datasets():
            self._write_missing_labels("datasets", row)
        for row in self.registry.rows("SELECT * FROM versions"):
            self._write_missing_labels("versions", row)
        if unknown:
            log.warning(
                "files that the registry does not name are left as they are",
                extra={"files": _some(unknown), "way_out": recover_command(self.folder)},
            )
        if missing := sorted(named - stored - {path.name for path in self.aside.iterdir()}):
            log.warning(
                "files that the registry names are missing", extra={"files": _some(missing)}
            )

    def _write_missing_labels(self, table: str, row: Row) -> None:
        """Label what an earlier release stored; without room for it that waits."""
        for name in label_names(table, row):
            if not (self.labels / f"{name}.json").exists():
                with suppress(OSError):
                    write_label(self.folder, table, row, name)

    def scratch(self) -> Path:
        """A new folder in ``incoming``."""
        folder = self.incoming / secrets.token_hex(12)
        folder.mkdir()
        return folder

    def keep(self, path: Path, among: Path) -> str:
        """Move a flushed file or folder to its place; return its name there.

        Nothing counts it until the registry names it.
        """
        name = secrets.token_hex(12) + path.suffix
        self.registry.expect(name)
        path.rename(among / name)
        flush(among)
        return name

    async def commit(self, path: Path, among: Path, register: Callable[[str], T]) -> T:
        """Move a flushed file or folder to its place and name it in the registry.

        Not cut short by a cancellation, which would take away what is being kept; where the
        registry does not take it, nothing of it stays.
        """

        def work() -> T:
            name = self.keep(path, among)
            try:
                return register(name)
            except BaseException:
                self.discard(name)
                raise

        return await uninterrupted(work)

    def is_whole(self, folder: str, size: int) -> bool:
        """Whether a model directory has as many bytes as it had; what they are is not looked at."""
        try:
            return sum(path.stat().st_size for path in (self.models / folder).iterdir()) == size
        except OSError:
            return False

    def set_aside(self, folder: str) -> None:
        """Take a model directory that cannot be read out of the way, for people to look at."""
        with suppress(OSError):
            (self.models / folder).rename(self.aside / folder)

    def discard(self, *names: str) -> None:
        """Remove files and folders that the registry names no longer, and their labels."""
        for name in names:
            for path in (self.datasets / name, self.models / name, self.labels / f"{name}.json"):
                remove(path)


async def uninterrupted(work: Callable[[], T]) -> T:
    """Do some work on a thread to its end, whoever cancels meanwhile; then be cancelled."""
    task, cancelled = asyncio.create_task(asyncio.to_thread(work)), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:
            break
    result = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return result


def open_registry(folder: Path) -> Registry:
    """Open the registry of a folder; one is made only where there is nothing for it to know.

    Raises
    ------
    FileProblem
        It is missing or empty, and there are files that only it can explain; or it is damaged,
        newer, or cannot be read or written. Nothing is changed then.
    """
    file = folder / REGISTRY
    state = check_registry(file)
    if state != "sound":
        stored = sorted(stored_files(folder))
        log_file = file.with_name(f"{REGISTRY}-wal")  # SQLite would throw it away
        if stored or (log_file.exists() and log_file.stat().st_size):
            raise _unknown(folder, stored or [log_file.name], f"{REGISTRY} is {state}, and")
    return Registry(file, lambda table, row: write_label(folder, table, row))


def stored_files(folder: Path) -> set[str]:
    """Names of the files and folders among datasets and models that a service made."""
    names = set()
    for kind, name in (("datasets", DATASET_FILE), ("models", FOLDER)):
        if (folder / kind).is_dir():
            names |= {path.name for path in (folder / kind).iterdir() if name.fullmatch(path.name)}
    return names


def label_names(table: str, row: Row) -> list[str]:
    """Names of the files that a registry's row stands for, the newest first."""
    if table == "versions":
        return [row["folder"]]
    parts = [part for part in (row["items"], row["credits"]) if part is not None]
    parts.sort(key=lambda part: str(part.get("uploaded", "")), reverse=True)
    return [part["file"] for part in parts]


def write_label(folder: Path, table: str, row: Row, name: str | None = None) -> None:
    """Write down beside a stored file what the registry says of it, and flush it to the disk.

    Without a name: for each file of the row that has no label yet. A label is never written twice,
    so that it tells what was said when its file came.
    """
    content = orjson.dumps({"table": table, "row": row, "written": time.time_ns()})
    for label in [name] if name is not None else label_names(table, row):
        path = folder / "labels" / f"{label}.json"
        if path.exists():
            continue
        try:
            path.write_bytes(content)
            flush(path)
        except OSError:  # half of it would be worse than none
            remove(path)
            raise
    flush(folder / "labels")


def recover_command(folder: Path) -> str:
    """The command that lets a registry know what lies in its folder."""
    return f"gpu-kmeans recover --data {folder}"


def _unknown(folder: Path, files: list[str], what: str) -> FileProblem:
    return FileProblem(
        f"{what} what lies in {folder}: {_some(files)}; nothing was changed. Put the right "
        f"{REGISTRY} back, or let it be made of what lies there: {recover_command(folder)}"
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _no_room(folder: Path, error: OSError) -> FileProblem:
    return FileProblem(
        f"cannot keep data in {folder}: {error.strerror or error}; choose another --data, or make "
        "this one writable and free some space"
    )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, so that no service uses it meanwhile."""
    with _locked(folder / "lock"):
        yield


def _locked(path: Path) -> BinaryIO:
    """Hold a file's lock, which ends with the process however that ends."""
    import fcntl

    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FileProblem(
            f"another process serves {path.parent}: stop it, or choose another --data"
        ) from None
    return file
