"""Files packed with gzip, read as if they were not."""

from __future__ import annotations

import gzip
import zlib
from io import BufferedReader, RawIOBase

from gpu_kmeans.errors import FileProblem

__all__ = ["GZIP", "unpacked"]

GZIP = b"\x1f\x8b"
"""First bytes of a file packed with gzip."""
BLOCK_BYTES = 1 << 16


def unpacked(file: BufferedReader, name: str) -> BufferedReader:
    """Return the unpacked content of a gzip file as a file; damage raises FileProblem when read.

    Parameters
    ----------
    file : BufferedReader
        At its beginning.
    name : str
        Name of the file in messages.
    """
    return BufferedReader(_Unpacked(file, name), BLOCK_BYTES)


class _Unpacked(RawIOBase):
    """The bytes within; it can go back to its beginning, or anywhere by unpacking up to there."""

    def __init__(self, file: BufferedReader, name: str) -> None:
        self._content = gzip.GzipFile(fileobj=file, mode="rb")
        self._name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._content.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._content.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            return self._content.readinto(buffer)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileProblem(
                f"{self._name} is not a whole gzip file: {error}; write it again"
            ) from error
