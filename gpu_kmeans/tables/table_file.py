"""Files of tables: recognised by their first bytes, and prepared for the reader of their format.

Formats are recognised by content and not by name, gzip too; encodings by their mark, and named
where they have none; delimiters in the first rows. Whatever stays uncertain is refused, with the
option that answers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Literal

from gpu_kmeans.errors import InvalidEncoding, UnsupportedFileType
from gpu_kmeans.tables.delimiters import COMMA, find_delimiter
from gpu_kmeans.tables.encodings import in_utf8, marked_encoding
from gpu_kmeans.tables.files import opened
from gpu_kmeans.tables.json_array import JSON_ARRAY, lines_of_array
from gpu_kmeans.tables.kinds import UTF8_BOM, foreign_kind, is_excel
from gpu_kmeans.tables.unpacking import GZIP, unpacked

__all__ = ["Format", "TableFile", "is_parquet", "open_table"]

Format = Literal["csv", "jsonl", "parquet", "xlsx"]

PARQUET_MAGIC = b"PAR1"
_JSON_OBJECT = re.compile(rb'\s*\{\s*(["}]|\Z)')
_NAMES: dict[str, Format] = {
    **dict.fromkeys(("", ".csv", ".tsv", ".tab", ".txt"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    ".xlsx": "xlsx",
}
"""Formats by the suffixes of their files."""
_CALLED = {"jsonl": "JSON", "parquet": "Parquet", "xlsx": "an Excel workbook"}
_READ = "give a .csv, .tsv, .jsonl, .parquet or .xlsx file"


@dataclass(frozen=True, slots=True)
class TableFile:
    """An open file, and how it is to be read.

    Attributes
    ----------
    file : BufferedReader
        At its beginning, unpacked; CSV and JSON are UTF-8, whatever their encoding was, and the
        elements of a JSON array are lines.
    name : str
        Name of the file in messages.
    format : {"csv", "jsonl", "parquet", "xlsx"}
    packed : bool
        Whether the file is packed with gzip.
    encoding : str
        Python's name of the encoding of a CSV or of JSON lines; ``""`` for other formats.
    delimiter : str
        The sign between two cells of a CSV; ``""`` for other formats.
    """

    file: BufferedReader
    name: str
    format: Format
    packed: bool = False
    encoding: str = ""
    delimiter: str = ""


@contextmanager
def open_table(
    path: Path, encoding: str | None = None, delimiter: str | None = None
) -> Iterator[TableFile]:
    """Open a file of a table and find out how it is to be read.

    Parameters
    ----------
    encoding : str or None
        Encoding of a CSV or of JSON lines, as
        :func:`~gpu_kmeans.tables.encodings.check_encoding` returns it; None means the one whose
        mark the file begins with, or UTF-8.
    delimiter : str or None
        The sign between two cells of a CSV, as
        :func:`~gpu_kmeans.tables.delimiters.check_delimiter` returns it; None looks for it.

    Raises
    ------
    FileProblem
        The file cannot be read, from here to the end of the context.
    UnsupportedFileType, InvalidEncoding, UncertainFormat
        It is no table, or it is uncertain how to read it.
    """
    with opened(path) as file:
        packed = file.peek(2).startswith(GZIP)
        suffix = path.suffix.lower()
        if packed:
            file = unpacked(file, path.name)
            suffix = path.with_suffix("").suffix.lower() if suffix == ".gz" else suffix
        binary = _binary_format(file, path.name, packed)
        if binary is not None:
            yield TableFile(file, path.name, binary, packed)
        else:
            yield _text(file, path.name, suffix, packed, encoding, delimiter)


def is_parquet(path: Path) -> bool:
    """Tell whether a file, if it can be read, is Parquet by its first bytes."""
    with opened(path) as file:
        return file.peek(len(PARQUET_MAGIC)).startswith(PARQUET_MAGIC)


def _binary_format(file: BufferedReader, name: str, packed: bool) -> Format | None:
    """Tell Parquet and Excel by their first bytes; None for text, and for what may be text."""
    head = file.peek(16)[:16]
    kind: Format | None = "parquet" if head.startswith(PARQUET_MAGIC) else None
    if kind is None and is_excel(file):
        kind = "xlsx"
    if kind is not None and packed:
        raise UnsupportedFileType(
            f"{name} is {_CALLED[kind]} packed with gzip; unpack it and give the file in it"
        )
    return kind


def _text(
    file: BufferedReader,
    name: str,
    suffix: str,
    packed: bool,
    encoding: str | None,
    delimiter: str | None,
) -> TableFile:
    """Tell CSV and JSON apart, and refuse everything else."""
    foreign = foreign_kind(file)
    if foreign is not None:
        kind, way_out = foreign
        raise UnsupportedFileType(f"{name} is {kind}, not a file of a table; {way_out}")
    stated = _NAMES.get(suffix)
    if stated is None:
        raise UnsupportedFileType(f"{name}: files of type {suffix!r} are not read; {_READ}")
    encoding = encoding or _encoding(file, name)
    text = in_utf8(file, name, encoding)
    head = text.peek(1 << 12).removeprefix(UTF8_BOM)
    if JSON_ARRAY.match(head):
        return TableFile(lines_of_array(text, name), name, "jsonl", packed, encoding)
    if _JSON_OBJECT.match(head) or (stated == "jsonl" and not head.strip()):
        return TableFile(text, name, "jsonl", packed, encoding)
    if stated != "csv":
        raise UnsupportedFileType(
            f"{name} is named as {_CALLED[stated]} and does not start like it; check the file"
        )
    sign = delimiter or find_delimiter(text, name, suffix)
    return TableFile(text, name, "csv", packed, encoding, sign or COMMA)


def _encoding(file: BufferedReader, name: str) -> str:
    """Return the encoding whose mark a file begins with, or UTF-8."""
    head = file.peek(4)[:4]
    marked = marked_encoding(head)
    # Without its mark, UTF-16 shows as Latin letters with a NUL before or after each.
    if marked is None and (head[::2] == b"\0\0" or head[1::2] == b"\0\0"):
        raise InvalidEncoding(
            f"{name} is UTF-16 or UTF-32 text; name its encoding (encoding='utf-16-le', on the "
            "command line --encoding utf-16-le), or save it as UTF-8"
        )
    return marked or "utf-8"
