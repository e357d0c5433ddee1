"""What a file must be to be read as a table: its kind, its columns, and words where it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from io import BufferedReader
from pathlib import Path

from gpu_kmeans.errors import (
    FileProblem,
    InvalidEncoding,
    InvalidHeader,
    MissingColumn,
    UnsupportedFileType,
)
from gpu_kmeans.tables.kinds import UTF8_BOM, foreign_kind

__all__ = ["UTF8_BOM", "choose_columns", "holds_parquet", "opened", "repeated_name"]

CSV_SUFFIXES = ("", ".csv")
PARQUET_SUFFIXES = (".parquet", ".pq")
PARQUET_MAGIC = b"PAR1"
WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading its bytes; every ``OSError`` until it is closed is a FileProblem."""
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise FileProblem(f"{str(path)[:300]}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise FileProblem(f"{path} is a directory; give the path of a file in it") from error
    except OSError as error:
        reason = error.strerror or error
        raise FileProblem(f"{str(path)[:300]} cannot be read: {reason}; check the path") from error


def holds_parquet(file: BufferedReader, path: Path, encoding: str | None = None) -> bool:
    """Tell Parquet from CSV by the first bytes, and refuse everything else.

    Parameters
    ----------
    encoding : str or None
        The encoding of a CSV, where it was named.

    Raises
    ------
    UnsupportedFileType, InvalidEncoding
    """
    head = file.peek(16)[:16]
    suffix = path.suffix.lower()
    if head.startswith(PARQUET_MAGIC):
        return True
    foreign = foreign_kind(file)
    if foreign is not None:
        kind, way_out = foreign
        raise UnsupportedFileType(f"{path.name} is {kind}, not a CSV or Parquet file; {way_out}")
    if suffix in PARQUET_SUFFIXES:
        raise UnsupportedFileType(
            f"{path.name} is named as Parquet and does not start like it; check the file"
        )
    if suffix not in CSV_SUFFIXES:
        raise UnsupportedFileType(
            f"{path.name}: files of type {suffix!r} are not read; give a .csv or .parquet file"
        )
    # Without its mark, UTF-16 shows as Latin letters with a NUL before or after each.
    wide = head.startswith(WIDE_BOMS) or head[:4:2] == b"\0\0" or head[1:4:2] == b"\0\0"
    if wide and encoding is None:
        raise InvalidEncoding(
            f"{path.name} is UTF-16 or UTF-32 text; name its encoding (encoding='utf-16', on the "
            "command line --encoding utf-16), or save it as UTF-8"
        )
    return False


def choose_columns(
    header: Sequence[str], name: str, columns: Sequence[str], optional: Sequence[str]
) -> list[str]:
    """Return the columns to read: all of ``columns``, then those of ``optional`` that are there.

    Columns without a name, and names that stand twice, are no columns that can be read: where
    nobody wants them, they are ignored.

    Parameters
    ----------
    header : sequence of str
        The file's names, in its order.
    name : str
        What messages call the file.

    Raises
    ------
    InvalidHeader
        The first row names nothing, or one of ``columns`` stands twice.
    MissingColumn
        One of ``columns`` is not there.
    """
    if not header:
        raise InvalidHeader(f"{name}, row 1 is blank; the first row must name the columns")
    times = Counter(header)
    for column in columns:
        if times[column] > 1:
            raise repeated_name(header, name, column)
    missing = [column for column in columns if not times[column]]
    if missing:
        raise MissingColumn(
            f"{name} has no column {', '.join(map(repr, missing))}; "
            f"found {_listing(header)}{_way_out(header, missing)}"
        )
    return list(dict.fromkeys([*columns, *(name for name in optional if times[name] == 1)]))


def repeated_name(header: Sequence[str], name: str, column: str) -> InvalidHeader:
    """Return the error about a name that stands twice in a header."""
    places = [str(place) for place, other in enumerate(header, start=1) if other == column]
    listed = f"{places[0]} and {places[1]} are both" if len(places) == 2 else ", ".join(places)
    verb = "" if len(places) == 2 else " are all"
    return InvalidHeader(f"{name}, row 1: columns {listed}{verb} named {column!r}; rename one")


def _listing(found: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(repr(column[:60]) for column in found[:most])
    return shown if len(found) <= most else f"{shown} and {len(found) - most} more"


def _way_out(found: Sequence[str], missing: Sequence[str]) -> str:
    for delimiter, plural in OTHER_DELIMITERS.items():
        if len(found) == 1 and delimiter in found[0]:
            return f" (the header is separated by {plural}; save the file with commas)"
    return f"{_alike(found, missing)}; rename the column or name the one to use"


def _alike(found: Sequence[str], missing: Sequence[str]) -> str:
    """Name the columns that differ from a missing one by case, spaces or a letter or two."""
    folded = {_folded(column): column for column in found if column.strip()}
    alike = dict.fromkeys(
        folded[match]
        for column in missing
        for match in get_close_matches(_folded(column), folded, n=3, cutoff=0.75)
    )
    return f" (alike: {_listing(list(alike))})" if alike else ""


def _folded(column: str) -> str:
    return column.strip().casefold()[:100]
