"""One file's columns, checked: ids, texts, numbers and lists of names.

Cells are checked on the host, column by column, in one place for all backends; of lists, only
the cells that the backend could not read itself come there. Row numbers in messages are a
spreadsheet's: the header is row 1, and a row keeps its number however many line breaks its
cells hold.
"""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpu_kmeans.errors import DuplicateId, InputError, NonFinite, NotNumeric, OutOfRange
from gpu_kmeans.listcells import DIRECTOR, Pick, directors, read_lists
from gpu_kmeans.protocol import Backend

__all__ = ["NAMES", "Sheet", "as_integers"]

NAMES = pa.list_(pa.string())
"""Type of a column of lists of names."""

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


class Sheet:
    """One file's wanted columns: the backend's frame, their names, and what is absent.

    Parameters
    ----------
    names : dict of str to str
        Columns of the file by their role in a catalogue.
    optional : collection of str
        Roles whose column the file may lack.
    """

    def __init__(
        self,
        backend: Backend,
        path: str | PathLike[str],
        names: dict[str, str],
        optional: Collection[str],
    ) -> None:
        self.backend = backend
        self.path = Path(path)
        self.frame = backend.read_table(
            self.path,
            [name for role, name in names.items() if role not in optional],
            [name for role, name in names.items() if role in optional],
        )
        found = set(self.frame.columns)
        self.names = {role: name for role, name in names.items() if name in found}
        self.absent = tuple(role for role, name in names.items() if name not in found)

    def column(self, role: str, rows: NDArray[np.intp] | None = None) -> pa.ChunkedArray:
        """The column, or some rows of it, brought to the host."""
        name = self.names[role]
        frame = self.frame[[name]]
        return self.backend.to_host(frame if rows is None else frame.take(rows))[name]

    def cells(self, role: str, rows: NDArray[np.intp] | None = None) -> pa.ChunkedArray:
        """The same; text of any Arrow type, and a column of nulls alone, as text."""
        return _plain(self.column(role, rows))

    def place(self, role: str, index: int | None = None) -> str:
        """Where a cell, or a whole column, stands: for the beginning of a message."""
        row = "" if index is None else f", row {index + 2}"
        return f"{self.path.name}{row}, column {self.names[role]!r}"

    def ids(self, role: str) -> pa.ChunkedArray:
        """The ids as text, each there and each once."""
        cells = self.cells(role)
        if not (_is_text(cells.type) or pa.types.is_integer(cells.type)):
            raise InputError(
                f"{self.place(role)} holds {cells.type}; ids must be texts or integers"
            )
        ids = pc.fill_null(cells.cast(pa.large_string()), "")
        blank = _first(pc.equal(pc.utf8_trim_whitespace(ids), ""))
        if blank is not None:
            raise InputError(f"{self.place(role, blank)} is empty; every row needs an id")
        if pc.count_distinct(ids).as_py() < len(ids):
            first: dict[str, int] = {}
            for index, one in enumerate(ids.to_pylist()):
                if first.setdefault(one, index) != index:
                    raise DuplicateId(
                        f"{self.place(role)}: id {one!r} stands on rows {first[one] + 2} and "
                        f"{index + 2}; remove one of the two rows or give it an id of its own"
                    )
        return ids

    def texts(self, role: str) -> tuple[Any, int]:
        """A column of texts, missing ones as ``""``, and how many are."""
        column = self.column(role)
        cells = _plain(column)
        if role == "date" and pa.types.is_temporal(cells.type):
            cells = cells.cast(pa.date32()).cast(pa.string())
        if not _is_text(cells.type):
            raise InputError(f"{self.place(role)} holds {cells.type}; it must hold text")
        texts = pc.fill_null(cells, "")
        as_read = cells is column and not column.null_count
        kept = self.frame[self.names[role]] if as_read else texts.to_pylist()
        return kept, _count(pc.equal(texts, ""))

    def numbers(self, role: str) -> tuple[NDArray[np.float64], int]:
        """A column as float64 within float32's range, and how many empty cells became 0."""
        cells = self.cells(role)
        if _is_text(cells.type):
            texts = pc.ascii_trim_whitespace(pc.fill_null(cells, ""))
            empty = pc.equal(texts, "")
            wrong = _first(pc.invert(pc.or_(empty, pc.match_substring_regex(texts, _NUMBER))))
            if wrong is not None:
                _refuse_number(self.place(role, wrong), texts[wrong].as_py())
            values = np.array([float(text or 0) for text in texts.to_pylist()])
        elif pa.types.is_integer(cells.type) or _is_real(cells.type):
            empty = pc.is_null(cells)
            values = pc.fill_null(cells.cast(pa.float64(), safe=False), 0.0).to_numpy()
        else:
            raise NotNumeric(f"{self.place(role)} holds {cells.type}; it must hold numbers")
        infinite = np.flatnonzero(~np.isfinite(values))
        if len(infinite):
            index = int(infinite[0])
            _refuse_infinite(self.place(role, index), cells[index].as_py())
        with np.errstate(over="ignore"):
            large = np.flatnonzero(np.isinf(values.astype(np.float32)))
        if len(large):
            raise OutOfRange(
                f"{self.place(role, int(large[0]))}: {values[large[0]]:g} is beyond float32 "
                "(about 3.4e38); correct the cell"
            )
        return values, _count(empty)

    def lists(self, role: str, pick: Pick) -> tuple[pa.ListArray, int]:
        """Names out of JSON lists, read by the backend as far as it can; and the empty cells."""
        file, name = self.path.name, self.names[role]
        job = DIRECTOR if pick is directors else None
        read = self.backend.names_in_lists(self.frame, name, job)
        if read is None:
            lists, empty = read_lists(self.cells(role).to_pylist(), file, name, pick)
            return pa.array(lists, NAMES), empty
        left = np.flatnonzero(read.unread)
        if not len(left):
            return read.names, read.empty
        cells = self.cells(role, left).to_pylist()
        rest, empty = read_lists(cells, file, name, pick, rows=(left + 2).tolist())
        order = np.arange(len(read.names))
        order[left] = len(order) + np.arange(len(left))
        both = pa.concat_arrays([read.names, pa.array(rest, NAMES)])
        return both.take(pa.array(order)), read.empty + empty


def as_integers(texts: pa.ChunkedArray) -> Any:
    """int64 when every id is an integer as it would be printed (``007`` is not), else text."""
    try:
        integers = texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return texts.to_pylist()
    canonical = pc.all(pc.equal(integers.cast(texts.type), texts)).as_py()
    return integers.to_numpy() if canonical else texts.to_pylist()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    plain = pa.types.is_null(column.type) or pa.types.is_string_view(column.type)
    return column.cast(pa.string()) if plain else column


def _refuse_number(place: str, cell: str) -> NoReturn:
    if cell.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        _refuse_infinite(place, cell)
    raise NotNumeric(
        f"{place}: {cell[:60]!r} is not a number; write digits with a point, such as 1500.5, "
        "or leave the cell empty"
    )


def _refuse_infinite(place: str, cell: object) -> NoReturn:
    raise NonFinite(
        f"{place}: {str(cell)[:60]} is not a finite number; correct the cell or leave it empty"
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_real(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _first(mask: pa.ChunkedArray) -> int | None:
    index = pc.index(mask, True).as_py()
    return None if index < 0 else index


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
