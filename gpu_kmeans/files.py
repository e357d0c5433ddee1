"""Files that appear whole or not at all: written aside, flushed, renamed into place, removed."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = [
    "exchange",
    "flush",
    "hidden_sibling",
    "put_in_place",
    "remove",
    "remove_folder",
    "scratch_folder",
    "write_flushed",
    "write_over",
]

PREFIX = ".gpu-kmeans-"
"""Prefix of the names of files written aside: hidden, and recognisable as this package's."""


def hidden_sibling(target: Path) -> Path:
    """Return an unused hidden name beside ``target``, for a file that is to replace it.

    Drawn here and not by :mod:`tempfile`, whose files are private: a file made under this name has
    the permissions of the user's umask.
    """
    return target.with_name(f"{PREFIX}{os.urandom(8).hex()}")


def scratch_folder(parent: Path) -> Path:
    """Make a hidden folder that this user alone can read."""
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))


def write_flushed(path: Path, content: bytes) -> None:
    """Write a new file whose content survives a power cut; its name does after :func:`flush`."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_over(target: Path, content: bytes) -> None:
    """Write a file over the present one, if any; readers see one or the other.

    Not flushed to the disk: for files that can be made again.
    """
    aside = hidden_sibling(target)
    try:
        with aside.open("xb") as file:
            file.write(content)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make a file's content, or a folder's names, survive a power cut."""
    if os.name == "nt" and path.is_dir():  # pragma: no cover
        return  # directories cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_in_place(new: Path, target: Path, old: Path) -> None:
    """Rename the folder ``new`` to ``target``; in one step where the system can.

    The folder that was at ``target`` is then at ``new`` or at ``old``, for the caller to remove.
    After a failure it is where it was.
    """
    if not target.exists():
        os.rename(new, target)
    elif not exchange(new, target):
        try:
            os.rename(target, old)
            os.rename(new, target)
        finally:
            if old.exists() and not target.exists():
                os.rename(old, target)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; false where that cannot be done."""
    if sys.platform != "linux":
        return False
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    working_folder, exchange_names = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if (
        renameat2(
            working_folder, os.fsencode(one), working_folder, os.fsencode(other), exchange_names
        )
        == 0
    ):
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(code, os.strerror(code))


def remove(path: Path) -> None:
    """Delete a file or a folder with all that is in it; what cannot be deleted stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_folder(folder: Path, names: Iterable[str]) -> None:
    """Delete a folder of files with these names, if it is there; any other makes it stay.

    Raises
    ------
    OSError
        It has other files, or something cannot be deleted.
    """
    with suppress(FileNotFoundError):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
