"""Files opened for reading, the columns to read of them, and errors of missing ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from io import BufferedReader
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile

from gpu_kmeans.errors import (
    FileProblem,
    InvalidHeader,
    MissingColumn,
)

__all__ = ["choose_columns", "opened", "repeated_name"]


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading its bytes; every ``OSError`` until it is closed is a FileProblem.

    What cannot go back to its beginning, such as a pipe, is copied to a temporary file first.
    """
    try:
        with path.open("rb") as file:
            if file.seekable():
                yield file
            else:
                with TemporaryFile() as copy:
                    copyfileobj(file, copy)
                    copy.seek(0)
                    yield BufferedReader(copy.raw)
    except FileNotFoundError as error:
        raise FileProblem(f"{str(path)[:300]}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise FileProblem(f"{path} is a directory; give the path of a file in it") from error
    except OSError as error:
        reason = error.strerror or error
        raise FileProblem(f"{str(path)[:300]} cannot be read: {reason}; check the path") from error


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
        Name of the file in messages.

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
    numbers = [str(number) for number, other in enumerate(header, start=1) if other == column]
    listed = f"{numbers[0]} and {numbers[1]} are both" if len(numbers) == 2 else ", ".join(numbers)
    verb = "" if len(numbers) == 2 else " are all"
    return InvalidHeader(f"{name}, row 1: columns {listed}{verb} named {column!r}; rename one")


def _listing(names: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(repr(column[:60]) for column in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _way_out(names: Sequence[str], missing: Sequence[str]) -> str:
    return f"{_alike(names, missing)}; rename the column or name the one to use"


def _alike(names: Sequence[str], missing: Sequence[str]) -> str:
    """Name the columns that differ from a missing one by case, spaces or a letter or two."""
    folded = {_folded(column): column for column in names if column.strip()}
    alike = dict.fromkeys(
        folded[match]
        for column in missing
        for match in get_close_matches(_folded(column), folded, n=3, cutoff=0.75)
    )
    return f" (alike: {_listing(list(alike))})" if alike else ""


def _folded(column: str) -> str:
    return column.strip().casefold()[:100]
