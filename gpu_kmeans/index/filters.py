"""Conditions on the columns of a model's items.

=============================== ================================================================
condition                       an item passes where
=============================== ================================================================
a text                          its text is this one, or its list has this name; case and accents
                                do not count
a number                        its number is this one
a list, tuple or set of those   any of them holds
``{"min": low, "max": high}``   its number, or its text, lies between them, both included; either
                                may be missing
=============================== ================================================================

Texts between bounds are compared as they are written, which suits dates that begin with the year;
of a text longer than the upper bound only the beginning counts, so that ``{"max": "1999"}`` has all
of 1999. Items without a value pass no condition. Columns are named by their roles, or as in the
file; ``year`` is that of the column ``date``, where there is no column of that name.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.data.roles import DEFAULTS
from gpu_kmeans.errors import InvalidParam, shown
from gpu_kmeans.index.fields import cells_of, names_in
from gpu_kmeans.index.words import fold
from gpu_kmeans.model import Model

__all__ = [
    "MAX_VALUES",
    "YEAR",
    "Filters",
    "Numbers",
    "Texts",
    "merge_conditions",
    "parse_condition",
]

MAX_VALUES = 1_000
"""Maximum number of values of one condition."""
YEAR = "year"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_CONDITION = re.compile(r"(?s)(?P<column>.+?)\s*(?P<sign>>=|<=|=)\s*(?P<value>.*)")
_BOUNDS = {">=": "min", "<=": "max"}


@dataclass(frozen=True, eq=False)
class Numbers:
    """Cells as numbers; NaN where there is none."""

    cells: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Texts:
    """Cells as texts, each text once.

    Attributes
    ----------
    texts : list of str
        All but the empty one.
    codes : ndarray of shape (n_texts_in_cells,), int64
    rows : ndarray of shape (n_texts_in_cells,), int64
        Item of each; one may have several.
    is_list : bool
        Whether cells are lists.
    """

    texts: list[str]
    codes: NDArray[np.int64]
    rows: NDArray[np.int64]
    is_list: bool


class Filters:
    """The columns of a model, read on the first condition on them.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._columns: dict[str, Numbers | Texts] = {}

    def mask(self, conditions: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Return which items pass all conditions, shape (n_items,).

        Raises
        ------
        InvalidParam
            There is no such column, or no such condition on it.
        """
        if not isinstance(conditions, Mapping):
            raise InvalidParam(
                "filters must map names of columns to conditions, such as {'genres': 'Drama', "
                f"'rating': {{'min': 7}}}}, got {shown(conditions)}"
            )
        passed = np.ones(self._model.items.num_rows, dtype=np.bool_)
        for name, condition in conditions.items():
            passed &= self._passed(name, self._column(name), condition)
        return passed

    @property
    def names(self) -> list[str]:
        """Names of the columns that conditions can be on."""
        others = self._model.others
        names = [*self._model.items.column_names, *([] if others is None else others.column_names)]
        return [*names, YEAR] if "date" in names and YEAR not in names else names

    # -- columns --------------------------------------------------------------------------

    def read(self, name: str) -> Numbers | Texts:
        """Return what a column holds, without keeping it."""
        return self._columns.get(name) or self._read(name)

    def _column(self, name: Any) -> Numbers | Texts:
        if not isinstance(name, str):
            raise InvalidParam(f"filters names a column {shown(name)}, which is no text")
        if name not in self._columns:
            self._columns[name] = self._read(name)  # of two threads, either's will do
        return self._columns[name]

    def _read(self, name: str) -> Numbers | Texts:
        items, others = self._model.items, self._model.others
        own = self._model.info.parameters.get("columns")
        named = {**DEFAULTS, **(own if isinstance(own, dict) else {})}
        if name in items.column_names:
            return _read(items[name])
        if others is not None and name in others.column_names:
            return _read(others[name])
        for role, column in named.items():
            if column == name and role in items.column_names:
                return _read(items[role])
        if name == YEAR and "date" in items.column_names:
            years = [_year(cell) for cell in cells_of(items["date"])]
            return Numbers(np.array(years, dtype=np.float64))
        raise InvalidParam(
            f"filters names the column {shown(name)}, and the model has: {', '.join(self.names)}"
        )

    # -- conditions -----------------------------------------------------------------------

    def _passed(self, name: str, column: Numbers | Texts, condition: Any) -> NDArray[np.bool_]:
        if isinstance(condition, Mapping):
            low, high = _bounds(name, condition)
            if isinstance(column, Numbers):
                least, most = _number(name, low, -math.inf), _number(name, high, math.inf)
                return (column.cells >= least) & (column.cells <= most)
            least_text, most_text = _bound_text(name, low), _bound_text(name, high)

            def between(text: str) -> bool:
                after = least_text is None or text >= least_text
                return after and (most_text is None or text[: len(most_text)] <= most_text)

            return self._where(column, between)
        several = isinstance(condition, list | tuple | set | frozenset)
        values = list(condition) if several else [condition]
        if len(values) > MAX_VALUES:
            raise InvalidParam(
                f"the condition on {name!r} has {len(values)} values, and {MAX_VALUES} are allowed"
            )
        if isinstance(column, Numbers):
            numbers = [_number(name, value, math.nan) for value in values]
            return np.isin(column.cells, numbers)
        sought = {fold(_text(name, value)) for value in values}
        return self._where(column, lambda text: fold(text) in sought)

    def _where(self, column: Texts, passes: Callable[[str], bool]) -> NDArray[np.bool_]:
        passed = np.zeros(self._model.items.num_rows, dtype=np.bool_)
        texts = np.fromiter(map(passes, column.texts), np.bool_, len(column.texts))
        passed[column.rows[texts[column.codes]]] = True
        return passed


def parse_condition(text: str) -> tuple[str, Any]:
    """Return column and condition of ``COLUMN=VALUE``, ``COLUMN>=VALUE`` or ``COLUMN<=VALUE``.

    Raises
    ------
    InvalidParam
        It is none of these.
    """
    parts = _CONDITION.fullmatch(text)
    if parts is None or not parts["column"].strip(" <>!") or parts["column"][-1:] in "<>!":
        raise InvalidParam(
            f"{shown(text)} is no condition: give COLUMN=VALUE, 'COLUMN>=VALUE' or 'COLUMN<=VALUE'"
        )
    bound = _BOUNDS.get(parts["sign"])
    value = parts["value"].strip()
    return parts["column"].strip(), value if bound is None else {bound: value}


def merge_conditions(conditions: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return conditions by columns; a lower and an upper bound of one column are one condition.

    Raises
    ------
    InvalidParam
        A column has two conditions otherwise.
    """
    merged: dict[str, Any] = {}
    for column, condition in conditions:
        if column not in merged:
            merged[column] = condition
        elif (
            isinstance(condition, dict)
            and isinstance(merged[column], dict)
            and not set(condition) & set(merged[column])
        ):
            merged[column] = {**merged[column], **condition}
        else:
            raise InvalidParam(
                f"there are two conditions on {shown(column)}: give one, or a least and a most "
                "value"
            )
    return merged


def _read(column: Any) -> Numbers | Texts:
    """Read a column as what it holds: texts that are all numbers are numbers."""
    cells = list(cells_of(column))
    if str(column.type) in ("double", "float", "int64", "int32"):
        return Numbers(np.array([math.nan if c is None else c for c in cells], dtype=np.float64))
    if str(column.type).startswith("list"):
        return _texts(cells, is_list=True)
    filled = [cell for cell in cells if cell]
    if filled and all(map(_NUMBER.fullmatch, filled)):
        return Numbers(np.array([float(c) if c else math.nan for c in cells], dtype=np.float64))
    lists = [names_in(cell) if cell else [] for cell in cells]
    if filled and all(names is not None for names in lists):
        return _texts(lists, is_list=True)
    return _texts([[cell] for cell in cells], is_list=False)


def _texts(lists: list[Any], *, is_list: bool) -> Texts:
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    codes = [numbers[text] for names in lists for text in names or () if text]
    counts = [sum(bool(text) for text in names or ()) for names in lists]
    return Texts(
        list(numbers),
        np.array(codes, dtype=np.int64),
        np.repeat(np.arange(len(lists)), counts),
        is_list,
    )


def _year(cell: str | None) -> float:
    head = (cell or "")[:4]
    return float(head) if len(head) == 4 and head.isascii() and head.isdigit() else math.nan


def _bounds(name: str, condition: Mapping[str, Any]) -> tuple[Any, Any]:
    if not condition or not set(condition) <= {"min", "max"}:
        raise InvalidParam(
            f"the condition on {name!r} must have 'min', 'max' or both, got {shown(condition)}"
        )
    return condition.get("min"), condition.get("max")


def _number(name: str, value: Any, missing: float) -> float:
    """Return a value as the number that a column of numbers is compared with."""
    if value is None:
        return missing
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not is_number or value != value:
        raise InvalidParam(f"{name!r} holds numbers: give one to compare with, not {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise InvalidParam(f"{name!r} holds texts: give one to compare with, not {shown(value)}")
    return str(value)


def _bound_text(name: str, value: Any) -> str | None:
    return None if value is None else _text(name, value)
