"""A JSON array of objects, read as JSON lines: ``[{...}, {...}]`` as other programs write tables.

Only brackets, commas and line breaks outside texts are looked at; what an element holds is left
to the reader of JSON lines. Line breaks keep their number, so that messages name the lines of the
file, or of an array on one line the number of the element.
"""

from __future__ import annotations

import re
from io import BufferedReader, RawIOBase

from gpu_kmeans.errors import MalformedJson

__all__ = ["JSON_ARRAY", "lines_of_array"]

JSON_ARRAY = re.compile(rb"\s*\[\s*(\{|\]\s*\Z|\Z)")
"""Beginning of a file that holds an array of objects."""
BLOCK_BYTES = 1 << 16
_TOKENS = re.compile(rb'"(?:[^"\\]+|\\.)*+"|[\[\]{},\n"]', re.DOTALL)
"""A whole text, a sign outside texts, or a quotation mark whose text goes on in the next block."""


def lines_of_array(file: BufferedReader, name: str) -> BufferedReader:
    """Return the elements of an array as lines of a file; one that ends early raises MalformedJson.

    Parameters
    ----------
    file : BufferedReader
        UTF-8, at its beginning.
    name : str
        Name of the file in messages.
    """
    return BufferedReader(_Lines(file, name), BLOCK_BYTES)


class _Lines(RawIOBase):
    """The elements, each on a line; the stream can go back to its beginning."""

    def __init__(self, file: BufferedReader, name: str) -> None:
        self._file = file
        self._name = name
        self._restart()

    def _restart(self) -> None:
        self._rest = b""  # of a text that goes on in the next block
        self._ready = memoryview(b"")
        self._depth = 0
        self._breaks = 0  # line breaks that were read and are not written yet
        self._is_bare = True  # since the last comma nothing but white space
        self._has_comma = False
        self._is_closed = False
        self._ended = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset or whence:
            raise OSError("lines of an array are read from their beginning on")
        self._file.seek(0)
        self._restart()
        return 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            self._ready = memoryview(self._next())
        part = self._ready[: len(buffer)]
        buffer[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)

    def _next(self) -> bytes:
        """Read a block, or more where a text is longer, and return its elements as lines."""
        block = self._file.read(max(BLOCK_BYTES, len(self._rest)))
        if not block:
            self._ended = True
            if self._depth or self._rest:
                raise MalformedJson(
                    f"{self._name} ends within an array; the closing ] is missing: write it again"
                )
            return b""
        data = self._rest + block
        written = bytearray()
        start = 0
        for token in _TOKENS.finditer(data):
            sign = token[0]
            if len(sign) > 1:
                continue
            self._keep(written, data[start : token.start()])
            start = token.start()
            if sign == b'"':
                break
            start = token.end()
            self._write(written, sign)
        else:
            self._keep(written, data[start:])
            start = len(data)
        self._rest = data[start:]
        return bytes(written)

    def _keep(self, written: bytearray, part: bytes) -> None:
        self._is_bare = self._is_bare and not part.strip()
        written += part

    def _write(self, written: bytearray, sign: bytes) -> None:
        """Write a sign as lines have it: those of the array itself become line breaks."""
        if self._is_closed:
            written += sign  # what comes after the array is for the reader to refuse
        elif sign == b"\n":
            self._breaks += 1
            if self._depth > 1:
                written += b" "
                return
            written += b"\n" * self._breaks if self._breaks > 0 else b""
            self._breaks = min(self._breaks, 0)
        elif sign in b"[{":
            self._depth += 1
            if self._depth > 1 or sign == b"{":
                self._keep(written, sign)
        elif sign in b"]}":
            self._depth -= 1
            if self._depth > 0 or sign == b"}":
                self._keep(written, sign)
            elif self._is_bare and self._has_comma:
                written += b","  # the last comma has nothing after it, which the reader refuses
            self._is_closed = self._depth <= 0
        elif self._depth != 1 or self._is_bare:  # a comma after nothing is for the reader to refuse
            written += sign
        else:
            written += b"\n"
            self._breaks -= 1
            self._is_bare = self._has_comma = True
