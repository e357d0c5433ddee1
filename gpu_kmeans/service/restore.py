"""A service's folder made of a backup: all of it, or nothing."""

from __future__ import annotations

import hashlib
import re
import tarfile
from pathlib import Path
from typing import IO

import orjson

from gpu_kmeans.errors import FileProblem
from gpu_kmeans.files import flush, remove, scratch_folder
from gpu_kmeans.model.storage import FILES
from gpu_kmeans.service.audit import AUDIT
from gpu_kmeans.service.backup import CHECKSUMS
from gpu_kmeans.service.registry_check import DATASET_FILE, FOLDER, check_registry
from gpu_kmeans.service.store import FOLDERS, REGISTRY

__all__ = ["restore"]

AT_ONCE = 1 << 20
MOST_CHECKSUMS = 1 << 30
_STORED = f"{FOLDER.pattern}|{DATASET_FILE.pattern}"
MEMBER = re.compile(
    rf"{re.escape(REGISTRY)}|{re.escape(AUDIT)}|datasets/{DATASET_FILE.pattern}"
    rf"|models/{FOLDER.pattern}/({'|'.join(map(re.escape, FILES))})|labels/({_STORED})\.json"
)
"""Names that a backup's members have: none of them leads out of its folder."""
SHOWN = 5


def restore(backup: Path, folder: Path) -> int:
    """Make the folder of a service anew; return how many files it has.

    It is written beside the folder under a hidden name, checked, flushed, and renamed.

    Parameters
    ----------
    backup : Path
        As ``GET /v1/backup`` sent it.
    folder : Path
        Missing, or empty.

    Raises
    ------
    FileProblem
        The folder holds something, the backup is not whole, or one of them cannot be had. Nothing
        is changed then.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileProblem(
                f"{folder} holds something already: name a folder that is missing or empty (--data)"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = scratch_folder(folder.parent)
        try:
            names = _unpack(backup, aside)
            _finish(aside, names)
            if folder.exists():
                folder.rmdir()
            aside.rename(folder)
            flush(folder.parent)
        finally:
            remove(aside)
    except OSError as error:
        raise FileProblem(
            f"{backup} cannot be restored to {folder}: {error.strerror or error}; check both, and "
            "that there is room"
        ) from error
    return len(names)


def _unpack(backup: Path, folder: Path) -> list[str]:
    """Write the members of a backup into a folder, and hold them to their checksums."""
    checksums: dict[str, str] = {}
    stated: object = None
    try:
        with tarfile.open(backup, "r:") as tar:
            for member in tar:
                name = member.name
                source = tar.extractfile(member) if member.isreg() else None
                if source is None or member.issparse() or name in checksums or stated is not None:
                    raise _damaged(backup, f"its member {name!r:.80} is none of a backup")
                if name == CHECKSUMS:
                    if member.size > MOST_CHECKSUMS:
                        raise _damaged(backup, "its checksums are too long")
                    stated = orjson.loads(source.read())
                elif MEMBER.fullmatch(name):
                    checksums[name] = _write(source, folder / name)
                else:
                    raise _damaged(backup, f"its member {name!r:.80} is none of a backup")
    except (tarfile.TarError, EOFError, OverflowError, RecursionError, ValueError) as error:
        raise _damaged(backup, str(error)) from error
    if stated is None:
        raise _damaged(backup, f"it ends before {CHECKSUMS}, which is its last part")
    if stated != checksums:
        raise _damaged(backup, f"it is not as {CHECKSUMS} says: {_different(stated, checksums)}")
    if REGISTRY not in checksums:
        raise _damaged(backup, f"it has no {REGISTRY}")
    return list(checksums)


def _write(source: IO[bytes], path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    checksum = hashlib.sha256()
    with path.open("xb") as file:
        while part := source.read(AT_ONCE):
            checksum.update(part)
            file.write(part)
    flush(path)
    return checksum.hexdigest()


def _finish(folder: Path, names: list[str]) -> None:
    """Check the registry, and flush the names of all files."""
    if check_registry(folder / REGISTRY) != "sound":
        raise FileProblem("the backup's registry is empty: take another backup")
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    for path in sorted({(folder / name).parent for name in names}, reverse=True):
        flush(path)


def _different(stated: object, checksums: dict[str, str]) -> str:
    known = stated if isinstance(stated, dict) else {}
    names = sorted(
        name for name in {*map(str, known), *checksums} if known.get(name) != checksums.get(name)
    )
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name[:100] for name in names[:SHOWN]) + more


def _damaged(backup: Path, reason: str) -> FileProblem:
    return FileProblem(
        f"{backup} is no whole backup ({reason:.200}); nothing was written: take another one, or "
        "download it again"
    )
