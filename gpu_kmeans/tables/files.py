"""What a file must be to be read as a table: its kind, its columns, and words where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from gpu_kmeans.errors import (
    FileProblem,
    InvalidEncoding,
    InvalidHeader,
    MissingColumn,
    UnsupportedFileType,
)

__all__ = ["UTF8_BOM", "check_header", "choose_columns", "holds_parquet", "opened"]

CSV_SUFFIXES = ("", ".csv")
PARQUET_SUFFIXES = (".parquet", ".pq")
PARQUET_MAGIC = b"PAR1"
FOREIGN_MAGIC = {
    b"\x1f\x8b": "gzip-compressed",
    b"PK\x03\x04": "a zip archive or an .xlsx workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
}
UTF8_BOM = b"\xef\xbb\xbf"
WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading its bytes; every ``OSError`` until it is closed is a FileProblem."""
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise FileProblem(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise FileProblem(f"{path} is a directory; give the path of a file in it") from error
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror or error}") from error


def holds_parquet(file: BufferedReader, path: Path) -> bool:
    """Tell Parquet from CSV by the first bytes, and refuse everything else.

    Raises
    ------
    UnsupportedFileType, InvalidEncoding
    """
    head = file.peek(16)[:16]
    suffix = path.suffix.lower()
    if head.startswith(PARQUET_MAGIC):
        return True
    for magic, kind in FOREIGN_MAGIC.items():
        if head.startswith(magic):
            raise UnsupportedFileType(
                f"{path.name} is {kind}, not a CSV or Parquet file; unpack it or export it as CSV"
            )
    if suffix in PARQUET_SUFFIXES:
        raise UnsupportedFileType(
            f"{path.name} is named as Parquet and does not start like it; check the file"
        )
    if suffix not in CSV_SUFFIXES:
        raise UnsupportedFileType(
            f"{path.name}: files of type {suffix!r} are not read; give a .csv or .parquet file"
        )
    # Without its mark, UTF-16 shows as Latin letters with a NUL before or after each.
    if head.startswith(WIDE_BOMS) or head[:4:2] == b"\0\0" or head[1:4:2] == b"\0\0":
        raise InvalidEncoding(f"{path.name} is UTF-16 or UTF-32 text; save it as UTF-8")
    return False


def check_header(header: Sequence[str], name: str) -> None:
    """Refuse a header with a blank or repeated name, or without any (``InvalidHeader``)."""
    first: dict[str, int] = {}
    for place, column in enumerate(header, start=1):
        if not column.strip():
            raise InvalidHeader(f"{name}, row 1: column {place} has no name; name or remove it")
        if column in first:
            raise InvalidHeader(
                f"{name}, row 1: columns {first[column]} and {place} are both named {column!r}; "
                "rename one"
            )
        first[column] = place
    if not header:
        raise InvalidHeader(f"{name}, row 1 is blank; the first row must name the columns")


def choose_columns(
    found: Sequence[str], name: str, columns: Sequence[str], optional: Sequence[str]
) -> list[str]:
    """All of ``columns``, each found or ``MissingColumn``, then those of ``optional`` found."""
    missing = [column for column in columns if column not in found]
    if missing:
        raise MissingColumn(
            f"{name} has no column {', '.join(map(repr, missing))}; "
            f"found {_listing(found)}{_delimiter_hint(found)}"
        )
    return list(dict.fromkeys([*columns, *(column for column in optional if column in found)]))


def _listing(found: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(repr(column[:60]) for column in found[:most])
    return shown if len(found) <= most else f"{shown} and {len(found) - most} more"


def _delimiter_hint(found: Sequence[str]) -> str:
    for delimiter, plural in OTHER_DELIMITERS.items():
        if len(found) == 1 and delimiter in found[0]:
            return f" (the header is separated by {plural}; save the file with commas)"
    return "; rename the column or name the one to use"
