"""List columns: cells that hold a JSON list of names, parsed and never evaluated.

A cell is a list of objects with a ``"name"`` (as TMDB writes them), or of texts; an empty
cell and ``null`` hold no names. Everything else is refused with its row and column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, TypeAlias

import orjson

from gpu_kmeans.errors import InvalidJsonCell

__all__ = ["DIRECTOR", "MAX_DEPTH", "Pick", "directors", "every_name", "read_lists"]

DIRECTOR = "Director"

MAX_DEPTH = 100
"""Lists and objects inside each other, at most; what is deeper is no list of names."""

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

Pick: TypeAlias = Callable[[list[Any]], list[str]]


class _Flaw(ValueError):
    """What is wrong with a cell, in words that follow its place."""


def every_name(members: list[Any]) -> list[str]:
    """The name of each member, in the cell's order."""
    try:  # what nearly all cells hold
        names = [member["name"] for member in members]
    except (TypeError, KeyError):
        names = []
    if len(names) == len(members) and set(map(type, names)) <= {str}:
        return names
    return [_name(member, place) for place, member in enumerate(members, start=1)]


def directors(members: list[Any]) -> list[str]:
    """Return the names of a crew's directors; of members without a ``"job"``, every name."""
    names = every_name(members)
    jobs = [member.get("job") if type(member) is dict else None for member in members]
    if not any(jobs):
        return names
    return [name for name, job in zip(names, jobs, strict=True) if job == DIRECTOR]


def read_lists(
    cells: Iterable[Any],
    file: str,
    column: str,
    pick: Pick = every_name,
    rows: Iterable[int] | None = None,
) -> tuple[list[list[str]], int]:
    """Parse a column of lists.

    Parameters
    ----------
    cells : iterable of str, list or None
        One cell a row; text is JSON, a list comes from a file with typed columns.
    file, column : str
        Where the cells stand, for messages.
    pick : callable
        Takes the names out of a parsed cell: :func:`every_name` or :func:`directors`.
    rows : iterable of int, optional
        The row of each cell, for messages; 2 and the following ones unless given.

    Returns
    -------
    names : list of list of str
        Rows of equal cells may share one list.
    empty : int
        Cells that were empty or ``null``.

    Raises
    ------
    InvalidJsonCell
        A cell is not JSON, or JSON of another shape, or nested deeper than ``MAX_DEPTH``.
    """
    lists: list[list[str]] = []
    empty = 0
    shared: dict[str, str] = {}  # one object for each different name: far fewer than cells
    share = shared.setdefault
    read: dict[str, list[str]] = {"[]": []}  # many rows have the same genres, or none
    for row, cell in zip(count(2) if rows is None else rows, cells, strict=False):
        if type(cell) is str and cell in read:
            lists.append(read[cell])
            continue
        try:
            members = _members(cell)
            names = [] if members is None else pick(members)
        except _Flaw as flaw:
            raise InvalidJsonCell(
                f"{file}, row {row}, column {column!r}: {flaw}; "
                'expected a JSON list such as [{"name": "Drama"}] or ["Drama"]'
            ) from None
        lists.append(list(map(share, names, names)))
        if members is None:
            empty += 1
        elif type(cell) is str:
            read[cell] = lists[-1]
    return lists, empty


def _members(cell: Any) -> list[Any] | None:
    if cell is None:
        return None
    if isinstance(cell, str):
        if not cell.strip():
            return None
        try:
            value = orjson.loads(cell)
        except orjson.JSONDecodeError as error:
            raise _Flaw(_not_json(cell, error)) from None
        if _may_be_deep(cell) and _depth(value) > MAX_DEPTH:
            raise _Flaw(f"the JSON is nested more than {MAX_DEPTH} deep")
    else:
        value = cell
    if value is not None and not isinstance(value, list):
        raise _Flaw(f"holds {_kind(value)}, not a list")
    return value


def _name(member: Any, number: int) -> str:
    name = member.get("name") if isinstance(member, dict) else member
    if not isinstance(name, str):
        what = "an object without a text as its name" if isinstance(member, dict) else _kind(member)
        raise _Flaw(f"member {number} of the list is {what}")
    return name


def _may_be_deep(cell: str) -> bool:
    """Look at the brackets alone: a long list of flat objects folds to nothing in one go."""
    if cell.count("[") + cell.count("{") <= MAX_DEPTH:  # what nearly all cells have
        return False
    brackets = cell.encode().translate(None, _NO_BRACKETS)
    for _ in range(2):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return len(brackets) > MAX_DEPTH


def _depth(value: Any) -> int:
    depth = 0
    level = [value]
    while level:
        depth += 1
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return depth - 1 if not isinstance(value, dict | list) else depth


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number"
    return "null" if value is None else kinds.get(type(value), f"a {type(value).__name__}")


def _not_json(cell: str, error: orjson.JSONDecodeError) -> str:
    if cell.lstrip().startswith(("[{'", "['", "{'")):
        return "is written as Python, with single quotes, not as JSON"
    return f"is not JSON ({error.msg} at character {error.pos + 1})"
