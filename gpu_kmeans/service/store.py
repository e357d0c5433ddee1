"""The service's folder: datasets and model versions as files, beside the registry.

::

    DATA/
      registry.sqlite    which of the files below count, and what they are
      lock               held by the one process that serves this folder
      datasets/          one file an upload, under a name that is never used again
      models/            one model directory a version, likewise
      set-aside/         model directories that could not be read
      incoming/          what is being received or made; emptied at each start

A file is written in ``incoming``, flushed to the disk, renamed to its place, and only then
named in the registry. So a crash leaves at most files that no row names, which the next start
removes; and what was acknowledged is whole.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from gpu_kmeans.errors import FileProblem
from gpu_kmeans.service.registry import Registry

__all__ = ["Store", "flush", "remove"]

T = TypeVar("T")

FOLDERS = ("datasets", "models", "set-aside", "incoming")


class Store:
    """A folder that this process alone serves.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.

    Raises
    ------
    FileProblem
        Another process serves it, it cannot be written, or its registry cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.datasets, self.models, self.aside, self.incoming = (folder / n for n in FOLDERS)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
            for each in FOLDERS:
                (folder / each).mkdir(exist_ok=True)
        except OSError as error:
            raise FileProblem(
                f"cannot keep data in {folder}: {error.strerror or error}; choose another --data"
            ) from error
        try:
            self.registry = Registry(folder / "registry.sqlite")
        except BaseException:
            self._lock.close()
            raise
        self._tidy()

    def close(self) -> None:
        """Let another process have the folder."""
        self.registry.close()
        self._lock.close()

    def _tidy(self) -> None:
        """Remove what a crash left behind."""
        for path in self.incoming.iterdir():
            remove(path)
        named = {
            part["file"]
            for row in self.registry.datasets()
            for part in (row["items"], row["credits"])
            if part is not None
        }
        for path in self.datasets.iterdir():
            if path.name not in named:
                remove(path)
        folders = self.registry.folders()
        for path in self.models.iterdir():
            if path.name not in folders:
                remove(path)

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
                remove(among / name)
                raise

        task, cancelled = asyncio.create_task(asyncio.to_thread(work)), False
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                cancelled = True
            except Exception:
                break
        found = task.result()
        if cancelled:
            raise asyncio.CancelledError
        return found

    def set_aside(self, folder: str) -> None:
        """Take a model directory that cannot be read out of the way, for people to look at."""
        with suppress(OSError):
            (self.models / folder).rename(self.aside / folder)


def remove(path: Path) -> None:
    """Delete a file or a folder; what cannot be deleted now goes at the next start."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def flush(path: Path) -> None:
    """Make a file's content, or a folder's names, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
