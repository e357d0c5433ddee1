"""A model directory as one file: a plain tar of its three files, written and read with care.

A zip archive of the directory is read, too: what people make who have the directory alone.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from gpu_kmeans.errors import ModelCorrupt
from gpu_kmeans.files import flush
from gpu_kmeans.model.storage import FILES
from gpu_kmeans.service.problems import Problem

__all__ = ["pack", "size", "unpack"]

BLOCK = 512
RECORD = 20 * BLOCK
"""What tar fills its archives up to."""
AT_ONCE = 1 << 20
ZIP = b"PK"
ZIP_FAULTS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
    *(OverflowError, ValueError, UnicodeError),
)
"""What Python raises for archives that are none, not whole, encrypted, or packed in other ways."""
NO_BOUND = 2**62


def size(folder: Path) -> int:
    """Bytes of the archive."""
    padded = sum(-(-(folder / name).stat().st_size // BLOCK) * BLOCK for name in FILES)
    return padded + BLOCK * (len(FILES) + 2)


def pack(folder: Path) -> Iterator[bytes]:
    """The archive, part by part; the same bytes for the same model."""
    for name in FILES:
        with (folder / name).open("rb") as file:
            header = tarfile.TarInfo(name)
            header.size = (folder / name).stat().st_size
            yield header.tobuf(tarfile.USTAR_FORMAT)
            while part := file.read(AT_ONCE):
                yield part
            yield b"\0" * (-header.size % BLOCK)
    yield b"\0" * 2 * BLOCK


def unpack(archive: Path, folder: Path, most: int = NO_BOUND) -> None:
    """Write the three files of an archive into a new folder, and to the disk.

    Nothing else is written: no name from the archive becomes a path.

    Parameters
    ----------
    archive : Path
        A tar, or a zip archive.
    folder : Path
    most : int
        Bytes that the files of a zip archive may have; those of a tar are no more than it has.

    Raises
    ------
    ModelCorrupt
        It is no such archive, is not whole, or holds another thing than these files.
    Problem
        413 ``too_large``.
    """
    folder.mkdir()
    with archive.open("rb") as file:
        is_zip = file.read(len(ZIP)) == ZIP
    if is_zip:
        _unpack_zip(archive, folder, most)
        return
    members, end = set(), 0
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                plain = member.isreg() and not member.issparse()  # which may become any size
                if name not in FILES or name in members or not plain:
                    raise ModelCorrupt(
                        f"the archive holds {member.name!r:.80}, which no model does; send what "
                        "was downloaded"
                    )
                members.add(name)
                source = tar.extractfile(member)
                assert source is not None
                with (folder / name).open("xb") as file:
                    while part := source.read(AT_ONCE):
                        file.write(part)
                flush(folder / name)
                end = _end_of(member)
                _check_zeros(archive, end - (-member.size % BLOCK), end)
    except (tarfile.TarError, EOFError, OverflowError, RecursionError, ValueError) as error:
        raise ModelCorrupt(f"this is not a tar archive of a model: {error}") from error
    if members != set(FILES):
        missing = ", ".join(sorted(set(FILES) - members))
        raise ModelCorrupt(f"the archive lacks {missing}; send what was downloaded")
    whole = archive.stat().st_size
    if whole % BLOCK or not 2 * BLOCK <= whole - end <= 2 * BLOCK + RECORD:
        raise ModelCorrupt("the archive is not whole; send what was downloaded")
    _check_zeros(archive, end, whole)
    flush(folder)


def _unpack_zip(archive: Path, folder: Path, most: int) -> None:
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            names = [_plain_name(member.filename) for member in members]
            if sorted(names) != sorted(FILES):
                raise ModelCorrupt(
                    f"the archive must hold {', '.join(FILES)}, each once and nothing else, by "
                    "themselves or in one folder"
                )
            left = most
            for member, name in zip(members, names, strict=True):
                with packed.open(member) as source, (folder / name).open("xb") as file:
                    while part := source.read(AT_ONCE):
                        left -= len(part)
                        if left < 0:
                            raise Problem(
                                413,
                                "too_large",
                                f"the archive holds more than the {most} bytes allowed "
                                "(max_model_bytes, max_expansion) once it is unpacked",
                            )
                        file.write(part)
                flush(folder / name)
    except ZIP_FAULTS as error:
        raise ModelCorrupt(f"this is not a zip archive of a model: {error}") from error
    flush(folder)


def _plain_name(name: str) -> str:
    """Return the name of a file by itself, or in one folder; other names as they are."""
    folder, _, plain = name.removeprefix("./").rpartition("/")
    return name if "/" in folder or folder == ".." else plain


def _end_of(member: tarfile.TarInfo) -> int:
    return member.offset_data + -(-member.size // BLOCK) * BLOCK


def _check_zeros(archive: Path, start: int, end: int) -> None:
    """What fills an archive up has no checksum of its own."""
    with archive.open("rb") as file:
        file.seek(start)
        if file.read(end - start).strip(b"\0"):
            raise ModelCorrupt("the archive is damaged; send what was downloaded")
