"""One file's columns, checked: ids, texts, numbers and lists of names.

Cells are checked on the host, column by column, in one place for all backends; of lists, only
the cells that the backend could not read itself come there. Row numbers in messages are a
spreadsheet's: the header is row 1, and a row keeps its number however many line breaks its
cells hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.data.json_lists import DIRECTOR, Pick, directors, read_lists
from gpu_kmeans.data.number_formats import PLAIN, PLAIN_NUMBER, NumberFormat, number_format
from gpu_kmeans.errors import (
    DuplicateId,
    InputError,
    InvalidEncoding,
    InvalidJsonCell,
    NonFinite,
    NotNumeric,
    OutOfRange,
)
from gpu_kmeans.tables.cell_texts import as_texts, is_list, is_text, plain
from gpu_kmeans.tables.files import repeated_name
from gpu_kmeans.tables.headers import column_names, looks_like_data, named_once, nameless
from gpu_kmeans.tables.host import read_host
from gpu_kmeans.tables.table_file import is_parquet, open_table

__all__ = ["MISSING_NUMBER", "NAMES", "Sheet", "Words", "as_integers"]

NAMES = pa.list_(pa.string())
"""Type of a column of lists of names."""

_WORDLESS = r"^[^\p{L}]*\d([eE][+-]?\d|[^\p{L}])*$"
MISSING = r"(?i)^\s*(nan|<na>|#?n/?a|null|nil|none|nat)\s*$"
"""Pattern of cells that a program wrote for what is missing."""
MISSING_NUMBER = (
    r"(?i)^\s*(nan|<na>|#?n/?a|n\.a\.?|null|nil|none|nat|[-\x{2013}\x{2014}?.]+|unknown|missing"
    r"|#(value|ref|num|div/0)[!?]?)\s*$"
)
"""Pattern of cells that stand for a missing number in a column of numbers."""
MAX_MISSING_SHARE = 0.01
"""Fraction of rows that may hold ``nan``, ``None`` or the like as their whole text and still be
texts; beyond it such cells count as missing, since a program wrote them for cells that were."""


@dataclass(frozen=True, slots=True)
class Words:
    """A column of texts to cluster.

    Attributes
    ----------
    cells : column of the backend, or list of str
        Missing ones are ``""``.
    empty : int
        Rows whose text is missing.
    names_nothing : int
        Those of them that held ``nan``, ``None`` or the like.
    wordless : int
        Texts that have digits and no words: numbers, dates, prices.
    different : int
        Number of different texts, the empty one included.
    """

    cells: Any
    empty: int
    names_nothing: int
    wordless: int
    different: int


class Sheet:
    """One file's wanted columns: the backend's frame, their names, and what is not there.

    Attributes
    ----------
    frame : Frame
    names : dict of str to str
        Columns that were read, by role.
    absent : tuple of str
        Roles whose column the file does not have.
    repeated : dict of str to InvalidHeader
        Roles whose column's name stands twice, and the words for it.
    ignored : int
        Columns of the file that have no name, or the same name as another.
    names_like_data : list of str
        Names of columns that look like cells, as where the file has no header.
    number_formats : dict of str to NumberFormat
        How columns write numbers that are not written as programs do, by their names: those that
        are expected, and with each column that is read as numbers the one that was seen.

    Parameters
    ----------
    names : dict of str to str
        Columns of the file by their role in a catalogue.
    optional : collection of str
        Roles whose column the file may lack.
    encoding : str or None
        Encoding of a file of texts; None means the one whose mark it has, or UTF-8.
    delimiter : str or None
        The sign between two cells of a CSV file; None looks for it.
    others : bool
        Whether all other columns are read, too, for :meth:`others`.
    """

    def __init__(
        self,
        backend: Backend,
        path: Path,
        names: dict[str, str],
        optional: Collection[str],
        encoding: str | None,
        delimiter: str | None,
        others: bool = False,
    ) -> None:
        self.backend = backend
        self.path = path
        header = column_names(path, encoding, delimiter)
        named = set(names.values())
        self._others = [n for n in named_once(header) if n not in named] if others else []
        # Columns of Parquet have types, which the backend may not hold: see `others`.
        self._typed = bool(self._others) and is_parquet(path)
        self.frame = backend.read_table(
            path,
            [name for role, name in names.items() if role not in optional],
            [
                *(name for role, name in names.items() if role in optional),
                *(() if self._typed else self._others),
            ],
            encoding,
            delimiter,
        )
        present = set(self.frame.columns) & named
        self.names = {role: name for role, name in names.items() if name in present}
        self.repeated = {
            role: repeated_name(header, path.name, name)
            for role, name in names.items()
            if name not in present and name in header
        }
        self.absent = tuple(role for role in names if role not in {*self.names, *self.repeated})
        self.ignored = nameless(header)
        self.names_like_data = looks_like_data(header)
        self.number_formats: dict[str, NumberFormat] = {}

    def others(self) -> tuple[pa.Table, list[str]]:
        """Return all columns without a role as texts, and the names of those that have none."""
        texts: dict[str, pa.ChunkedArray] = {}
        without: list[str] = []
        for name, cells in self._other_columns():
            try:
                cells.validate(full=True)
                written = as_texts(plain(cells))
            except (pa.ArrowException, ValueError, OverflowError):
                written = None
            if written is None:
                without.append(name)
            else:
                texts[name] = pc.fill_null(written.cast(pa.string()), "")
        return pa.table(texts), without

    def _other_columns(self) -> Iterator[tuple[str, pa.ChunkedArray]]:
        if not self._typed:
            if self._others:
                table = self.backend.to_host(self.frame[self._others])
                yield from ((name, table[name]) for name in self._others)
            return
        with suppress(InputError), open_table(self.path) as source:
            table = read_host(source, self._others, [])
            yield from ((name, table[name]) for name in self._others)
            return
        # One is damaged, or of a type that Arrow does not read: the others are read all the same.
        for name in self._others:
            with open_table(self.path) as source:
                try:
                    yield name, read_host(source, [name], [])[name]
                except InputError:
                    yield name, pa.chunked_array([pa.nulls(len(self.frame), pa.list_(pa.null()))])

    def column(self, role: str, rows: NDArray[np.intp] | None = None) -> pa.ChunkedArray:
        """The column, or some rows of it, brought to the host; its texts are UTF-8."""
        name = self.names[role]
        frame = self.frame[[name]]
        try:
            column = self.backend.to_host(frame if rows is None else frame.take(rows))[name]
            column.validate(full=True)
        except pa.ArrowException as error:
            raise InvalidEncoding(
                f"{self.place(role)} holds a text that is not UTF-8, or cells that are damaged; "
                "write the file again"
            ) from error
        return column

    def cells(self, role: str, rows: NDArray[np.intp] | None = None) -> pa.ChunkedArray:
        """The same, unpacked: see :func:`gpu_kmeans.tables.cell_texts.plain`."""
        return self._unpacked(role, self.column(role, rows))

    def written(self, role: str) -> pa.ChunkedArray:
        """The cells as texts, as a CSV of the same table holds them; ``""`` where missing."""
        return self._written(role, self.cells(role))

    def _unpacked(self, role: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        try:
            return plain(column)
        except pa.ArrowException as error:
            raise self._unusable(role, column.type) from error

    def _written(self, role: str, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        try:
            texts = as_texts(cells)
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise self._unusable(role, cells.type) from error
        if texts is None:
            raise self._unusable(role, cells.type)
        return pc.fill_null(texts, "")

    def _unusable(self, role: str, kind: pa.DataType) -> InputError:
        return InputError(
            f"{self.place(role)} holds {str(kind)[:200]}, which is no text, number or date; "
            "store it as text, or name another column"
        )

    def place(self, role: str, index: int | None = None) -> str:
        """Where a cell, or a whole column, stands: for the beginning of a message."""
        row = "" if index is None else f", row {index + 2}"
        return f"{self.path.name}{row}, column {self.names[role]!r}"

    def ids(self, role: str) -> pa.ChunkedArray:
        """The ids as text, each there and each once."""
        ids = self.written(role).cast(pa.large_string())
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
        texts = self._written(role, self._unpacked(role, column))
        as_read = is_text(column.type) and not column.null_count
        values = self.frame[self.names[role]] if as_read else texts.to_pylist()
        return values, _count(pc.equal(texts, ""))

    def words(self, role: str) -> Words:
        """A column of texts to cluster, and what a reader should know of it.

        Where more than ``MAX_MISSING_SHARE`` of the rows hold nothing but ``nan``, ``None`` or
        the like, those are missing; where fewer do, they are texts.
        """
        cells, empty = self.texts(role)
        texts = self.written(role)
        nothing = pc.match_substring_regex(texts, MISSING)
        names_nothing = _count(nothing)
        if names_nothing > MAX_MISSING_SHARE * len(texts):
            texts = pc.if_else(nothing, "", texts)
            cells = texts.to_pylist()
        else:
            names_nothing = 0
        return Words(
            cells=cells,
            empty=empty + names_nothing,
            names_nothing=names_nothing,
            wordless=_count(pc.match_substring_regex(texts, _WORDLESS)),
            different=pc.count_distinct(texts).as_py(),
        )

    def holds_times(self, role: str) -> bool:
        """Whether cells are durations or times of a day: no dates, whatever their column's name."""
        kind = self.column(role).type
        return bool(
            pa.types.is_time(kind) or pa.types.is_duration(kind) or pa.types.is_interval(kind)
        )

    def measurements(self, role: str) -> NDArray[np.float64]:
        """A column of numbers to cluster as float64, NaN where one is missing; shape (n,).

        Empty cells are missing, and those that hold nothing but ``NA``, ``null``, ``-``, ``?`` or
        the like.
        """
        cells = self.cells(role)
        if not is_text(cells.type):
            if not (pa.types.is_integer(cells.type) or _is_real(cells.type)):
                raise NotNumeric(
                    f"{self.place(role)} holds {str(cells.type)[:200]}; it must hold numbers"
                )
            values = pc.fill_null(cells.cast(pa.float64(), safe=False), np.nan).to_numpy()
            infinite = np.flatnonzero(np.isinf(values))
            if len(infinite):
                _refuse_infinite(self.place(role, int(infinite[0])), values[infinite[0]])
            return np.array(values, dtype=np.float64)
        texts = pc.ascii_trim_whitespace(pc.fill_null(cells, ""))
        missing = pc.or_(pc.equal(texts, ""), pc.match_substring_regex(texts, MISSING_NUMBER))
        texts = self._plain_numbers(role, texts, missing)
        written = pc.if_else(missing, "nan", texts).to_pylist()
        values = np.array([float(text) for text in written], dtype=np.float64)
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):  # more than float64 holds
            _refuse_infinite(self.place(role, int(infinite[0])), texts[int(infinite[0])].as_py())
        return values

    def _plain_numbers(
        self, role: str, texts: pa.ChunkedArray, missing: pa.ChunkedArray
    ) -> pa.ChunkedArray:
        """Return numbers as programs write them, in whichever format the column has them."""
        name = self.names[role]
        present = texts.filter(pc.invert(missing))
        custom = self.number_formats.pop(name, None)
        if custom is None or not custom.fits(present):
            custom = number_format(present)
        if custom == PLAIN:
            return texts
        if custom is not None:
            self.number_formats[name] = custom
            return custom.plain(texts)
        wrong = _first(pc.invert(pc.or_(missing, pc.match_substring_regex(texts, PLAIN_NUMBER))))
        if wrong is not None:
            _refuse_number(self.place(role, wrong), texts[wrong].as_py())
        return texts  # all are missing

    def numbers(self, role: str) -> tuple[NDArray[np.float64], int]:
        """A column as float64 within float32's range, and how many empty cells became 0."""
        cells = self.cells(role)
        if is_text(cells.type):
            texts = pc.ascii_trim_whitespace(pc.fill_null(cells, ""))
            empty = pc.equal(texts, "")
            texts = self._plain_numbers(role, texts, empty)
            values = np.array([float(text or 0) for text in texts.to_pylist()])
        elif pa.types.is_integer(cells.type) or _is_real(cells.type):
            empty = pc.is_null(cells)
            values = pc.fill_null(cells.cast(pa.float64(), safe=False), 0.0).to_numpy()
        else:
            raise NotNumeric(
                f"{self.place(role)} holds {str(cells.type)[:200]}; it must hold numbers"
            )
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

    def _members(self, role: str) -> list[Any]:
        """Cells that may be lists of names: texts, or lists of anything."""
        cells = self.cells(role)
        refusal = InvalidJsonCell(
            f"{self.place(role)} holds {str(cells.type)[:200]}; it must hold JSON lists of names, "
            "or lists of texts"
        )
        if not (is_text(cells.type) or is_list(cells.type)):
            raise refusal
        try:
            members: list[Any] = cells.to_pylist()
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise refusal from error
        return members

    def lists(self, role: str, pick: Pick) -> tuple[pa.ListArray, int]:
        """Names out of JSON lists, read by the backend as far as it can; and the empty cells."""
        file, name = self.path.name, self.names[role]
        job = DIRECTOR if pick is directors else None
        read = self.backend.names_in_lists(self.frame, name, job)
        if read is None:
            lists, empty = read_lists(self._members(role), file, name, pick)
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


def _refuse_number(location: str, cell: str) -> NoReturn:
    if cell.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        _refuse_infinite(location, cell)
    raise NotNumeric(
        f"{location}: {cell[:60]!r} is not a number; write digits with a point, such as 1500.5, "
        "or leave the cell empty"
    )


def _refuse_infinite(location: str, cell: object) -> NoReturn:
    raise NonFinite(
        f"{location}: {str(cell)[:60]} is not a finite number; correct the cell or leave it empty"
    )


def _is_real(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _first(mask: pa.ChunkedArray) -> int | None:
    index = pc.index(mask, True).as_py()
    return None if index < 0 else index


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
