"""CSV that a library's fast reader and the strict reader cannot read differently.

Fast readers (Arrow's, cuDF's) guess where a file is wrong: they rename, shift, join or drop.
Here a file is checked before they read it. Blocks of whole rows are passed on only while
everything in them is regular; at the first oddity, :class:`Irregular` is raised, and the strict
reader (:mod:`gpu_kmeans.tables.strict_csv`) must decide, from the file's beginning.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from types import ModuleType
from typing import TypeVar

import numpy as np
import pyarrow as pa

from gpu_kmeans.errors import InputError
from gpu_kmeans.tables.csv_scan import whole_rows
from gpu_kmeans.tables.delimiters import COMMA, length_of_marks
from gpu_kmeans.tables.files import choose_columns
from gpu_kmeans.tables.kinds import UTF8_BOM

__all__ = ["Block", "Irregular", "read_regular", "regular_blocks"]

_Part = TypeVar("_Part")


class Irregular(Exception):
    """The fast way ends here: the strict reader decides what the file is."""


@dataclass(frozen=True, slots=True)
class Block:
    """Whole rows of a regular file, without the header.

    Attributes
    ----------
    content : bytes
        UTF-8; every row ends with a line feed, the file's last one too.
    header : list of str
        Names of all columns, in the file's order.
    wanted : list of str
        Names of the columns to keep, in the order to keep them in.
    rows : int
        How many rows ``content`` holds, at least one.
    delimiter : str
        The sign between two cells.
    """

    content: bytes
    header: list[str]
    wanted: list[str]
    rows: int
    delimiter: str = COMMA


def read_regular(
    file: BufferedReader,
    columns: Sequence[str],
    optional: Sequence[str],
    size: int,
    xp: ModuleType,
    parse: Callable[[Block], _Part],
    delimiter: str = COMMA,
) -> list[_Part]:
    """Read a regular CSV file in parts; nothing where the strict reader must decide.

    Parameters
    ----------
    file, columns, optional, size, xp, delimiter
        As for :func:`regular_blocks`.
    parse : callable
        Makes a part of the result from a block, or raises :class:`Irregular`.

    Returns
    -------
    list
        Empty where anything is irregular, and for a file without rows; the file is at its
        beginning again then.
    """
    if not file.seekable():  # the strict reader would not find its beginning again
        return []
    try:
        blocks = regular_blocks(file, columns, optional, size, xp, delimiter)
        parts = [parse(block) for block in blocks]
    except Irregular:
        parts = []
    if not parts:
        file.seek(0)
    return parts


def regular_blocks(
    file: BufferedReader,
    columns: Sequence[str],
    optional: Sequence[str],
    size: int,
    xp: ModuleType,
    delimiter: str = COMMA,
) -> Iterator[Block]:
    """Cut a CSV file into blocks of whole rows, each looked at before it is handed out.

    Parameters
    ----------
    file : BufferedReader
        At its beginning. Nothing is yielded from a file without rows.
    columns, optional : sequence of str
        As for ``read_table``.
    size : int
        Bytes to read at once. A longer row counts as irregular, lest a quote that is never
        closed bring the whole file into memory; a block has at most twice as many.
    xp : module
        ``numpy``, or ``cupy`` to look at the blocks on the device, one at a time.
    delimiter : str
        The sign between two cells, of ASCII.

    Raises
    ------
    Irregular
        The file, or its header, is not one that every reader reads alike. Blocks that were
        yielded before it must be dropped.
    """
    rest = b""
    header: list[str] = []
    wanted: list[str] = []
    while more := file.read(size):
        content = rest + more
        if not file.peek(1) and not content.endswith(b"\n"):
            content += b"\n"
        if not header:
            header, start = _header(content, delimiter)
            wanted = _wanted(header, columns, optional)
            header = _unique(header, wanted)
            content = content[start:]
        rest = b""
        if content:
            signs = xp.asarray(np.frombuffer(content, dtype=np.uint8))
            regular = whole_rows(signs, len(header), xp, delimiter)
            if regular is None:
                raise Irregular
            rows, end = regular
            content, rest = content[:end], content[end:]
            # A reader would take it for the mark of a file that begins here.
            if content.startswith(UTF8_BOM) or not _is_utf8(content):
                raise Irregular
            yield Block(content, header, wanted, rows, delimiter)
        if len(rest) > size:
            raise Irregular
    if rest:
        raise Irregular


def _header(content: bytes, delimiter: str) -> tuple[list[str], int]:
    """The first row's cells, and where the next row begins."""
    start = length_of_marks(content)

    def lines() -> Iterator[str]:
        nonlocal start
        while stop := content.find(b"\n", start) + 1:
            line = content[start:stop]
            start = stop
            yield line.decode("utf-8")

    try:
        header = next(csv.reader(lines(), delimiter=delimiter, strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise Irregular from error
    if any("\0" in name for name in header):
        raise Irregular
    return header, start


def _wanted(header: list[str], columns: Sequence[str], optional: Sequence[str]) -> list[str]:
    try:
        return choose_columns(header, "", columns, optional)
    except InputError as error:
        raise Irregular from error  # the strict reader finds it again, and says where


def _unique(header: list[str], wanted: list[str]) -> list[str]:
    """Name each column that is not read by its index: it may have no name, or another's."""
    used = set(wanted)
    names = []
    for index, name in enumerate(header):
        if name not in used:
            name = str(index)
            while name in used:
                name += "_"
        names.append(name)
    return names


def _is_utf8(content: bytes) -> bool:
    bounds = np.array([0, len(content)], dtype=np.int64)
    texts = pa.LargeStringArray.from_buffers(1, pa.py_buffer(bounds), pa.py_buffer(content))
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
