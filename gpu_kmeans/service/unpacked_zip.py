"""Bytes that zip archives hold once they are unpacked: Excel workbooks, and arrays of NumPy.

A text of a workbook is kept once and may stand in any number of cells, and a cell in the last
corner makes a grid of all before it. So its sheets are parsed, a piece at a time, and the cells
are added up as they will be.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.parsers import expat

import numpy as np

from gpu_kmeans.service.limits import (
    Gauge,
    TableLimits,
    allowance,
    check_cells,
    check_columns,
    check_rows,
    damaged,
    too_many_rows,
    too_much,
)
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.unpacked_matrices import check_array

__all__ = ["check_zip"]

BLOCK_BYTES = 1 << 16
GRID_CELLS = 4
"""Number of places that a cell of a workbook counts for: it is there twice while it is read."""
MOST_MEMBERS = 10_000
WHAT = "Excel workbook"
_OTHER_KIND = re.compile(r"(?i)content\.xml|xl[/\\](workbook|worksheets[/\\].*)\.bin")
"""Names of the parts of other workbooks, which the library that reads them would try as well."""
_REFERENCE = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})\Z")


def check_zip(file: Path, limits: TableLimits) -> None:
    """Hold a workbook, or an archive of arrays, to the limits.

    Raises
    ------
    Problem
        413 ``too_many_rows`` or ``too_large``, 422 ``too_many_columns``; 415 for a workbook of
        another kind, and 422 ``file_problem`` for one that cannot be gone through.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            most = allowance(file, limits.max_table_bytes, limits.max_expansion)
            if any(name.startswith("xl/") for name in names):
                _check_workbook(file, archive, members, Gauge(file.name, limits, most))
            elif any(name.endswith(".npy") for name in names):
                _check_arrays(archive, members, Gauge(file.name, limits, most))
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, RuntimeError, ValueError):
        return  # the reader says so


def _check_arrays(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], gauge: Gauge) -> None:
    """Add up what each array's header says; no reader takes more of a member than it states."""
    stated = sum(member.file_size for member in members)
    if stated > gauge.most:
        raise too_much(gauge.name, gauge.most, gauge.limits)
    for member in members:
        if member.filename.endswith(".npy"):
            with archive.open(member) as content:
                check_array(content, gauge)


def _check_workbook(
    file: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], gauge: Gauge
) -> None:
    names = {member.filename for member in members}
    if "xl/workbook.xml" not in names or any(map(_OTHER_KIND.fullmatch, names)):
        raise Problem(
            415,
            "unsupported_file_type",
            f"{file.name} is a workbook of another kind than .xlsx; save it as .xlsx, or the "
            "sheet as CSV",
        )
    if len(members) > MOST_MEMBERS:
        raise damaged(file.name, WHAT, f"it has {len(members)} parts")
    parts = [member for member in members if member.filename.lower().endswith((".xml", ".rels"))]
    unpacked = 0
    texts = _Texts(gauge)
    with file.open("rb") as content:
        for member in members:  # all of them: which ones are read, they say themselves
            for block in _inflated(content, member, file.name):
                unpacked += len(block)
                if unpacked > gauge.most:
                    raise too_much(file.name, gauge.most, gauge.limits)
        for member in parts:
            if member.filename.lower().endswith("sharedstrings.xml"):
                _parse(_inflated(content, member, file.name), texts, file.name)
        for member in parts:
            sheet = _Sheet(gauge, texts.lengths)
            _parse(_inflated(content, member, file.name), sheet, file.name)
            sheet.end()


