"""Files of other encodings than UTF-8, read as if they were UTF-8."""

from __future__ import annotations

import codecs
from contextlib import suppress
from io import BufferedReader, RawIOBase

from gpu_kmeans.errors import InvalidEncoding, InvalidParam

__all__ = ["check_encoding", "in_utf8", "marked_encoding"]

BLOCK_BYTES = 1 << 16
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by their byte-order marks."""


def check_encoding(encoding: object) -> str | None:
    """Return the name that Python has for an encoding of texts; None stays None.

    Raises
    ------
    InvalidParam
        It is no encoding of texts.
    """
    if encoding is None:
        return None
    try:
        if not isinstance(encoding, str):
            raise LookupError
        codec = codecs.lookup(encoding)
        "".encode(codec.name)  # not of those that turn bytes into bytes, such as base64
        codecs.getincrementaldecoder(codec.name)
    except (LookupError, ValueError, TypeError) as error:
        raise InvalidParam(
            f"encoding must be the name of an encoding of texts, such as 'utf-8', 'windows-1252' "
            f"or 'utf-16', got {encoding!r:.60}"
        ) from error
    return codec.name


def marked_encoding(head: bytes) -> str | None:
    """Return the encoding whose byte-order mark some bytes begin with; None without a mark."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    return None


def in_utf8(file: BufferedReader, name: str, encoding: str | None) -> BufferedReader:
    """Return a file whose bytes are UTF-8: the same one where it is in UTF-8 already.

    Parameters
    ----------
    file : BufferedReader
        At its beginning.
    name : str
        Name of the file in messages.
    encoding : str or None
        As :func:`check_encoding` returns it; None means UTF-8.
    """
    if encoding in (None, "utf-8", "utf-8-sig"):
        return file
    return BufferedReader(_Recoded(file, name, encoding), BLOCK_BYTES)


class _Recoded(RawIOBase):
    """The text of a file, as UTF-8; it can go back to its beginning, and nowhere else."""

    def __init__(self, file: BufferedReader, name: str, encoding: str) -> None:
        self._file = file
        self._name = name
        self._encoding = encoding
        self._start()

    def _start(self) -> None:
        self._decoder = codecs.getincrementaldecoder(self._encoding)()
        self._offset = 0
        self._lines = 1
        self._rest = b""
        self._at_end = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset or whence:
            raise OSError("only the beginning of a recoded file can be found again")
        self._file.seek(0)
        self._start()
        return 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest and not self._at_end:
            self._rest = self._decoded(self._file.read(BLOCK_BYTES))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def _decoded(self, block: bytes) -> bytes:
        self._at_end = not block
        before = self._decoder.getstate()
        try:
            text = self._decoder.decode(block, final=self._at_end)
            content = text.encode("utf-8")
        except UnicodeError as error:
            raise self._refusal(error, before, block) from error
        self._offset += len(block)
        self._lines += text.count("\n")
        return content

    def _refusal(
        self, error: UnicodeError, before: tuple[bytes, int], block: bytes
    ) -> InvalidEncoding:
        """Say where the bytes are that the encoding does not have, as far as its codec tells."""
        where = ""
        if isinstance(error, UnicodeDecodeError):
            start = error.start - len(before[0])
            lines = self._lines
            with suppress(UnicodeError):
                self._decoder.setstate(before)
                lines += self._decoder.decode(block[: max(0, start)]).count("\n")
            where = f", line {lines}: byte {self._offset + start} of the file"
        return InvalidEncoding(
            f"{self._name}{where} is not {self._encoding}; "
            "name the encoding that the file was saved with, or save it as UTF-8"
        )
