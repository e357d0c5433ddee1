"""A running service's folder as one file: a tar of what the registry names at one moment.

::

    registry.sqlite          a copy that SQLite makes of a registry in use
    audit.jsonl
    datasets/  models/  labels/
    checksums.json           SHA-256 of each of the others: without it a backup is not whole

Stored files never change, so that links to them hold them as they are while they are sent.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import orjson

from gpu_kmeans.files import flush
from gpu_kmeans.model.storage import FILES
from gpu_kmeans.service.audit import AUDIT
from gpu_kmeans.service.store import REGISTRY, Store

__all__ = ["CHECKSUMS", "backup_size", "gather", "pack"]

CHECKSUMS = "checksums.json"
"""Name of the last member."""
BLOCK = 512
AT_ONCE = 1 << 20


def gather(store: Store, folder: Path) -> list[str]:
    """Copy the registry into a folder, and link what it names beside it.

    Nothing that the copy names can go meanwhile: changes of the registry wait. What is missing in
    the store stays missing.

    Returns
    -------
    list of str
        Names of the files, relative to the folder.
    """
    with store.registry.writing() as writer:
        del writer  # only so that nobody else has it
        _copy(store.folder / REGISTRY, folder / REGISTRY)
        models = sorted(store.registry.folders())
        datasets = sorted(store.registry.files() - set(models))
        names = [f"datasets/{name}" for name in datasets]
        names += [f"models/{name}/{file}" for name in models for file in FILES]
        names += [f"labels/{name}.json" for name in (*datasets, *models)]
        linked = [name for name in names if _link(store.folder / name, folder / name)]
    head = [REGISTRY]
    with suppress(FileNotFoundError):
        (folder / AUDIT).write_bytes((store.folder / AUDIT).read_bytes())
        head.append(AUDIT)
    return [*head, *linked]


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
        other.execute("PRAGMA journal_mode=DELETE")  # one file, and no log beside it
    flush(target)


def _link(source: Path, target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    return True


def backup_size(folder: Path, names: list[str]) -> int:
    """Return the number of bytes of :func:`pack`."""
    sizes = [(name, (folder / name).stat().st_size) for name in names]
    sizes.append((CHECKSUMS, len(_checksums(dict.fromkeys(names, "0" * 64)))))
    return sum(len(_header(name, size)) + size + -size % BLOCK for name, size in sizes) + 2 * BLOCK


def pack(folder: Path, names: list[str]) -> Iterator[bytes]:
    """Yield a tar of files, part by part, and of their checksums after them."""
    checksums: dict[str, str] = {}
    for name in names:
        checksum = hashlib.sha256()
        with (folder / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            yield _header(name, size)
            while part := file.read(AT_ONCE):
                checksum.update(part)
                yield part
        if padding := -size % BLOCK:
            yield b"\0" * padding
        checksums[name] = checksum.hexdigest()
    content = _checksums(checksums)
    yield _header(CHECKSUMS, len(content)) + content + b"\0" * (-len(content) % BLOCK)
    yield b"\0" * 2 * BLOCK


def _checksums(checksums: dict[str, str]) -> bytes:
    return orjson.dumps(checksums)


def _header(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o600
    return header.tobuf(tarfile.PAX_FORMAT)
