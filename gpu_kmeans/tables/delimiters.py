"""Delimiters of CSV files: found in their first rows, or named.

A delimiter that alone splits the header is the file's. Where several do, those under which the
first rows all have the header's number of cells are its candidates; more than one are refused
with the option that answers it. A header that nothing splits is a single column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from io import BufferedReader, StringIO
from itertools import islice

from gpu_kmeans.errors import InvalidParam, UncertainFormat
from gpu_kmeans.tables.cell_limit import cells_of_any_length

__all__ = ["COMMA", "DELIMITERS", "check_delimiter", "find_delimiter", "length_of_marks"]

COMMA = ","
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Delimiters that are looked for, and their names in messages."""
ALIASES = {"tab": "\t", "\\t": "\t"}
"""Names of a tab, where it is hard to type."""
HEADER_BYTES = 1 << 16
"""Number of bytes at the beginning of a file in which its header is read."""
SAMPLE_BYTES = 1 << 20
"""Number of bytes in which its first rows are read, where the header leaves several delimiters."""
SAMPLE_ROWS = 1000
"""Maximum number of rows that are read there."""
_MARKS = re.compile(
    rb"""(\xef\xbb\xbf)?((?P<q>"?)(?i:sep=)(?P<sign>[\t !#-&(-/:-@\[-`{-~])(?P=q)(?:\r?\n|\Z))?"""
)
"""The mark of UTF-8, and the line in which Excel is told the delimiter."""


def check_delimiter(delimiter: object) -> str | None:
    """Return the one character that a delimiter is; None stays None.

    Raises
    ------
    InvalidParam
        It is no single sign of ASCII beside letters, digits, quotes and ends of lines.
    """
    if delimiter is None:
        return None
    sign = ALIASES.get(delimiter, delimiter) if isinstance(delimiter, str) else ""
    if (
        len(sign) != 1
        or not sign.isascii()
        or sign.isalnum()
        or sign in "\"'\r\n"
        or not (sign.isprintable() or sign == "\t")
    ):
        raise InvalidParam(
            "delimiter must be one sign, such as ',', ';', '|' or 'tab', and no letter, digit, "
            f"quote or end of a line, got {delimiter!r:.60}"
        )
    return sign


def length_of_marks(content: bytes) -> int:
    """Count the bytes before the header: a byte-order mark, and a line such as ``sep=;``."""
    match = _MARKS.match(content)
    return match.end() if match else 0


def find_delimiter(file: BufferedReader, name: str, suffix: str) -> str:
    """Return the delimiter of a CSV file.

    Parameters
    ----------
    file : BufferedReader
        UTF-8, at its beginning, where it is again afterwards.
    name : str
        Name of the file in messages.
    suffix : str
        How its name ends: a ``.tsv`` whose header tabs split is read by tabs.

    Raises
    ------
    UncertainFormat
        Several delimiters split the first rows alike.
    """
    head = _beginning(file, HEADER_BYTES)
    marks = _MARKS.match(head)
    if marks and marks["sign"]:
        return marks["sign"].decode()
    with cells_of_any_length():
        widths = {sign: _width(_text(head), sign) for sign in DELIMITERS}
        splitting = [sign for sign, width in widths.items() if width > 1]
        if suffix in (".tsv", ".tab"):
            return _only(["\t"] if "\t" in splitting else ["\t", *splitting], name)
        if len(splitting) < 2:
            return splitting[0] if splitting else COMMA
        sample = _beginning(file, SAMPLE_BYTES)
        is_complete = len(sample) < SAMPLE_BYTES
        fitting = [sign for sign in splitting if _fits(_text(sample), sign, is_complete)]
    # Where none fits, some row is at fault, which the reader says.
    return _only(fitting or [max(splitting, key=widths.__getitem__)], name)


def _beginning(file: BufferedReader, size: int) -> bytes:
    content = file.read(size)
    file.seek(0)
    return content


def _text(content: bytes) -> str:
    """Decode the beginning of a file, whose last character may be cut, without its marks."""
    return content[length_of_marks(content) :].decode("utf-8", "replace")


def _only(candidates: list[str], name: str) -> str:
    if len(candidates) == 1:
        return candidates[0]
    signs = [f"{DELIMITERS[sign]} ({_shown(sign)!r})" for sign in candidates]
    answer = _shown(candidates[0])
    raise UncertainFormat(
        f"{name} may be separated by {' or by '.join(signs)}: name the one that it is "
        f"(delimiter={answer!r}, on the command line --delimiter {answer!r})"
    )


def _shown(sign: str) -> str:
    return "tab" if sign == "\t" else sign


def _width(text: str, sign: str) -> int:
    """Count the cells of the header; 1 where it cannot be read so."""
    try:
        return len(next(_rows(text, sign), []))
    except csv.Error:
        return 1


def _fits(text: str, sign: str, is_complete: bool) -> bool:
    """Tell whether the first rows all have as many cells as the header."""
    rows = _rows(text, sign)
    width = len(next(rows))
    widths = []
    try:
        for cells in islice(rows, SAMPLE_ROWS):
            widths.append(len(cells))
    except csv.Error as error:
        if is_complete or "unexpected end" not in str(error):
            return False
    if not is_complete and len(widths) < SAMPLE_ROWS:
        del widths[-1:]  # cut by the end of the sample
    while widths and not widths[-1]:  # blank lines at the end of the file
        del widths[-1]
    return all(count == width for count in widths)


def _rows(text: str, sign: str) -> Iterator[list[str]]:
    return csv.reader(StringIO(text, newline="\n"), delimiter=sign, strict=True)
