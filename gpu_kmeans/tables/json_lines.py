"""JSON lines: one object a line, its cells as the texts that a CSV of the same table holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import Any, NoReturn

import pyarrow as pa

from gpu_kmeans.errors import EmptyDataset, MalformedJson
from gpu_kmeans.tables.files import choose_columns
from gpu_kmeans.tables.strict_csv import utf8_lines

__all__ = ["json_names", "read_json_lines"]

_SHOWN = 100
"""Number of characters of a parser's message that ours repeats."""


def read_json_lines(
    file: BufferedReader, name: str, columns: Sequence[str], optional: Sequence[str]
) -> pa.Table:
    """Read JSON lines, strictly; memory holds the wanted cells.

    Parameters
    ----------
    file : BufferedReader
        UTF-8, at its beginning.
    name : str
        Name of the file in messages.
    columns, optional : sequence of str
        Columns that at least one object must have, and columns kept when one has them.

    Returns
    -------
    Table
        Columns of type ``string``, a row for each object; ``""`` where it is null or not there.
        Numbers and truth values are written as Python writes them, lists and objects as JSON.

    Raises
    ------
    MalformedJson, InvalidEncoding, InvalidHeader, MissingColumn, EmptyDataset
        The content is not a table with these columns.
    """
    wanted = list(dict.fromkeys([*columns, *optional]))
    cells: dict[str, list[str]] = {column: [] for column in wanted}
    names: dict[str, None] = {}
    rows = 0
    for line, row in _objects(file, name):
        rows += 1
        if row.keys() != names.keys():
            names.update(dict.fromkeys(row))
        try:
            for column in wanted:
                cells[column].append(_text(row.get(column)))
        except (ValueError, RecursionError) as error:
            _refuse(name, line, error)
    if not rows:
        raise EmptyDataset(f"{name} is empty; give a file with an object a line")
    present = choose_columns(list(names), name, columns, optional)
    return pa.table({column: pa.array(cells[column], pa.string()) for column in present})


def json_names(file: BufferedReader, name: str) -> list[str]:
    """Return the names that any object has, in the order in which they appear."""
    names: dict[str, None] = {}
    for _, row in _objects(file, name):
        names.update(dict.fromkeys(row))
    return list(names)


def _objects(file: BufferedReader, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give out each object and its line; blank lines are passed over."""
    number = 0
    try:
        for number, line in enumerate(utf8_lines(file, name), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_once, parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                _refuse(name, number, error)
            if not isinstance(row, dict):
                _refuse(name, number, ValueError("it is no object in braces"))
            yield number, row
    except csv.Error as error:  # by the reader of lines
        _refuse(name, number + 1, error)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON; write null")


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, list | dict):
        cell = json.dumps(cell, ensure_ascii=False)
    text = cell if isinstance(cell, str) else str(cell)
    text.encode()  # half of a pair of surrogates is no text
    return text


def _refuse(name: str, line: int, error: Exception) -> NoReturn:
    reason = "an object is nested too deeply" if isinstance(error, RecursionError) else str(error)
    if isinstance(error, UnicodeEncodeError):
        reason = "a text holds half of a pair of surrogates"
    raise MalformedJson(
        f"{name}, line {line} is not a JSON object ({reason[:_SHOWN]}); "
        "write one whole object a line"
    ) from error