def _inflated(content: IO[bytes], member: zipfile.ZipInfo, name: str) -> Iterator[bytes]:
    """Give out what a member holds, whatever the archive says of its size."""
    content.seek(member.header_offset)
    head = content.read(30)
    if len(head) < 30 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise damaged(name, WHAT, f"{member.filename!r:.60} is packed in another way than Excel's")
    content.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), 1)
    left = member.compress_size
    unpack = zlib.decompressobj(-zlib.MAX_WBITS) if member.compress_type else None
    while left > 0 and (block := content.read(min(left, BLOCK_BYTES))):
        left -= len(block)
        if unpack is None:
            yield block
            continue
        while block and not unpack.eof:
            try:
                part = unpack.decompress(block, BLOCK_BYTES)
            except zlib.error as error:
                raise damaged(name, WHAT, f"{member.filename!r:.60}: {error}") from None
            yield part
            block = unpack.unconsumed_tail
    if unpack is not None:
        yield unpack.flush()


class _Texts:
    """Lengths of the texts that cells share, in bytes."""

    def __init__(self, gauge: Gauge) -> None:
        self.lengths: list[int] = []
        self._gauge = gauge

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "si":
            self.lengths.append(0)
            self._gauge.add(0, 2)

    def text(self, characters: str) -> None:
        if self.lengths:
            self.lengths[-1] += len(characters.encode("utf-8", "replace"))

    def stop(self, name: str) -> None:
        """Nothing is to be done."""


class _Sheet:
    """The cells of a sheet: how far they reach, and what they hold."""

    def __init__(self, gauge: Gauge, texts: list[int]) -> None:
        self._gauge = gauge
        self._texts = texts
        self._row = self._column = self._width = self._height = 0
        self._kind = ""
        self._value: list[str] | None = None
        self._content = self._row_bytes = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        limits = self._gauge.limits
        if name == "row":
            stated = attributes.get("r", "")
            self._row = int(stated) if stated.isdecimal() and len(stated) < 8 else self._row + 1
            self._count_row()
            self._column = 0
        elif name == "c":
            reference = _REFERENCE.match(attributes.get("r", ""))
            self._column += 1
            if reference is not None:
                self._column, self._row = _column(reference[1]), int(reference[2])
            self._kind = attributes.get("t", "")
            self._content = 0
            self._width = max(self._width, self._column)
            self._height = max(self._height, self._row)
            if self._height > limits.max_rows + 1:
                raise too_many_rows(f"{self._height - 1} rows", limits)
            check_columns(self._gauge.name, self._width, limits)
        elif name in ("v", "t"):
            self._value = []

    def text(self, characters: str) -> None:
        if self._value is not None:
            self._content += len(characters.encode("utf-8", "replace"))
            if self._kind == "s" and self._content < 20:
                self._value.append(characters)

    def stop(self, name: str) -> None:
        if name in ("v", "t"):
            index = "".join(self._value or ()).strip()
            if self._kind == "s" and index.isdecimal() and int(index) < len(self._texts):
                self._content = self._texts[int(index)]
            self._value = None
        elif name == "c":
            self._row_bytes += self._content
            limits, name = self._gauge.limits, self._gauge.name
            if self._content > limits.max_cell_bytes:
                check_cells(name, None, np.array([self._content]), self._row - 2, limits)
            if self._row_bytes > limits.max_row_bytes:
                check_rows(name, np.array([self._row_bytes]), self._row - 2, limits)

    def _count_row(self) -> None:
        self._gauge.add(self._row_bytes)
        self._row_bytes = 0

    def end(self) -> None:
        """Count the last row, and the grid that the cells span."""
        self._count_row()
        self._gauge.add(0, GRID_CELLS * self._width * self._height)


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def _parse(blocks: Iterator[bytes], handler: _Texts | _Sheet, name: str) -> None:
    """Go through a part of a workbook; one that a parser does not understand is refused."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: handler.start(_local(tag), attributes)
    parser.EndElementHandler = lambda tag: handler.stop(_local(tag))
    parser.CharacterDataHandler = handler.text
    parser.EntityDeclHandler = lambda *_: _refuse(name, "it declares entities")
    try:
        for block in blocks:
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise damaged(name, WHAT, f"a part of it is no XML ({error})") from None


def _refuse(name: str, reason: str) -> None:
    raise damaged(name, WHAT, reason)


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]
