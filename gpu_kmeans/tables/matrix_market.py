"""Matrix Market (``.mtx``, also as gzip), its lines parsed by Arrow.

SciPy's parser takes what it can of a line and passes over the rest: of ``5,5``, ``5-5`` or, where
integers are announced, ``5.5`` it makes 5, and a last line without an end it reads beyond.
Arrow's parser for CSV refuses them all, on all cores as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpu_kmeans.errors import InputError
from gpu_kmeans.tables.files import opened
from gpu_kmeans.tables.matrix_file import (
    PACKED,
    MatrixFile,
    check_shape,
    damaged,
    make_matrix,
)
from gpu_kmeans.tables.unpacking import GZIP, unpacked

__all__ = ["BANNER", "open_content", "read_entries", "read_mtx", "read_shape"]

BANNER = b"%%MatrixMarket"
"""First bytes of a Matrix Market file."""
HEADER_BYTES = 1 << 20
"""Maximum length of the comments before the first value."""
LINE_BYTES = 1 << 10
"""Maximum length of a line of values."""
BLOCK_BYTES = 1 << 20
"""Number of bytes that are parsed at a time."""
_WHAT = "Matrix Market file (.mtx)"
_BANNER = re.compile(
    rb"%%MatrixMarket\s+matrix\s+(coordinate|array)\s+"
    rb"(real|double|integer|unsigned-integer|pattern|complex)\s+"
    rb"(general|symmetric|skew-symmetric|hermitian)\s*",
    re.IGNORECASE,
)
_LOOSE = b"  ", b" \n", b"\n ", b"\n\n"
_TABS = bytes.maketrans(b"\t", b" ")


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of itself."""

    coordinates: bool
    field: str
    symmetry: str
    shape: tuple[int, int]
    n_lines: int
    """Number of lines with values."""

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of what stands on a line."""
        kind = pa.int64() if "integer" in self.field else pa.float64()
        places = {"row": pa.int64(), "column": pa.int64()} if self.coordinates else {}
        if self.field == "pattern":
            return places
        return {**places, "value": kind}


def read_mtx(path: Path) -> MatrixFile:
    """Read a Matrix Market file as it lies: its rows are the samples.

    Raises
    ------
    InputError
        See :func:`~gpu_kmeans.tables.matrix_file.make_matrix`.
    FileProblem
        The file is damaged, or its lines are not what its header says.
    """
    return make_matrix(read_entries(path), path.name, "mtx")


def open_content(file: BufferedReader, name: str) -> BufferedReader:
    """Return a file, or what it holds where it is packed with gzip."""
    return unpacked(file, name) if file.peek(2).startswith(GZIP) else file


def read_shape(path: Path) -> tuple[int, int]:
    """Return the numbers of rows and columns that the header of a file states."""
    with opened(path) as file:
        return _read_header(open_content(file, path.name), path.name).shape


def read_entries(path: Path) -> Any:
    """Return the values of a file: a COO array, or an ndarray where all are listed.

    Raises
    ------
    FileProblem
        The file is damaged, or its lines are not what its header says.
    InputError
        Complex numbers, or nothing in it.
    """
    name = path.name
    with opened(path) as file:
        stored = file.seek(0, 2)
        file.seek(0)
        content = open_content(file, name)
        header = _read_header(content, name)
        least = 2 * len(header.types) * header.n_lines - 1  # the last line may lack its end
        if least > stored * (PACKED if content is not file else 1):
            raise damaged(name, _WHAT, "its header announces more values than it can hold")
        parts = _read_lines(content, header, name)
    return _coo(parts, header, name) if header.coordinates else _dense(parts["value"], header)


def _read_header(file: IO[bytes], name: str) -> _Header:
    """Read up to the line with the shape."""
    banner = file.readline(1000)
    parsed = _BANNER.fullmatch(banner)
    if parsed is None:
        raise damaged(name, _WHAT, "its first line is not that of a matrix")
    layout, field, symmetry = (word.lower().decode() for word in parsed.groups())
    if field == "complex" or symmetry == "hermitian":
        raise InputError(f"{name} holds complex numbers: split them into real features")
    line, length = b"%", len(banner)
    while line.startswith(b"%") or (line and not line.strip()):
        line = file.readline(HEADER_BYTES)
        length += len(line)
        if length > HEADER_BYTES:
            raise damaged(name, _WHAT, f"no shape in its first {HEADER_BYTES:,} bytes")
    words = line.split()
    coordinates = layout == "coordinate"
    if len(words) != 2 + coordinates or not all(re.fullmatch(rb"[0-9]{1,18}", w) for w in words):
        raise damaged(name, _WHAT, f"{line[:60].decode('ascii', 'replace')!r} is no shape")
    n, width, *entries = map(int, words)
    check_shape((n, width), name)
    if symmetry != "general" and n != width:
        raise damaged(name, _WHAT, f"it is called {symmetry} and has {n} rows, {width} columns")
    if not coordinates and field == "pattern":
        raise damaged(name, _WHAT, "a pattern has no values to list")
    listed = {
        "general": n * width,
        "symmetric": n * (n + 1) // 2,
        "skew-symmetric": n * (n - 1) // 2,
    }
    n_lines = entries[0] if coordinates else listed[symmetry]
    return _Header(coordinates, field, symmetry, (n, width), n_lines)


def _read_lines(content: BufferedReader, header: _Header, name: str) -> dict[str, NDArray[Any]]:
    """Return what stands on the lines after the header, each of its words an array."""
    from pyarrow import csv

    types = header.types
    if not header.n_lines:
        if content.read(LINE_BYTES).strip():
            raise damaged(name, _WHAT, "values follow, of which its header announces none")
        return {part: np.empty(0, kind.to_pandas_dtype()) for part, kind in types.items()}
    try:
        table = csv.read_csv(
            pa.PythonFile(BufferedReader(_Lines(content, header.n_lines, name), BLOCK_BYTES), "r"),
            csv.ReadOptions(column_names=list(types), block_size=BLOCK_BYTES),
            csv.ParseOptions(delimiter=" ", quote_char=False),
            csv.ConvertOptions(column_types=types, null_values=[], check_utf8=False),
        )
    except InputError:
        raise
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise damaged(name, _WHAT, error) from error
    if table.num_rows != header.n_lines:
        raise damaged(
            name,
            _WHAT,
            f"{table.num_rows:,} lines of values, and its header says {header.n_lines:,}",
        )
    return {part: table[part].to_numpy() for part in types}


def _coo(parts: dict[str, NDArray[Any]], header: _Header, name: str) -> Any:
    from scipy import sparse

    coordinates: list[NDArray[Any]] = []
    dtype = np.int32 if max(header.shape) <= np.iinfo(np.int32).max else np.int64
    for part, length in zip(("row", "column"), header.shape, strict=True):
        numbers: Any = parts[part]
        outside = np.flatnonzero((numbers < 1) | (numbers > length))
        if len(outside):
            at = int(outside[0])
            raise damaged(
                name, _WHAT, f"value {at + 1} lies in {part} {numbers[at]}, of {length:,}"
            )
        coordinates.append((numbers - 1).astype(dtype))
    rows, columns = coordinates
    values = parts.get("value")
    if values is None:
        values = np.ones(len(rows), np.int8)
    if header.symmetry != "general":
        twice = rows != columns
        mirrored = -values[twice] if header.symmetry == "skew-symmetric" else values[twice]
        rows, columns = (
            np.concatenate([rows, columns[twice]]),
            np.concatenate([columns, rows[twice]]),
        )
        values = np.concatenate([values, mirrored])
    return sparse.coo_array((values, (rows, columns)), shape=header.shape)


def _dense(values: NDArray[Any], header: _Header) -> NDArray[Any]:
    """Lay out values that are listed by columns, from the diagonal on where they are symmetric."""
    n, width = header.shape
    if header.symmetry == "general":
        return values.reshape(width, n).T
    skew = header.symmetry == "skew-symmetric"
    out = np.zeros((n, n), values.dtype)
    columns, rows = np.triu_indices(n, k=int(skew))
    out[columns, rows] = -values if skew else values
    out[rows, columns] = values
    return out


class _Lines(RawIOBase):
    """The lines left of a file, but blank ones; one space between two words and none around."""

    def __init__(self, content: BufferedReader, n_lines: int, name: str) -> None:
        self._content = content
        self._n_lines = n_lines
        self._name = name
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            block = self._content.read(BLOCK_BYTES)
            if not block:
                return 0
            block += self._content.readline(LINE_BYTES)
            if not block.endswith(b"\n") and self._content.peek(1):
                raise damaged(self._name, _WHAT, f"a line of more than {LINE_BYTES:,} bytes")
            block = block.translate(_TABS, b"\r")
            if block.startswith((b" ", b"\n")) or any(two in block for two in _LOOSE):
                block = re.sub(rb" *\n[ \n]*", b"\n", re.sub(rb" +", b" ", block))
                block = block.lstrip(b" \n").rstrip(b" ")
            self._n_lines -= block.count(b"\n")
            if self._n_lines < 0:
                raise damaged(self._name, _WHAT, "it has more lines than its header says")
            self._rest = block
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
